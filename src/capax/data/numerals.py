"""Numbers as people write them: decimal points or commas, thousands in groups, marks of what is
missing."""

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd

from capax.data.places import place
from capax.errors import CapaxError, counted

MISSING = frozenset(
    ("", "-", "--", "---", ".", "..", "?", "na", "n/a", "n.a.", "#n/a", "nan", "none", "null", "nil", "missing", "<na>")
)
"""Cells that say that there is no value, in lower case."""

_GROUP = "[ '’\u00a0\u202f]"
COMMA_NUMBER = rf"[+-]?(?:(?:[1-9]\d{{0,2}}(?:(?:\.|{_GROUP})\d{{3}})+|\d*),\d+|[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}})(?:[eE][+-]?\d+)?"
"""1,5 and 1.299,99 and 1.299.000: a decimal comma, or points between thousands."""
POINT_NUMBER = rf"[+-]?[1-9]\d{{0,2}}(?:(?:,|{_GROUP})\d{{3}})+(?:\.\d*)?(?:[eE][+-]?\d+)?"
"""1,200 and 1,200.5 and 1 200: commas or spaces between thousands, a decimal point."""
GROUPED_WHOLE = rf"[+-]?[1-9]\d{{0,2}}(?:{_GROUP}\d{{3}})+"
"""1 200 and 1'200, which say nothing of the decimal mark."""
CERTAIN_POINT = r".*\.(?:\d{1,2}|\d{4,})(?:[eE][+-]?\d+)?|[+-]?0?\.\d+"
"""A number that Python reads and that no point between thousands can explain."""

EITHER_POINT = r"[+-]?[1-9]\d{0,2}\.\d{3}"
"""1.006: a decimal point, or one between thousands."""
MUCH_LARGER = 100
"""Where whole numbers are so many times as large as those with a point beside them, as 993 beside
1.006, the point may stand between thousands."""

SIGN = r"(?:[$€£¥₹₽%‰]|EUR|USD|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|CZK|kr|Fr\.?|zł)"
"""Of a currency, or of a share: in front of a number or behind it."""

