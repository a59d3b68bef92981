"""Delimited text as a table of cells: which separator, and whether the first line names the
columns."""

import csv
import io
from collections.abc import Callable

import pandas as pd

from capax.data import places
from capax.errors import CapaxError, counted

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""In the order in which they are tried: a comma may also be a decimal mark."""

NONE = "\x1f"
"""In place of a separator where each line is one cell."""

LOOKED_AT = 100_000
"""So many characters of the file decide on its separator."""


LOOKED_AT_FOR_NAMES = 100
"""So many rows decide on whether the first line names the columns."""


def parse(text: str, name: str, is_value: Callable[[str], bool]) -> tuple[pd.DataFrame, str, list[str]]:
    """Cells as texts, the separator, and what was decided, one line each. Rows are known by their
    lines (`places.place`).

    **Arguments:** `name` of the file, for messages; `is_value`: whether a cell is a number or a
    time stamp, by which a line of values is told from a line of names.

    Raises `CapaxError` for an empty file, lines of unequal numbers of cells, and a table without
    rows.
    """
    if not text.strip():
        raise CapaxError(f"{name} is empty.")
    head = _rows(text[:LOOKED_AT].rpartition("\n")[0] or text[:LOOKED_AT])
    separator = _separator(head, name)
    cells = _cells(text, separator, name)
    first, rest = [str(cell).strip() for cell in cells.iloc[0]], cells.iloc[1:]
    if _names_columns(first, rest.head(LOOKED_AT_FOR_NAMES), is_value):
        said = "the first line names the columns"
        names, duplicated = _distinct(first)
        units = _units(rest.head(LOOKED_AT_FOR_NAMES + 1), is_value) if len(rest) > 1 else []
        cells = rest.iloc[1:] if units else rest
    else:
        said = "the first line holds values like the others, so that columns are named by number"
        names, duplicated, units = [f"column {number + 1}" for number in range(len(first))], [], []
    if not len(cells):
        raise CapaxError(f"{name} holds names of columns and no row.")
    cells.columns = names
    between = f"separated by {SEPARATORS[separator]}" if separator in SEPARATORS else "a value a line"
    notes = [f"{name}: {counted(len(cells), 'row')} of {counted(len(names), 'column')}, {between}; {said}"]
    if units:
        notes.append(f"the row below the names holds units, not values ({', '.join(units)}): left out")
    if duplicated:
        notes.append(f"columns of the same name are told apart by a number: {', '.join(duplicated)}")
    return _without_empty(cells), separator, notes


def _rows(head: str) -> dict[str, list[list[str]]]:
    """The rows of the beginning of a file by each separator."""
    lines = [line for line in io.StringIO(head, newline="") if line.strip()]
    return {separator: list(csv.reader(lines, delimiter=separator)) for separator in SEPARATORS}


def _separator(head: dict[str, list[list[str]]], name: str) -> str:
    """The first one by which all lines have the same number of cells, more than one; else one of
    most lines."""
    almost = None
    for separator, rows in head.items():
        widths = [len(row) for row in rows]
        common = max(set(widths), key=widths.count)
        if common > 1 and widths.count(common) == len(widths):
            return separator
        if common > 1 and widths[0] == common and widths.count(common) >= 0.5 * len(widths):
            almost = almost or separator
        if common > 2 and 1 < widths[0] < common and set(widths[1:]) == {common}:
            raise CapaxError(
                f"{name}: the first line has {counted(widths[0], 'name')}, the others have {counted(common, 'cell')}; name them all."
            )
    return almost or NONE


def _cells(text: str, separator: str, name: str) -> pd.DataFrame:
    lines = _lines(text, separator, name)
    found = pd.read_csv(
        io.StringIO(text), sep=separator, header=None, dtype=str, na_filter=False, skipinitialspace=True
    )
    return places.with_lines(found, lines)


def _lines(text: str, separator: str, name: str) -> list[int]:
    """At which line each row begins.

    Raises `CapaxError` for a line with more or fewer cells than the first: pandas would fill it up.
    """
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    due, before = 0, 0
    found = []
    try:
        for row in rows:
            if any(row) or len(row) > 1:
                found.append(before + 1)
            before = rows.line_num
            due = due or len(row)
            if row and len(row) != due:
                cells = counted(len(row), "cell")
                raise CapaxError(f"{name}: line {rows.line_num} has {cells} where {counted(due, 'is', 'are')} due.")
    except csv.Error as error:
        raise CapaxError(f"{name}: line {rows.line_num}: {error}.") from None
    return found


def _names_columns(first: list[str], rest: pd.DataFrame, is_value: Callable[[str], bool]) -> bool:
    """Whether the first line is one of names: a word above a column of values; or words above
    words; or years."""
    in_values = [
        number
        for number in range(len(first))
        if (known := [cell for cell in map(str, rest.iloc[:, number]) if cell.strip()])
        and sum(map(is_value, known)) > 0.5 * len(known)
    ]
    if not in_values:  # nothing below, or words alone: values in the first line are no names
        return not all(is_value(cell) for cell in first if cell)
    if any(first[number] and not is_value(first[number]) for number in in_values):
        return True
    above = [first[number] for number in in_values]
    numbers = [int(cell) for cell in above if cell.isdecimal()]
    years = len(numbers) == len(above) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return years and 0 not in in_values and not first[0].isdecimal()


def _units(rows: pd.DataFrame, is_value: Callable[[str], bool]) -> list[str]:
    """The cells of a first row of units, such as m/s: texts above columns of values, and no value
    nor word in it that others could be like. Empty where the first row is none."""
    first, rest = [str(cell).strip() for cell in rows.iloc[0]], rows.iloc[1:]
    found = []
    for number, cell in enumerate(first):
        below = [str(other) for other in rest.iloc[:, number] if str(other).strip()]
        of_values = bool(below) and all(map(is_value, below))
        if cell and (not of_values or is_value(cell)):
            return []
        found += [cell] if cell else []
    return found if any(not cell[0].isdigit() for cell in found) else []


def _distinct(names: list[str]) -> tuple[list[str], list[str]]:
    """Names without doubles, and the new ones; a column without a name has its number."""
    found: list[str] = []
    changed: list[str] = []
    for number, name in enumerate(names):
        chosen, again = name or f"column {number + 1}", 1
        while chosen in found:
            again += 1
            chosen = f"{name} {again}"
        if chosen != name and name:
            changed.append(chosen)
        found.append(chosen)
    return found, changed


def _without_empty(cells: pd.DataFrame) -> pd.DataFrame:
    """Without columns that have neither name nor value, such as a separator at each line's end
    makes."""
    empty = [name for name in cells if str(name).startswith("column ") and (cells[name].str.strip() == "").all()]
    return cells.drop(columns=empty) if len(empty) < cells.shape[1] else cells
