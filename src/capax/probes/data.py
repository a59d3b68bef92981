"""Sequences of a user's own, from a file, as what drives a network."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from capax import data
from capax.errors import CapaxError


@dataclasses.dataclass(frozen=True)
class Driving:
    """`values`, finite, all sequences of one length; `notes`, what the file was taken for, one line
    each."""

    values: Float[np.ndarray, "sequences time features"]
    notes: tuple[str, ...] = ()


def read(
    path: Path,
    length: int,
    *,
    time: str | None = None,
    series: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
) -> Driving:
    """The numbers of a file (`capax.data.read`) as sequences of one length.

    Sequences of an array (sequences, time, features) are taken whole; anything else is cut into
    windows of `length` steps, as many as there are whole ones in each series. A missing value
    becomes the last one before it in its series.

    Raises `CapaxError` for a file that cannot be read, holds no numbers, or is shorter than one
    window.
    """
    check_length(length)
    found = data.read(path, time=time, series=series, encoding=encoding, decimal=decimal)
    notes = list(found.notes)
    if not found.features:
        raise CapaxError(f"data {path} has no column of numbers.")
    if missing := found.missing():
        found = found.filled()
        notes.append(
            f"{missing:,} missing {'value is' if missing == 1 else 'values are'} the last one before, or the first after"
        )
    if found.samples and len(set(found.lengths)) == 1:
        return Driving(found.values, tuple(notes))
    short = int((found.lengths < length).sum())
    if short == len(found.lengths):
        steps = f"{max(found.lengths):,} steps" if short == 1 else f"series of at most {max(found.lengths):,} steps"
        raise CapaxError(f"data {path}: {steps} are no window of {length} steps; choose a shorter --length.")
    windows = found.windows(length)
    notes.append(f"{len(windows):,} windows of {length:,} steps")
    if short:
        notes.append(f"{short:,} series shorter than a window {'is' if short == 1 else 'are'} left out")
    return Driving(windows, tuple(notes))


def check_length(length: int) -> None:
    """Raise `CapaxError` for a window of no steps."""
    if length < 1:
        raise CapaxError(f"a window has at least one step, not {length}.")
