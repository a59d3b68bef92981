"""What people hand over, a file or a DataFrame, as a file; what they ask for, as options of the
task.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from capax.errors import CapaxError
from capax.files import write_atomically
from capax.search.store import DATA

TABLE = "data.parquet"


def as_file(data: Any, directory: Path) -> Path:
    """The file of the data: a path, or a DataFrame, which is written into the directory.

    A DataFrame's index counts as a column where it has a name, or holds time stamps. Raises
    `CapaxError` for anything else.
    """
    if isinstance(data, str | Path):
        return Path(data)
    if not isinstance(data, pd.DataFrame):
        raise CapaxError(f"data must be a path of a file or a pandas DataFrame, not {type(data).__name__}.")
    table = data
    if any(data.index.names) or isinstance(data.index, pd.DatetimeIndex):
        table = data.reset_index(names=None if any(data.index.names) else "time")
    buffer = io.BytesIO()
    try:
        table.to_parquet(buffer, index=False)
    except (ValueError, TypeError, ArithmeticError, OSError) as error:
        raise CapaxError(f"the DataFrame cannot be written as Parquet: {str(error).splitlines()[0]}.") from None
    path = directory / DATA / TABLE
    if not path.exists() or path.read_bytes() != buffer.getvalue():
        write_atomically(path, buffer.getvalue())
    return path


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a task: those that are said, and lists of names with commas between."""
    return {name: _plain(value) for name, value in given.items() if value is not None}


def _plain(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value
