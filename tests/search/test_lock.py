"""The lock of a run directory."""

import errno
import fcntl
import os
import platform
import subprocess
import sys

import pytest

from capax.errors import CapaxError
from capax.search import lock


def test_another_process_is_refused_and_told_who_is_there_on_which_host(tmp_path):
    held = lock.acquire(tmp_path)
    who = f"process {os.getpid()} on host {platform.node()}"
    assert lock.holder(tmp_path) == who
    code = "import sys; from pathlib import Path; from capax.search import lock; lock.acquire(Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert f"{tmp_path} is in use by {who}, so this one is refused" in other.stderr
    held.close()
    assert lock.holder(tmp_path) is None
    lock.acquire(tmp_path).close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_refused_in_one_line(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(CapaxError, match=r"is on a file system without locks \(.*\), where two processes could write"):
        lock.acquire(tmp_path)
    assert lock.holder(tmp_path) is None


def test_nobody_holds_a_directory_that_was_never_locked(tmp_path):
    assert lock.holder(tmp_path) is None
