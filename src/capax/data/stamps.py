"""Time stamps: whether a column is one, in which form, and whether it is even and without gaps."""

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pandas as pd

from capax.data.places import place
from capax.errors import CapaxError, counted

DATES = (
    *("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y"),
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y", "%b %d, %Y", "%b %Y", "%d %B %Y", "%B %d, %Y", "%B %Y"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
FORMATS = ("ISO8601", *(date + time for date, time in itertools.product(DATES, TIMES)))
IN_WORDS = {"%Y": "year", "%y": "year", "%m": "month", "%d": "day", "%b": "month", "%B": "month"}

LOOKS_LIKE_A_STAMP = (
    r"(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{4}-\d{2}|(?:\d{1,2}[ -])?[A-Za-z]{3,9}[ -](?:\d{1,2},? )?\d{2,4})"
    r"(?:[ T]\d{1,2}:\d{2}.*)?"
)

NAMES = ("time", "date", "day", "timestamp", "stamp", "datetime", "ts", "epoch", "unix", "ds", "hour", "month", "year")
"""Words in the name of a column of time stamps."""
COUNTERS = ("t", "time", "step", "index", "tick", "frame")
"""Names of a column that counts time steps."""

EPOCHS = {"s": (1e8, 1e10), "ms": (1e11, 1e13), "us": (1e14, 1e16), "ns": (1e17, 1e19)}
"""Since 1970 in each unit: from 1973 to 2286."""
UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}

EVEN_SHARE = 0.9
"""With this share of equal steps, time is even but for gaps."""
FULL_SHARE = 0.5
"""With this share of the steps of a grid, stamps speak for the form in which they are read."""


@dataclasses.dataclass(frozen=True)
class Stamps:
    """`values`, one a row: datetime64, or numbers where the file counts steps; and the form in
    words."""

    values: pd.Series
    form: str


def is_stamp(cell: str) -> bool:
    """Whether a cell looks like a date or a time stamp."""
    return re.fullmatch(LOOKS_LIKE_A_STAMP, cell.strip()) is not None


def from_words(name: str, cells: pd.Series, file: str) -> Stamps | None:
    """The time stamps in a column of words; None where it has none.

    Raises `CapaxError` for a cell that is none among others that are."""
    trimmed = cells.str.strip()
    known = trimmed[trimmed != ""]
    sample = known.iloc[np.unique(np.linspace(0, len(known) - 1, min(len(known), 200)).astype(int))]
    if not len(sample) or not sample.str.contains(r"\d").all():
        return None
    chosen = _formats(sample)
    if not chosen:
        return None
    parsed = {form: _parsed(trimmed, form) for form in chosen}
    quality = {
        form: (int(moments.notna().sum()), _in_order(moments), len(parsed) > 1 and _even(moments))
        for form, moments in parsed.items()
    }
    form = max(quality, key=lambda form: quality[form])  # the first of equals
    values = parsed[form]
    rivals = [_words(other) for other in chosen if quality[other] == quality[form] and not values.equals(parsed[other])]
    if values.isna().any():
        row = int(values.isna().to_numpy().argmax())
        cell = trimmed.iloc[row]
        said = (
            f"'{cell}' in {place(cells, row)} is no time stamp like the others"
            if cell
            else f"{place(cells, row)} has no time stamp"
        )
        raise CapaxError(f"{file}: column '{name}': {said}.")
    zone = ", in UTC" if trimmed.iloc[0].endswith("Z") or _has_offset(trimmed.iloc[0]) else ""
    doubt = f", though {rivals[0]} fits, too; 2024-01-31 is always understood" if rivals else ""
    return Stamps(values, _words(form) + zone + doubt)


