"""Which column of a table is time, and which tells several series apart."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from capax.data import stamps
from capax.data.places import place
from capax.errors import CapaxError, closest, counted

Frame = Any
Column = Any
"""A pandas DataFrame, and one of its columns: the type checker cannot tell them apart."""

NO = "none"
"""What the user says for a role that no column has."""

IDENTITIES = (
    "id",
    "ids",
    "series",
    "unit",
    "station",
    "sensor",
    "store",
    "shop",
    "item",
    "group",
    "sequence",
    "subject",
)
"""Words in the name of a column that tells series apart, where its values are numbers."""

MOST_DOUBLES = 0.05
"""With a larger share of rows whose time stamp stands twice, some column must tell series apart."""

MOST_NAMED = 5
"""So many series are named in what is said of them."""


def says(column: str | None) -> bool:
    """Whether the user names a column."""
    return column is not None and column != NO


def existing(column: Any, known: list[Any], option: str, file: str) -> str:
    """A column of the table. Raises `CapaxError` where there is none of the name."""
    if column not in known:
        names = [str(name) for name in known]
        raise CapaxError(
            f"{file} has no column '{column}'{closest(str(column), names)} for {option}; it has {', '.join(names)}."
        )
    return column


def assign(
    frame: Frame, file: str, *, time: str | None, series: str | None, taken: Collection[str] = (), gridded: bool = False
) -> tuple[Frame, str | None, str | None, list[str]]:
    """The rows in order, the columns of time and series, and what was decided, one line each.

    `taken`: columns that have another role if they hold numbers, so that none of these tells series
    apart. `gridded`: the caller puts rows on a grid of time, and says itself what of gaps and
    doubles.

    Raises `CapaxError` where rows share time stamps and no column, or more than one, could tell
    them apart."""
    frame = frame.copy()
    when, notes = _time(frame, file, time)
    which, said = _series(frame, file, when, series, taken)
    notes += said
    if which is not None:
        frame[which] = _as_names(frame[which])
    if when is not None:
        frame, said = _ordered(frame, when, which, gridded=gridded)
        notes += said
    elif which is not None:
        frame = frame.iloc[np.argsort(pd.factorize(frame[which])[0], kind="stable")].reset_index(drop=True)
    return frame, when, which, notes


def _time(frame: Frame, file: str, given: str | None) -> tuple[str | None, list[str]]:
    if given == NO:
        return None, []
    candidates = [given] if given is not None else [str(column) for column in frame]
    found = {name: stamp for name in candidates if (stamp := _stamps(frame[name], name, file, named=given is not None))}
    if not found:
        if given is not None:
            raise CapaxError(f"{file}: column '{given}' holds no time stamps, or has rows without one.")
        return None, ["no column of time stamps: each row is the next time step; otherwise: --time COLUMN"]
    chosen = next((name for name in found if not pd.api.types.is_numeric_dtype(frame[name])), next(iter(found)))
    frame[chosen] = found[chosen].values
    begin, end = frame[chosen].min(), frame[chosen].max()
    note = (
        f"time: '{chosen}' ({found[chosen].form}), {_moment(begin)} to {_moment(end)}; otherwise: --time COLUMN or none"
    )
    others = [name for name in found if name != chosen]
    return chosen, [note, *([f"time stamps, too, but not taken for time: {', '.join(others)}"] if others else [])]


def _moment(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).removesuffix(" 00:00:00")


def _stamps(column: Column, name: str, file: str, *, named: bool) -> stamps.Stamps | None:
    if pd.api.types.is_datetime64_any_dtype(column):
        if column.isna().any():
            raise CapaxError(
                f"{file}: column '{name}': {place(column, int(column.isna().to_numpy().argmax()))} has no time stamp."
            )
        return stamps.Stamps(column, "time stamps")
    if pd.api.types.is_numeric_dtype(column):
        return stamps.from_numbers(name, column, named=named)
    return stamps.from_words(name, column, file)


def _series(
    frame: Frame, file: str, time: str | None, given: str | None, taken: Collection[str]
) -> tuple[str | None, list[str]]:
    if given == NO:
        return None, []
    if given is not None:
        return given, [_said(frame, given)]
    free = frame[[n for n in frame if n == time or n not in taken or not pd.api.types.is_numeric_dtype(frame[n])]]
    found = _in_blocks(free) if time is None else _by_doubles(free, time)
    if len(found) > 1:
        raise CapaxError(
            f"{file}: {' or '.join(repr(name) for name in found)} may tell series apart; say which with --series, "
            f"or --series {NO}."
        )
    if found:
        return found[0], [f"{_said(frame, found[0])}; otherwise: --series COLUMN or {NO}"]
    doubles = 0.0 if time is None else float(frame[time].duplicated().mean())
    if doubles > MOST_DOUBLES:
        first = frame[time][frame[time].duplicated()].iloc[0]
        raise CapaxError(
            f"{file}: time stamps stand in several rows (as {_moment(first)}), and no column tells these apart; name one with "
            f"--series, another column of time with --time, or say --series {NO}."
        )
    return None, []


def _said(frame: Frame, column: str) -> str:
    names = [str(name) for name in _as_names(frame[column]).unique()]
    shown = ", ".join(names[:MOST_NAMED]) + (", .." if len(names) > MOST_NAMED else "")
    return (
        f"series: '{column}' tells {len(names):,} apart: {shown}"
        if len(names) > 1
        else f"series: '{column}', one: {shown}"
    )


def _as_names(column: Column) -> Column:
    """Names of series: whole numbers without a decimal point."""
    if pd.api.types.is_numeric_dtype(column) and (column.dropna() % 1 == 0).all() and column.notna().all():
        return column.astype("int64").astype("str")
    return column.astype("str")


def _candidates(frame: Frame, time: str | None) -> tuple[list[str], list[str]]:
    """Columns of words, and columns of whole numbers that repeat, which might tell series apart."""
    others = [str(column) for column in frame if column != time]
    words = [name for name in others if not pd.api.types.is_numeric_dtype(frame[name])]
    repeated = [name for name in words if 1 < frame[name].nunique() <= len(frame) / 2]
    numbers = [name for name in others if name not in words]
    whole = [n for n in numbers if frame[n].notna().all() and (frame[n] % 1 == 0).all()]
    return repeated, [name for name in whole if 1 < frame[name].nunique() <= len(frame) / 2]


def _looks_like_an_identity(name: str) -> bool:
    return any(word in IDENTITIES for word in name.lower().replace("_", " ").replace("-", " ").split())


def _by_doubles(frame: Frame, time: str) -> list[str]:
    """Columns within each of whose values time stamps do not repeat, though they do in all rows: of
    words, or else of numbers that are called an identity, or else of any whole numbers."""
    if float(frame[time].duplicated().mean()) <= MOST_DOUBLES:
        return []
    words, numbers = _candidates(frame, time)
    named = [name for name in numbers if _looks_like_an_identity(name)]
    for kind in (words, named, numbers):
        found = [name for name in kind if frame.duplicated([name, time]).mean() <= MOST_DOUBLES / 5]
        if found:
            return found
    return []


def _in_blocks(frame: Frame) -> list[str]:
    """Columns whose values stand in one block of rows each, where there is no time: of words, or of
    numbers that are called an identity."""
    words, numbers = _candidates(frame, None)
    for kind in ([name for name in (*words, *numbers) if _looks_like_an_identity(name)], words):
        found = [name for name in kind if (frame[name] != frame[name].shift()).sum() == frame[name].nunique()]
        if found:
            return found
    return []


def _ordered(frame: Frame, time: str, series: str | None, *, gridded: bool) -> tuple[Frame, list[str]]:
    """Rows by series, in the order of the file, and then by time; and what is to be said of order,
    doubles, and gaps."""
    keys = np.zeros(len(frame), int) if series is None else pd.factorize(frame[series])[0]
    notes = []
    moments = frame[time].to_numpy()
    by_series = moments[np.argsort(keys, kind="stable")]
    falls = (by_series[1:] < by_series[:-1]) & (np.diff(np.sort(keys)) == 0)
    frame = frame.iloc[np.lexsort((np.arange(len(frame)), moments, keys))]
    if falls.any():
        notes.append("rows are not in the order of time: sorted")
    same = frame.duplicated()
    if same.any():
        frame = frame[~same]
        notes.append(f"{_rows(int(same.sum()))} the same as another in every column: left out")
    if gridded:
        return frame.reset_index(drop=True), notes
    subset = [time] if series is None else [series, time]
    doubled = frame.duplicated(subset)
    if doubled.any():
        first = _moment(frame[time][doubled].iloc[0])
        notes.append(
            f"{_rows(int(doubled.sum()))} at a time that stands before (first: {first}): kept, in the order of the file"
        )
    frame = frame.reset_index(drop=True)
    return frame, notes + _rhythms(frame, time, series)


def _rows(number: int) -> str:
    return counted(number, "row is", "rows are")


def _rhythms(frame: Frame, time: str, series: str | None) -> list[str]:
    """What is to be said of missing or uneven steps: of the first series where there is something,
    and of how many."""
    parts = [("", frame)] if series is None else list(frame.groupby(series, sort=False))
    found = [(str(name), said) for name, part in parts if (said := stamps.rhythm(part[time])) is not None]
    if not found:
        return []
    name, said = found[0]
    where = (
        "" if series is None else f" (series {name}" + (f", and {len(found) - 1:,} more)" if len(found) > 1 else ")")
    )
    return [f"{said}{where}: rows are taken one after the other"]