NUMERIC_SHARE = 0.5
"""A column with more numbers than this among its known cells is one of numbers."""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column's cells, trimmed: which are missing, which are numbers for Python, and which only
    with other marks."""

    name: str
    cells: pd.Series
    missing: np.ndarray
    plain: np.ndarray
    by_comma: np.ndarray
    by_point: np.ndarray

    @staticmethod
    def of(name: str, cells: pd.Series) -> "Column":
        """From a column of texts."""
        trimmed = cells.str.strip().str.replace("\u2212", "-", regex=False)  # the sign that typesetters use
        missing = trimmed.str.lower().isin(MISSING).to_numpy(bool)
        read: Any = pd.to_numeric(trimmed.where(~missing), errors="coerce")
        plain = read.to_numpy(np.float64, na_value=np.nan)
        odd = np.flatnonzero(np.isnan(plain) & ~missing)
        by_comma, by_point = np.zeros(len(cells), bool), np.zeros(len(cells), bool)
        by_comma[odd] = trimmed.iloc[odd].str.fullmatch(COMMA_NUMBER).to_numpy(bool)
        by_point[odd] = trimmed.iloc[odd].str.fullmatch(POINT_NUMBER).to_numpy(bool)
        return Column(name, trimmed, missing, plain, by_comma, by_point)

    @property
    def numeric(self) -> bool:
        """Whether most of what is known are numbers."""
        known = int((~self.missing).sum())
        numbers = int((~np.isnan(self.plain) | self.by_comma | self.by_point).sum())
        return known > 0 and numbers > NUMERIC_SHARE * known

    def first(self, which: np.ndarray) -> str | None:
        """The first cell of a kind, with its place, for a message."""
        found = np.flatnonzero(which)
        return (
            f"'{self.cells.iloc[found[0]]}' (column '{self.name}', {place(self.cells, int(found[0]))})"
            if len(found)
            else None
        )

    def numbers(self, decimal: str, file: str) -> np.ndarray:
        """The numbers, NaN where they are missing. Raises `CapaxError` for a cell that is none, or
        is infinite."""
        values = self.plain.copy()
        if decimal == ",":
            again = np.flatnonzero(
                ~self.missing & (self.by_comma | self.cells.str.contains(".", regex=False).to_numpy(bool))
            )
            texts = self.cells.iloc[again]
            grouped = texts.str.fullmatch(rf"(?:{COMMA_NUMBER})|[+-]?[1-9]\d{{0,2}}(?:\.\d{{3}})+").to_numpy(bool)
            texts = texts.where(grouped, "no number").str.replace(rf"\.|{_GROUP}", "", regex=True)
            values[again] = pd.to_numeric(texts.str.replace(",", ".", regex=False), errors="coerce")
            rest = np.flatnonzero(self.cells.str.fullmatch(GROUPED_WHOLE).to_numpy(bool) & self.by_point)
        else:
            rest = np.flatnonzero(self.by_point)
        texts = self.cells.iloc[rest].str.replace(rf",|{_GROUP}", "", regex=True)
        values[rest] = pd.to_numeric(texts, errors="coerce")
        wrong = self.first(np.isnan(values) & ~self.missing)
        if wrong is not None:
            raise CapaxError(
                f"{file}: {wrong} is no number, though most of its column are; write it as one, or leave the cell empty "
                "if the value is missing."
            )
        infinite = self.first(np.isinf(values))
        if infinite is not None:
            raise CapaxError(f"{file}: {infinite} is not finite; write a finite number, or leave the cell empty.")
        return values

    def doubtful_point(self, separator: str) -> str | None:
        """The first cell whose point may stand between thousands, where no cell of the column says
        which: all have three digits behind it, as in 1.006, and no whole number has four digits.
        Semicolons make that a question; else only whole numbers that are much larger do.
        """
        known = self.plain[np.isfinite(self.plain)]
        whole = known % 1 == 0
        if not len(known) or (np.abs(known) >= 1000).any() or ((np.abs(known) < 1) & ~whole).any():
            return None
        pointed = self.cells.str.contains(".", regex=False).to_numpy(bool) & ~self.missing
        either = self.cells.where(pointed, "").str.fullmatch(EITHER_POINT).to_numpy(bool)
        if not pointed.any() or not np.array_equal(pointed, either):
            return None
        others = np.abs(self.plain[~pointed & np.isfinite(self.plain)])
        larger = len(np.unique(others)) > 1 and np.median(others) > MUCH_LARGER * np.median(np.abs(self.plain[pointed]))
        return self.first(pointed) if separator == ";" or larger else None

    def missing_note(self) -> str | None:
        """How many values are missing and how the file writes it."""
        number = int(self.missing.sum())
        if not number:
            return None
        written = sorted(set(self.cells[self.missing]))
        marks = " or ".join("empty cells" if mark == "" else f"'{mark}'" for mark in written)
        values = counted(number, "value is", "values are")
        return f"column '{self.name}': {values} missing ({marks})"


def decimal_mark(columns: list[Column], separator: str, file: str) -> tuple[str, str | None]:
    """The decimal mark of a file's columns of numbers, and what is to be said of it.

    Raises `CapaxError` where cells contradict each other, or can be read in two ways.
    """
    comma = _first(columns, [c.by_comma & ~c.by_point for c in columns])
    grouped = [c.by_point & ~c.by_comma & ~c.cells.str.fullmatch(GROUPED_WHOLE).to_numpy(bool) for c in columns]
    point = _first(columns, grouped)
    either = _first(columns, [c.by_point & c.by_comma for c in columns])
    if comma is not None:
        certain = [c.cells.str.fullmatch(CERTAIN_POINT).to_numpy(bool) & ~np.isnan(c.plain) for c in columns]
        point = point or _first(columns, certain)
    if comma is not None and point is not None:
        raise CapaxError(
            f"{file}: {comma} has a decimal comma, {point} a decimal point; say which it is with --decimal."
        )
    if comma is not None:
        return ",", f"numbers have a decimal comma, as in {comma}"
    if point is not None:
        return ".", f"commas stand between thousands, as in {point}"
    if either is None:
        _check_points(columns, separator, file)
        return ".", None
    if separator == ",":  # where commas part cells, they are not decimal marks
        return ".", f"commas stand between thousands, as in {either}"
    raise CapaxError(
        f"{file}: {either} may have a decimal comma, or thousands; say which with --decimal , or --decimal . (a point)."
    )


def _check_points(columns: list[Column], separator: str, file: str) -> None:
    """Raise `CapaxError` where points may stand between thousands. That a column elsewhere has a
    certain decimal point settles what semicolons alone make doubtful."""
    found = [cell for column in columns if (cell := column.doubtful_point(separator)) is not None]
    if found and any((c.cells.str.fullmatch(CERTAIN_POINT).to_numpy(bool) & ~np.isnan(c.plain)).any() for c in columns):
        found = [cell for column in columns if (cell := column.doubtful_point("")) is not None]
    if found:
        raise CapaxError(
            f"{file}: {found[0]} may have a decimal point, or one between thousands; say which with --decimal . (a "
            "decimal point) or --decimal , (a decimal comma, points between thousands)."
        )


def _first(columns: list[Column], which: list[np.ndarray]) -> str | None:
    found = (column.first(cells) for column, cells in zip(columns, which, strict=True))
    return next((cell for cell in found if cell is not None), None)


def signed(cells: Any) -> str | None:
    """The first cell of a column of texts, each a number with a sign of a currency or of percent;
    None where the column is another one."""
    if not all(cell.strip().lower() in MISSING or _without_sign(cell.strip()) for cell in cells.head(100)):
        return None  # nearly all columns of words
    known = [cell for cell in cells.str.strip() if cell.lower() not in MISSING]
    if not known or not all(_without_sign(cell) for cell in known):
        return None
    return next((cell for cell in known if not is_number(cell)), None)


def _without_sign(cell: str) -> bool:
    bare = re.sub(rf"^([+-]?)\s*{SIGN}\s*|\s*{SIGN}$", r"\1", cell)
    return bare != "" and bare[-1].isdigit() and is_number(bare)


def is_number(cell: str) -> bool:
    """Whether a cell is a number, in whatever way it is written, or a mark of what is missing."""
    trimmed = cell.strip().replace("\u2212", "-")
    if trimmed.lower() in MISSING or re.fullmatch(rf"(?:{COMMA_NUMBER})|(?:{POINT_NUMBER})", trimmed):
        return True
    try:
        float(trimmed)
    except ValueError:
        return False
    return True
