"""A real PostgreSQL for tests: Debian's own, in a temporary directory, as an unprivileged user."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

INSTALLED = Path("/usr/lib/postgresql")
USERS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root."""
PASSWORD = "a{pass}w0rd@:/that%20nobody#guesses"
QUOTED = "a%7Bpass%7Dw0rd%40%3A%2Fthat%2520nobody%23guesses"


class Cluster:
    """A running server. `url()` is that of a new, empty database, with the password."""

    def __init__(self, binaries, directory, user):
        self._binaries, self._user = binaries, user
        self.home = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def create(self):
        secret = self.home / "secret"
        secret.write_text(PASSWORD)
        shutil.chown(secret, self._user) if self._user else None
        options = ["-A", "scram-sha-256", "-U", "capax", "--pwfile", str(secret), "-E", "UTF8", "--no-sync"]
        self._do("initdb", "-D", str(self.home / "data"), *options)
        settings = f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.home}'\n"
        with (self.home / "data" / "postgresql.conf").open("a") as file:
            file.write(settings + "max_connections = 100\n")
        self.control("start")

    def control(self, action, *more):
        self._do("pg_ctl", action, "-w", "-D", str(self.home / "data"), "-l", str(self.home / "log"), *more)

    def url(self):
        import psycopg

        name = f"test_{uuid.uuid4().hex[:12]}"
        where = {"host": "127.0.0.1", "port": self.port, "user": "capax", "password": PASSWORD}
        with psycopg.connect(dbname="postgres", autocommit=True, **where) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://capax:{QUOTED}@127.0.0.1:{self.port}/{name}"

    def _do(self, program, *arguments):
        as_user = ["runuser", "-u", self._user, "--"] if self._user else []
        command = [*as_user, str(self._binaries / program), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", timeout=120)
        assert done.returncode == 0, done.stdout.decode(errors="replace")


def _user():
    """Whom to be: None where this process is no root."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip(f"PostgreSQL does not run as root, and there is no user {' or '.join(USERS)}")


@pytest.fixture(scope="session")
def postgresql():
    """A server of PostgreSQL, stopped at the end."""
    pytest.importorskip("psycopg", reason="the driver psycopg is missing: pip install 'capax[postgresql]'")
    found = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip(f"PostgreSQL is not installed (no {INSTALLED}/*/bin/initdb): apt-get install postgresql")
    user = _user()
    with tempfile.TemporaryDirectory(prefix="capax-pg-", dir="/tmp") as name:
        directory = Path(name)
        if user:
            shutil.chown(directory, user)
        cluster = Cluster(found[-1].parent, directory, user)
        cluster.create()
        try:
            yield cluster
        finally:
            cluster.control("stop", "-m", "immediate")
