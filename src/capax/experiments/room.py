"""A disk that is full: the run waits until there is room again."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from capax.files import FULL, DiskFull, cannot_write

LEAST = 2**20
"""Bytes that there must be room for, beside what could not be written, before a run goes on."""
PAUSE = 2.0
"""Seconds between two looks."""
PROBE = ".room"


def wait(directory: Path, full: DiskFull, say: Callable[[str], None]) -> None:
    """Return once the directory has room again; `say` is told that the run waits, in one line, and
    that it goes on.

    Raises `CapaxError` where it cannot be written for another reason, as where it was deleted.
    """
    needed = LEAST + full.needed
    say(
        f"{directory} has no room left: the run waits, and goes on by itself once there are {needed / 1e6:,.0f} MB. "
        "No finished trial is lost, not even by Ctrl-C."
    )
    while not _has_room(directory / PROBE, needed):
        time.sleep(PAUSE)
    say(f"{directory} has room again: the run goes on")


def _has_room(probe: Path, needed: int) -> bool:
    """Whether so many bytes can be written; what the system says is free may be more than a quota
    leaves.
    """
    try:
        with probe.open("wb") as file:
            file.write(bytes(needed))
            file.flush()
            os.fsync(file.fileno())
        return True
    except OSError as error:
        if error.errno in FULL:
            return False
        raise cannot_write(probe, error) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
