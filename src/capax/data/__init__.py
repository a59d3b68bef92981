"""Data from files: sequences of unequal length, tables by role, texts, scalers, vocabularies."""

from pathlib import Path

from capax.data import arrays, table
from capax.data import text as text
from capax.data.scaling import Scaler as Scaler
from capax.data.sequences import Sequences as Sequences
from capax.data.table import Table as Table
from capax.data.vocabulary import Vocabulary as Vocabulary


def read(
    path: Path,
    *,
    time: str | None = None,
    series: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
) -> Sequences:
    """The numbers of a file as sequences: .npy and .npz (`data.arrays.read`), or a table
    (`data.table.read`).

    Raises `CapaxError` for what holds no numbers, or cannot be read.
    """
    if path.suffix.lower() in arrays.SUFFIXES:
        return arrays.read(path)
    found = table.read(path, time=time, series=series, encoding=encoding, decimal=decimal)
    return found.sequences()
