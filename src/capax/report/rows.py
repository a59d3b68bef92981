"""Rows of the results' tables, chosen by what their columns hold."""

import math
from typing import Any

import numpy as np
import pandas as pd

Row = dict[str, Any]


def select(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The rows whose columns have these values."""
    keep = np.ones(len(frame), bool)
    for name, value in values.items():
        keep &= (frame[name] == value).to_numpy(bool)
    return pd.DataFrame(frame[keep])


def known(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows that have a value in a column, which may be missing itself where no study has
    begun.
    """
    return pd.DataFrame(frame[frame[column].notna()] if column in frame else frame[:0])


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def number(row: Row, name: str) -> float:
    """A value of a row, NaN where the column is missing."""
    return float(row.get(name, math.nan))


def column(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A numeric column as an array."""
    return np.asarray(frame[name], float)