def from_numbers(name: str, values: pd.Series, *, named: bool = False) -> Stamps | None:
    """The time stamps in a column of numbers: days such as 20240131, seconds since 1970, or a count
    of steps.

    `named`: the user says that they are time stamps, so that any numbers will do."""
    words = name.lower().replace("_", " ").replace("-", " ").split()
    hinted = named or any(word in NAMES for word in words)
    known = values.dropna()
    if len(known) < len(values) or not len(known):
        return None
    whole, rising = bool((known % 1 == 0).all()), bool(known.is_monotonic_increasing)
    if whole and hinted and known.between(19000101, 22001231).all():
        days = pd.to_datetime(known.astype("int64").astype(str), format="%Y%m%d", errors="coerce")
        if days.notna().all():
            return Stamps(days, "days such as 20240131")
    for unit, (least, most) in EPOCHS.items():
        if (hinted or (rising and whole)) and known.between(least, most).all():
            return Stamps(pd.to_datetime(known, unit=unit), f"{UNITS[unit]} since 1970, in UTC")
    if whole and "year" in words and known.between(1000, 2500).all() and (named or (rising and known.is_unique)):
        return Stamps(pd.to_datetime(known.astype("int64").astype(str), format="%Y"), "years")
    counts = rising and len(known) > 1 and bool((known.diff().iloc[1:] == 1).all()) and whole
    if (
        named
        or (words and words[-1] in COUNTERS and len(words) == 1)
        or (counts and name in ("column 1", "Unnamed: 0"))
    ):
        return Stamps(values, "a count of steps" if whole else "numbers")
    return None


def rhythm(values: pd.Series) -> str | None:
    """What is to be said of one series' stamps in order: steps that are missing, or no even step at
    all."""
    moments = values.drop_duplicates()
    if len(moments) < 3 or _monthly(moments):
        return None
    steps = moments.diff().iloc[1:]
    counts = steps.value_counts()
    usual: Any = counts.index[0]
    if counts.iloc[0] < EVEN_SHARE * len(steps):
        shortest, longest = steps.min(), steps.max()
        return f"time stamps are not evenly spaced (from {_step(shortest)} to {_step(longest)} apart)"
    gaps = steps[steps > usual]
    if not len(gaps):
        return None
    missing = max(1, round(float((gaps / usual).sum() - len(gaps))))
    before = moments.iloc[int(np.flatnonzero((steps > usual).to_numpy())[0])]
    said = counted(missing, "step of", "steps of")
    return f"{said} {_step(usual)} {'is' if missing == 1 else 'are'} missing, the first after {before}"


def _monthly(moments: pd.Series) -> bool:
    """Whether steps are whole months of one length (which have unequal numbers of days)."""
    if not pd.api.types.is_datetime64_any_dtype(moments):
        return False
    months = moments.dt.year * 12 + moments.dt.month
    at_end = bool(moments.dt.is_month_end.all())
    return months.diff().iloc[1:].nunique() == 1 and months.is_unique and (at_end or moments.dt.day.nunique() == 1)


def _step(step: Any) -> str:
    if not isinstance(step, pd.Timedelta):
        return f"{step:g}"
    days = step.total_seconds() / 86_400
    return str(step).removeprefix("0 days ") if days < 1 else f"{days:g} {'day' if days == 1 else 'days'}"


def _formats(sample: pd.Series) -> list[str]:
    """The forms in which nearly all of a sample can be read."""
    least = 0.9 * len(sample)
    return [form for form in FORMATS if _parsed(sample, form).notna().sum() >= max(1, least)]


def _parsed(cells: pd.Series, form: str) -> pd.Series:
    try:
        return pd.to_datetime(cells, format=form, errors="coerce", utc=True).dt.tz_localize(None)
    except (ValueError, OverflowError):  # offsets that no calendar has
        return pd.Series(pd.NaT, index=cells.index, dtype="datetime64[ns]")


def _has_offset(cell: str) -> bool:
    clock = cell[10:]
    return ":" in clock and ("+" in clock or "-" in clock)


def _in_order(moments: pd.Series) -> bool:
    return bool(moments.is_monotonic_increasing or moments.is_monotonic_decreasing)


def _even(moments: pd.Series) -> bool:
    """Whether different stamps, put in order, fill most of a grid of their usual step, of time or
    of months."""
    ordered = moments.dropna().drop_duplicates().sort_values()
    if len(ordered) < 3:
        return False
    if _monthly(ordered):
        return True
    usual: Any = ordered.diff().iloc[1:].value_counts().index[0]
    return len(ordered) >= FULL_SHARE * (1 + (ordered.iloc[-1] - ordered.iloc[0]) / usual)


def _words(form: str) -> str:
    """A form such as %d.%m.%Y as "day.month.year"."""
    if form == "ISO8601":
        return "dates and times"
    date = next(date for date in sorted(DATES, key=len, reverse=True) if form.startswith(date))
    for code, word in IN_WORDS.items():
        date = date.replace(code, word)
    return f"dates as {date}"
