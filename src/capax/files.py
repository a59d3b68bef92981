"""Writing files at once or not at all."""

import errno
import os
import tempfile
from pathlib import Path

from capax.errors import CapaxError

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What the system says where there is no room left, on the disk or in a quota."""


class DiskFull(CapaxError):
    """A write failed since there is no room. `needed`: bytes that were to be written, 0 where that
    is not known.
    """

    needed: int = 0


def cache_directory() -> Path:
    """Where compiled programs are kept: $CAPAX_CACHE, else `capax` in the user's cache directory.
    May be deleted at any time.
    """
    if "CAPAX_CACHE" in os.environ:
        return Path(os.environ["CAPAX_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capax"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write to a temporary file beside `path`, then rename it. Raises `CapaxError` where that
    fails, `DiskFull` for want of room; the old file stays.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise cannot_write(path, error, len(content)) from error


def cannot_write(path: Path, error: OSError, needed: int = 0) -> CapaxError:
    """The one line for a failed write of `needed` bytes; a `DiskFull` for want of room."""
    line = (
        f"{path} cannot be written: {error.strerror or error}. What was finished before is kept; "
        f"make room or rights, and run the same command again."
    )
    if error.errno not in FULL:
        return CapaxError(line)
    full = DiskFull(line)
    full.needed = needed
    return full
