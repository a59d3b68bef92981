"""A table from a file, its columns by role: time, series, numbers, words; and what the file was
taken for, in plain words."""

import dataclasses
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capax.data import delimited, roles
from capax.data.content import content
from capax.data.decoding import decode
from capax.data.numerals import CERTAIN_POINT, Column, decimal_mark, is_number
from capax.data.sequences import Sequences
from capax.data.stamps import is_stamp
from capax.data.usual import Usual
from capax.errors import CapaxError, counted

PARQUET = (".parquet", ".pq")
MOST_CELLS = 20_000_000
"""Of a Parquet file, or as many as it has bytes where those are more."""


@dataclasses.dataclass(frozen=True)
class Table:
    """`frame`: the rows by series and then by time. Columns by role: `time` and `series`, names or
    None; `numbers`, float64 with NaN for what is missing; `words`, text. `notes`: what the file was
    taken for, one line each."""

    frame: pd.DataFrame
    time: str | None
    series: str | None
    numbers: tuple[str, ...]
    words: tuple[str, ...]
    notes: tuple[str, ...]

    def sequences(self) -> Sequences:
        """The columns of numbers, a sequence for each series."""
        parts = [("", self.frame)] if self.series is None else list(self.frame.groupby(self.series, sort=False))
        values = [part[list(self.numbers)].to_numpy(np.float64) for _, part in parts]
        return Sequences.of(values, self.numbers, [str(name) for name, _ in parts], notes=self.notes)


def read(
    path: Path,
    *,
    time: str | None = None,
    series: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    taken: Collection[str] = (),
    gridded: bool = False,
) -> Table:
    """A table from a Parquet file, or from text with a separator (commas, semicolons, tabs, bars),
    packed or not.

    Separator, decimal mark, names of columns, and the roles of columns are recognised, and `notes`
    say how.

    **Arguments:** `time`, `series`: the column of time stamps, and the one that tells series apart,
    by name; "none" says that there is none. `encoding`, by Python's name; `decimal`: "." or ",";
    `taken`: columns of another role, which, if they hold numbers, tell no series apart; `gridded`:
    the caller puts rows on a grid of time, and says itself what of gaps and doubles.

    Raises `CapaxError` for a file that cannot be read, or can be read in more than one way; the
    line says what to name.
    """
    texts = frozenset([series]) if series is not None and roles.says(series) else frozenset()
    cells, notes = _cells(path, encoding, decimal, lambda cells, name: _named(cells, time, series, name), texts)
    return _table(*roles.assign(cells, str(path), time=time, series=series, taken=taken, gridded=gridded), notes)


def of_frame(
    given: pd.DataFrame,
    *,
    time: str | None = None,
    series: str | None = None,
    taken: Collection[str] = (),
    gridded: bool = False,
) -> Table:
    """A table from a DataFrame, whose columns are recognised as those of a Parquet file are. Its
    index counts as a column where it has a name, or holds time stamps.

    **Arguments:** as of `read`. Raises `CapaxError` as `read` does.
    """
    name = "the table"
    if isinstance(given.index, pd.DatetimeIndex) and given.index.name is None:
        given = given.rename_axis("time")
    cells = _plain_columns(given, name)
    typed, notes = _typed(cells, "", None, name, keep=_named(cells, time, series, name))
    notes = [f"{name}: {counted(len(cells), 'row')} of {counted(cells.shape[1], 'column')}", *notes]
    return _table(*roles.assign(typed, name, time=time, series=series, taken=taken, gridded=gridded), notes)


