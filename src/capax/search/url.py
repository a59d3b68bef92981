"""The URL of a database: read, compared, and shown without its password."""

from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from capax.errors import CapaxError

EXAMPLE = "postgresql+psycopg://user@host/database"
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
SECRET = {"password", "passwd", "pwd", "sslpassword", "odbc_connect"}
"""Keys behind the question mark of a URL that hold a password."""


def is_url(text: str) -> bool:
    """Whether a word of the command line is the URL of a database, and no directory."""
    return "://" in text


def parse(text: str) -> URL:
    """The URL as SQLAlchemy has it. No message repeats it: there may be a password in it.

    Raises `CapaxError` where it is none, where it has a password at an unusual place, and for
    SQLite in memory, which would be gone with the process.
    """
    try:
        url = make_url(text)
        url.get_backend_name()
    except (ArgumentError, ValueError):
        raise CapaxError(f"a store is the URL of a database, such as {EXAMPLE} or sqlite:///trials.db.") from None
    found = SECRET & {key.lower() for key in url.query}
    if found:
        raise CapaxError(
            f"the URL of a store must not have {min(found)} behind its question mark; "
            "a password stands before the host, as in user:password@host, or in PGPASSWORD."
        )
    if url.get_backend_name() != "sqlite":
        return url
    if url.database in (None, "", ":memory:"):
        raise CapaxError("a store in memory is gone with its process; name a file, as in sqlite:///trials.db.")
    if url.database.startswith("file:"):
        raise CapaxError("a store in SQLite is named by its path, as in sqlite:///trials.db.")
    return url.set(database=str(Path(url.database).resolve()))


def split_run(text: str) -> tuple[str, str | None]:
    """A URL and the name of a run behind its #; None where there is none."""
    url, mark, run = text.rpartition("#")
    return (url, run) if mark and is_url(url) and "@" not in run and "/" not in run else (text, None)


def shown(url: URL) -> str:
    """The URL without its password, for files and for people."""
    without = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, url.query)
    return without.render_as_string(hide_password=False)


def is_same(one: URL, other: URL) -> bool:
    """Whether two URLs name one database, whoever asks for it and by which driver."""
    return _place(one) == _place(other)


def _place(url: URL) -> tuple[object, ...]:
    backend = url.get_backend_name()
    host, port = url.host or url.query.get("host"), url.port or url.query.get("port")
    return backend, host, int(str(port)) if str(port).isdigit() else PORTS.get(backend), url.database


def without_secrets(text: str, url: URL) -> str:
    """A message in one line in which the password does not stand, should a driver have repeated
    it."""
    line = " ".join(text.split())
    secret = str(url.password or "")
    for form in (secret, quote(secret), quote(secret, safe=""), quote(secret, safe=" +")):
        line = line.replace(form, "***") if form else line
    return line
