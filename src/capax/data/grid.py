"""A regular grid of time: the step that stamps have in common, and rows put on it.

Stamps are datetime64 in microseconds, or numbers where a file counts steps. A position is a number
of steps from a series' first stamp.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int, Shaped

from capax.errors import CapaxError, counted

Stamps = Shaped[np.ndarray, " rows"]
Kind = Literal["seconds", "months", "weekdays", "count", "rows"]

MICROSECONDS = 1e6
USUAL_SHARE = 0.5
"""So many steps must be of the usual length, the gaps aside that are whole multiples of it."""
ON_GRID_SHARE = 0.9
"""So many steps must be whole multiples of the usual one."""
NEAR = 0.01
"""A stamp this part of a step beside the grid counts as on it."""
MOST_STEPS, LEAST_STEPS = 4, 1000
"""A grid with more than 4 steps a row, and 1,000 beside, is none: most of it would be missing."""
LEAST_WEEKDAYS = 8
"""Days from which on a series without any Saturday or Sunday is one of weekdays."""
UNITS = {"week": 604_800, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}


@dataclasses.dataclass(frozen=True)
class Step:
    """The distance from a step of time to the next: `size` seconds, months, weekdays (1), or units
    of a count; "rows": stamps have none in common, or there are none, and a row is a step.
    """

    kind: Kind
    size: float = 1.0

    def __post_init__(self) -> None:
        whole = self.kind == "months"
        if self.kind not in get_args(Kind) or not 0 < self.size < np.inf or (whole and self.size % 1):
            raise CapaxError(f"a step of {self.size} {self.kind} is none.")

    def positions(self, first: Any, stamps: Stamps) -> Float[np.ndarray, " rows"]:
        """How many steps each stamp is behind `first` (one stamp, or one a row); of weekdays and
        months in whole numbers.
        """
        if self.kind == "rows":
            raise CapaxError("stamps without a common step have no grid.")
        if self.kind == "count":
            return (stamps - first) / self.size
        if self.kind == "seconds":
            return (stamps - first).astype("timedelta64[us]").astype(np.int64) / (self.size * MICROSECONDS)
        if self.kind == "weekdays":
            return np.busday_count(_days(np.asarray(first)), _days(stamps)).astype(float)
        return (_months(stamps) - _months(np.asarray(first))) / self.size

    def stamps(self, first: Any, positions: Int[np.ndarray, " steps"]) -> Stamps | None:
        """The stamps at these positions behind `first`; None where there are none."""
        if self.kind == "rows":
            return None
        if self.kind == "count":
            return first + positions * self.size
        if self.kind == "seconds":
            behind = np.round(positions * (self.size * MICROSECONDS)).astype("timedelta64[us]")
            return first + behind
        first = np.datetime64(first, "us")
        day = first.astype("datetime64[D]")
        if self.kind == "weekdays":
            return np.busday_offset(day, positions, roll="forward").astype("datetime64[us]") + (first - day)
        return _days_of_months(day, positions * int(self.size)).astype("datetime64[us]") + (first - day)

    @property
    def seconds(self) -> float | None:
        """Its length, of months and weekdays the mean one; None where it has none."""
        lengths = {"seconds": 1.0, "months": 365.2425 * 86_400 / 12, "weekdays": 86_400 * 7 / 5}
        return lengths[self.kind] * self.size if self.kind in lengths else None

    def __str__(self) -> str:
        if self.kind == "rows":
            return "1 row"
        if self.kind == "seconds":
            unit, length = next((u for u in UNITS.items() if self.size % u[1] == 0), ("second", 1))
            return _counted(self.size / length, unit)
        if self.kind == "months" and self.size % 12 == 0:
            return _counted(self.size / 12, "year")
        return f"{self.size:g}" if self.kind == "count" else _counted(self.size, self.kind[:-1])

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {"kind": self.kind, "size": self.size}

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "Step":
        """A step as `to_json` gave it. Raises `CapaxError` for anything else."""
        kind: Any = given.get("kind")
        size = given.get("size")
        if kind not in get_args(Kind) or not isinstance(size, int | float):
            raise CapaxError("this is no step of time: a 'kind' and a 'size' are due.")
        return Step(kind, float(size))


def find(stamps: Stamps, series: Int[np.ndarray, " rows"]) -> Step:
    """The step that stamps of all series have in common; "rows" where there is none.

    **Arguments:** `stamps` in order within each series; `series`: to which one each row belongs, in
    blocks.
    """
    if stamps.dtype.kind == "M":
        stamps = stamps.astype("datetime64[us]")
    distances = np.diff(stamps)
    inside = (np.diff(series) == 0) & (distances > np.zeros((), distances.dtype))
    distances = distances[inside]
    if not len(distances):
        return Step("rows")
    if stamps.dtype.kind != "M":
        return _usual(distances.astype(float), len(stamps), "count", 1.0)
    found = _calendar(stamps, series, inside, distances)
    return found or _usual(distances.astype(np.int64).astype(float), len(stamps), "seconds", MICROSECONDS)


def _usual(distances: Float[np.ndarray, " pairs"], rows: int, kind: Kind, unit: float) -> Step:
    """The commonest distance, where nearly all others are multiples of it."""
    lengths, counts = np.unique(distances, return_counts=True)
    usual = lengths[counts.argmax()]
    multiples = distances / usual
    on_grid = (np.abs(multiples - multiples.round()) <= NEAR * multiples.round()) & (multiples > 0.5)
    is_grid = counts.max() >= USUAL_SHARE * len(distances) and on_grid.mean() >= ON_GRID_SHARE
    if not is_grid or multiples.sum() > MOST_STEPS * rows + LEAST_STEPS:
        return Step("rows")
    return Step(kind, float(usual / unit))


def _calendar(stamps: Stamps, series: np.ndarray, inside: np.ndarray, distances: np.ndarray) -> Step | None:
    """Months, or weekdays, where stamps are so."""
    days = stamps.astype("datetime64[D]")
    clock = stamps - days.astype("datetime64[us]")
    if (clock != clock[0]).any():
        return None
    of_month = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(int)
    at_end = ((days + 1).astype("datetime64[M]") != days.astype("datetime64[M]")).all()
    if at_end or (of_month == of_month[0]).all():
        months = np.diff(_months(stamps))[inside]
        if len(months) and (months > 0).all():
            found = _usual(months.astype(float), len(stamps), "months", 1.0)
            return found if found.kind == "months" else None
    weekday = (days.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    one_day = np.timedelta64(1, "D")
    if (weekday < 5).all() and (distances == one_day).mean() > USUAL_SHARE and len(np.unique(days)) >= LEAST_WEEKDAYS:
        return Step("weekdays")
    return None


@dataclasses.dataclass(frozen=True)
class Gridded:
    """Series on a grid, one after the other: `values` (steps, columns), NaN for what is missing.
    `offsets` (series + 1,): where each begins, and the last ends; `firsts`: the stamp of each one's
    first step, None without stamps; `notes`: what was done, a line each.
    """

    values: Float[np.ndarray, "steps columns"]
    offsets: Int[np.ndarray, " bounds"]
    firsts: Shaped[np.ndarray, " series"] | None
    notes: tuple[str, ...]


def put(
    values: Float[np.ndarray, "rows columns"],
    stamps: Stamps | None,
    series: Int[np.ndarray, " rows"],
    step: Step,
) -> Gridded:
    """Rows put on the grid of each series: gaps become missing rows, rows of one time their mean.

    **Arguments:** `series`: to which one each row belongs, numbered from 0 in blocks; `stamps` in
    order within each.
    """
    begins = np.flatnonzero(np.diff(series, prepend=-1))
    ends = np.append(begins[1:], len(series))
    if step.kind == "rows" or stamps is None:
        return Gridded(values, np.append(begins, len(series)), None, ())
    if stamps.dtype.kind == "M":
        stamps = stamps.astype("datetime64[us]")
    first = np.repeat(stamps[begins], ends - begins)
    exact = step.positions(first, stamps)
    places = np.round(exact).astype(np.int64)
    lengths = places[ends - 1] + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    index = np.repeat(offsets[:-1], ends - begins) + places
    notes = _notes(exact, places, index, stamps, int(offsets[-1]), step)
    if offsets[-1] == len(values) and (np.diff(index) == 1).all():
        return Gridded(values, offsets, stamps[begins], notes)
    on_grid = np.stack([_means(column, index, int(offsets[-1])) for column in values.T], axis=1)
    return Gridded(on_grid, offsets, stamps[begins], notes)


def _means(column: Float[np.ndarray, " rows"], index: np.ndarray, steps: int) -> Float[np.ndarray, " steps"]:
    """The mean of the known values of each step."""
    known = ~np.isnan(column)
    counts = np.bincount(index[known], minlength=steps)
    sums = np.bincount(index[known], weights=column[known], minlength=steps)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _notes(
    exact: np.ndarray, places: np.ndarray, index: np.ndarray, stamps: Stamps, steps: int, step: Step
) -> tuple[str, ...]:
    said = []
    doubled = np.flatnonzero(np.diff(index) == 0)
    if len(doubled):
        rows = counted(len(doubled), "row shares its time", "rows share their time")
        said.append(f"{rows} with a row before (first: {shown(stamps[doubled[0] + 1])}): their mean is taken")
    missing = steps - (len(index) - len(doubled))
    if missing:
        after = shown(stamps[int(np.flatnonzero(np.diff(index) > 1)[0])])
        steps_are = counted(missing, "step is", "steps are")
        said.append(f"{steps_are} missing on a grid of {step}, the first after {after}: left as missing values")
    beside = int((np.abs(exact - places) > NEAR).sum())
    if beside:
        rows = "1 time stamp stands" if beside == 1 else f"{beside:,} time stamps stand"
        said.append(f"{rows} beside the grid of {step}: moved to the nearest step")
    return tuple(said)


def shown(stamp: Any) -> str:
    """A stamp as people write it."""
    if isinstance(stamp, np.datetime64):
        text = str(stamp.astype("datetime64[s]")).replace("T", " ")
        return text.removesuffix(" 00:00:00").removesuffix(":00")
    return f"{stamp:g}"


def _days(stamps: np.ndarray) -> np.ndarray:
    return stamps.astype("datetime64[D]")


def _months(stamps: np.ndarray) -> np.ndarray:
    return stamps.astype("datetime64[M]").astype(np.int64)


def _days_of_months(day: np.datetime64, months: np.ndarray) -> np.ndarray:
    """The same day some months later; the last day of shorter months, and where it is one."""
    month = day.astype("datetime64[M]")
    later = month + months
    begins, ends = later.astype("datetime64[D]"), (later + 1).astype("datetime64[D]") - 1
    if (day + 1).astype("datetime64[M]") != month:
        return ends
    return np.minimum(begins + (day - month.astype("datetime64[D]")), ends)


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" + ("" if number == 1 else "s")
