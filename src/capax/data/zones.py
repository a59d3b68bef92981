"""The zone of time stamps. They are read in UTC; answers are to bear the zone of the question."""

import datetime
import re
from pathlib import Path
from typing import Any

import pandas as pd

from capax.data import table
from capax.data.arrays import SUFFIXES


def zone(source: Path | pd.DataFrame, time: str | None, encoding: str | None = None) -> datetime.tzinfo | None:
    """The zone of a column of time, or the offset of its last stamp; None where it has neither."""
    if time is None or (isinstance(source, Path) and source.suffix.lower() in SUFFIXES):
        return None
    if isinstance(source, pd.DataFrame):
        return _of_column(_column(source, time))
    if source.suffix.lower() in table.PARQUET:
        import pyarrow.parquet

        return _of_column(_column(pyarrow.parquet.read_table(source).to_pandas(), time))
    frame, _ = table.columns(source, encoding=encoding, typed=())
    return _of_column(_column(frame, time))


def otherwise(trained: bool | None, now: bool) -> str | None:
    """What is to be said where time stamps have a zone and those of the training none, or the other
    way round; None where it is the same, or not known.
    """
    if trained is None or trained == now:
        return None
    have = "have a zone, though those of the training have none"
    return (
        f"time stamps {have if now else 'have no zone, though those of the training have one'}: they are taken in UTC"
    )


def _column(frame: Any, time: str) -> Any:
    """The column of this name, which may be an index, as in `data.table.of_frame`."""
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None:
        frame = frame.rename_axis("time")
    if any(frame.index.names):
        frame = frame.reset_index()
    return next((frame[name] for name in frame if str(name) == time), None)


def _of_column(column: Any) -> datetime.tzinfo | None:
    if column is None or pd.api.types.is_numeric_dtype(column):
        return None
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.dt.tz
    known = [cell for cell in map(str.strip, column.dropna().astype("str")) if cell]
    last = known[-1] if known else ""
    if re.search(r"\d{2}:\d{2}.*(?:Z|[+-]\d{2}:?\d{2})$", last) is None:
        return None
    try:
        return pd.to_datetime([last], format="ISO8601")[0].tz
    except (ValueError, OverflowError):  # stamps of another form, whose offset is read all the same
        return datetime.UTC
