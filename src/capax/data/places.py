"""Where a row of a table stands: the line of its file, as a text editor shows it, or its number."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

LINE = "line of the file"
"""The name of an index of rows that holds their lines, from 1; other tables have none."""


def with_lines(rows: pd.DataFrame, lines: Sequence[int]) -> pd.DataFrame:
    """The same rows, each with the line at which it begins, where there are as many lines."""
    if len(lines) != len(rows):
        return rows
    return rows.set_axis(pd.Index(lines, name=LINE, dtype="int64"))


def place(rows: Any, number: int) -> str:
    """Of a row by its number from 0 in a table or a column of it: line 8, or row 7."""
    return f"line {rows.index[number]}" if rows.index.name == LINE else f"row {number + 1}"