def columns(
    source: Path | pd.DataFrame,
    *,
    encoding: str | None = None,
    decimal: str | None = None,
    texts: Iterable[str] = (),
    typed: Iterable[str] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The columns of a table as they are, rows in their order: numbers as float64, time stamps of
    Parquet as such, all else as text; and what the file was taken for, one line each.

    **Arguments:** a path as for `read`, or a DataFrame; `texts`: columns that are kept as text even
    where they hold numbers; `typed`: where given, all other columns are kept as they are, too.

    Raises `CapaxError` as `read` does.
    """
    wanted = None if typed is None else frozenset(typed)
    if isinstance(source, pd.DataFrame):
        return _plain_columns(source, "the table", wanted), []
    return _cells(source, encoding, decimal, lambda cells, name: [], frozenset(texts), wanted)


def named(wish: str | None) -> list[str]:
    """The columns that a wish may name: one, or several with commas between."""
    return [] if wish is None else [wish, *(name.strip() for name in wish.split(","))]


def _cells(
    path: Path,
    encoding: str | None,
    decimal: str | None,
    keep: Callable[[pd.DataFrame, str], list[str]],
    texts: frozenset[str] = frozenset(),
    wanted: frozenset[str] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The columns of a file in their types. `keep` says which stay though they have no value;
    `texts` and `wanted`: `texts` and `typed` of `columns`."""
    if decimal not in (None, ".", ","):
        raise CapaxError(f"a decimal mark is . (a point) or , (a comma), not '{decimal}'.")
    name, notes = str(path), []
    if path.suffix.lower() in PARQUET:
        cells, separator = _parquet(path, wanted), ""
        notes.append(f"{name}: a Parquet table, {counted(len(cells), 'row')} of {counted(cells.shape[1], 'column')}")
    else:
        text, used = decode(content(path), name, encoding)
        cells, separator, notes = delimited.parse(text, name, lambda cell: is_number(cell) or is_stamp(cell))
        if used != "utf-8":
            notes.append(f"encoding: {used.upper()}")
    kept = keep(cells, name)
    as_text = {n: cells[n] for n in cells if n in texts or (wanted is not None and n not in wanted)}
    typed, more = _typed(cells.drop(columns=list(as_text)), separator, decimal, name, keep=kept)
    if as_text:
        typed = typed.assign(**as_text).reindex(columns=[n for n in cells if n in typed or n in as_text])
    return typed, [*notes, *more]


def _named(cells: pd.DataFrame, time: str | None, series: str | None, name: str) -> list[str]:
    """The columns that the user names. Raises `CapaxError` for one that there is not."""
    given = {"--time": time, "--series": series}
    return [roles.existing(column, list(cells), option, name) for option, column in given.items() if roles.says(column)]


def _typed(
    cells: pd.DataFrame, separator: str, decimal: str | None, name: str, keep: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Columns of texts that are numbers as numbers; columns without any value left out."""
    columns: dict[str, Any] = {str(name): cells[name] for name in cells}
    texts = [Column.of(name, column) for name, column in columns.items() if isinstance(column.dtype, pd.StringDtype)]
    numeric = [column for column in texts if column.numeric]
    notes: list[str] = []
    if isinstance(decimal, Usual):
        decimal = _usual_mark(numeric, separator, name, decimal)
    elif decimal is None:
        decimal, said = decimal_mark(numeric, separator, name)
        notes += [] if said is None else [f"{said}; otherwise: --decimal"]
    typed = dict(columns)
    for column in numeric:
        typed[column.name] = column.numbers(decimal, name)
    for column in texts:
        if column.missing.all() and column.name not in keep:
            del typed[column.name]
            notes.append(f"column '{column.name}' has no value and is left out")
        elif column in numeric and (said := column.missing_note()) is not None:
            notes.append(said)
    return pd.DataFrame(typed, index=cells.index), notes


def _usual_mark(columns: list[Column], separator: str, name: str, usual: Usual) -> str:
    """The decimal mark that a file shows, or, where it leaves that open, the usual one."""
    try:
        found, _ = decimal_mark(columns, separator, name)
    except CapaxError:  # there are two ways to read it
        return str(usual)
    certain = (c.cells.str.fullmatch(CERTAIN_POINT).to_numpy(bool) & ~np.isnan(c.plain) for c in columns)
    grouped = (c.by_point.any() for c in columns)
    doubt = found == "." and separator != "," and not any(each.any() for each in certain) and not any(grouped)
    return str(usual) if doubt else found


def _parquet(path: Path, wanted: frozenset[str] | None) -> pd.DataFrame:
    """The columns of a Parquet file."""
    import pyarrow.parquet

    try:
        _check_cells(path)
        found = pyarrow.parquet.read_table(path).to_pandas()
    except OSError as error:  # missing, or damaged: pyarrow's errors are these, too
        raise CapaxError(f"{path} cannot be read as Parquet: {_line(error)}.") from None
    except (ValueError, NotImplementedError) as error:
        raise CapaxError(f"{path} is no Parquet file: {_line(error)}.") from None
    return _plain_columns(found, path, wanted)


def _check_cells(path: Path) -> None:
    """Raise `CapaxError` for a Parquet file with far more cells than bytes, as a bomb has."""
    import pyarrow.parquet

    said, size = pyarrow.parquet.read_metadata(path), path.stat().st_size
    most = max(MOST_CELLS, size)
    if said.num_rows * said.num_columns > most:
        raise CapaxError(
            f"{path} has {counted(size, 'byte')} and says to hold {counted(said.num_rows, 'row')} of "
            f"{counted(said.num_columns, 'column')}, more than {counted(most, 'cell')}, as a bomb does; if you trust it, "
            "write it as CSV, which has no such limit."
        )


def _plain_columns(found: Any, where: Path | str, wanted: frozenset[str] | None = None) -> pd.DataFrame:
    """Columns of a frame: numbers as float64, truth values as 0 and 1, time stamps in UTC, all else
    as text; those that are not `wanted` as they are. An index with a name is a column.

    Raises `CapaxError` for a table without rows or columns, and for columns of other things.
    """
    if any(found.index.names):
        found = found.reset_index()
    if not len(found) or not found.shape[1]:
        raise CapaxError(f"{where} holds no row." if found.shape[1] else f"{where} holds no column.")
    kept = [column for column in found if wanted is not None and str(column) not in wanted]
    plain = {c: None if c in kept and found[c].dtype != object else _plain(found[c], str(c), where) for c in found}
    return pd.DataFrame({str(c): found[c] if c in kept else plain[c] for c in found}, index=found.index)


def _plain(column: pd.Series, name: str, path: Path | str) -> Any:
    kind = pd.api.types
    if kind.is_datetime64_any_dtype(column):
        return column if column.dt.tz is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
    if kind.is_complex_dtype(column):
        raise CapaxError(f"{path}: column '{name}' has complex numbers; write real and imaginary part as two columns.")
    if kind.is_numeric_dtype(column):
        values = column.astype("float64").to_numpy(np.float64, na_value=np.nan)
        if np.isinf(values).any():
            row = int(np.isinf(values).argmax()) + 1
            raise CapaxError(
                f"{path}: column '{name}', row {row} is not finite; make it a finite number or a missing value."
            )
        return values
    known = column.dropna()
    if known.map(lambda value: isinstance(value, Iterable) and not isinstance(value, str)).any():
        raise CapaxError(
            f"{path}: column '{name}' has lists or bytes; a cell must be a number, a text, or a time stamp."
        )
    return column.astype("str").where(column.notna(), "").astype("str")


def _line(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return reason.splitlines()[0].rstrip(".")


def _table(frame: pd.DataFrame, time: str | None, series: str | None, said: list[str], notes: list[str]) -> Table:
    frame = frame.reset_index(drop=True)
    rest = [str(column) for column in frame if column not in (time, series)]
    numbers = [column for column in rest if pd.api.types.is_numeric_dtype(frame[column])]
    words = [column for column in rest if column not in numbers]
    if numbers:
        said.append(f"numbers: {', '.join(numbers)}")
    examples = [f"'{column}' (such as '{frame[column].iloc[0]}')" for column in words]
    if words:
        said.append(f"no numbers: {', '.join(examples)}")
    return Table(frame, time, series, tuple(numbers), tuple(words), (*notes, *said))
