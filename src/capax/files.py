"""Writing files at once or not at all."""

import os
import tempfile
from pathlib import Path

from capax.errors import CapaxError


def cache_directory() -> Path:
    """Where compiled programs are kept: $CAPAX_CACHE, else `capax` in the user's cache directory.
    May be deleted at any time.
    """
    if "CAPAX_CACHE" in os.environ:
        return Path(os.environ["CAPAX_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capax"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write to a temporary file beside `path`, then rename it. Raises `CapaxError` where that
    fails; the old file stays.
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
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> CapaxError:
    """The one line for a failed write."""
    return CapaxError(
        f"{path} cannot be written: {error.strerror or error}. What was finished before is kept; "
        f"make room or rights, and run the same command again."
    )
