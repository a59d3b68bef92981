"""The lock of a run directory: one process writes there; the system releases it when that process
ends, however it ends.
"""

import errno
import io
import os
import platform
import time
from pathlib import Path

from capax.errors import CapaxError

LOCK = ".lock"
TRIES, PAUSE = 5, 0.05
"""How often, and after how many seconds, a lock is tried again: one that only looks holds it for a
moment.
"""
_CANNOT = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def acquire(directory: Path) -> io.TextIOBase:
    """Lock a directory for this process, until the file that is returned is closed.

    Raises `CapaxError` where another process has it, or where the file system has no locks;
    `OSError` where the directory cannot be written.
    """
    lock = (directory / LOCK).open("a+", encoding="utf-8")
    try:
        for left in reversed(range(TRIES)):
            if _locked(lock, directory, shared=False):
                break
            if left == 0:
                raise CapaxError(
                    f"{directory} is in use by {_owner(directory)}, so this one is refused; "
                    f"wait for it, or watch it with: capax status {directory}"
                )
            time.sleep(PAUSE)
        lock.truncate(0)
        lock.write(f"{os.getpid()} {platform.node()}")
        lock.flush()
    except BaseException:
        lock.close()
        raise
    return lock


def holder(directory: Path) -> str | None:
    """Who writes in a directory, such as "process 71 on host atlas"; None where nobody does, or
    nobody can tell.
    """
    try:
        with (directory / LOCK).open("r+", encoding="utf-8") as lock:
            return None if _locked(lock, directory, shared=True) else _owner(directory)
    except (OSError, CapaxError):
        return None


def _owner(directory: Path) -> str:
    pid, _, host = (directory / LOCK).read_text(encoding="utf-8").strip().partition(" ")
    return f"process {pid or 'unknown'}" + (f" on host {host}" if host else "")


def _locked(lock: io.TextIOBase, directory: Path, *, shared: bool) -> bool:
    """Take the lock if it is free; False where another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            lock.seek(1 << 20)  # a byte behind the owner's name, which others must be able to read
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
            return True
        import fcntl

        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno in _CANNOT:
            raise CapaxError(
                f"{directory} is on a file system without locks ({error.strerror}), where two processes could write "
                "the same run; choose a directory on another one with --out."
            ) from None
        raise
