"""Sequences of a user's own, from a file: an array, or a table of numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from capax.errors import CapaxError


def read(path: Path, length: int) -> Float[np.ndarray, "sequences time features"]:
    """The sequences of a .npy file, (sequences, time, features) or (time, features) or (time,); or of a .csv file with a
    header, one row a time step, whose columns of numbers are the features. One long series is cut into windows of `length`
    steps, as many as there are whole ones.

    Raises `CapaxError` for a file that cannot be read, holds no numbers, or is shorter than one window."""
    check_length(length)
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _table(path)
        values = np.asarray(values, np.float64)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CapaxError(f"data {path} cannot be read as a .npy array or a .csv table of numbers: {reason}.") from None
    if values.ndim == 3:
        return values
    if values.ndim not in (1, 2):
        raise CapaxError(
            f"data {path}: an array must be (sequences, time, features), (time, features), or (time,), not {values.shape}."
        )
    series = values.reshape(len(values), -1)
    windows = len(series) // length
    if not windows or not series.shape[1]:
        raise CapaxError(
            f"data {path}: {len(series)} steps of {series.shape[1]} numbers are no window of {length} steps; choose a shorter --length."
        )
    return series[: windows * length].reshape(windows, length, -1)


def check_length(length: int) -> None:
    """Raise `CapaxError` for a window of no steps."""
    if length < 1:
        raise CapaxError(f"a window has at least one step, not {length}.")


def _table(path: Path) -> np.ndarray:
    return pd.read_csv(path).select_dtypes("number").to_numpy()
