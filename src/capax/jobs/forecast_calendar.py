"""What the calendar says of a step of time: places in the day, the week, and the year, and the
seasons and horizons that are usual for a step.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped

from capax.data.grid import Step

HOUR, DAY, WEEK, YEAR = 3600.0, 86_400.0, 604_800.0, 365.2425 * 86_400

PERIODS = {"time of day": DAY, "day of week": WEEK, "day of year": YEAR}
"""Features of the calendar, and how long it takes until they come again, in seconds."""

LEAST_PERIODS = 1.95
"""A training part must hold nearly two periods, so that what comes again is told from a trend."""
LEAST_STEPS = 1.99
"""Steps of a period: with fewer, its place says nothing."""


def supported(step: Step, span: float) -> tuple[str, ...]:
    """The features of the calendar that a step, and a training part of `span` seconds, support."""
    seconds = step.seconds
    if seconds is None:
        return ()
    # A weekday's length is a mean: its days have no hours.
    return tuple(
        name
        for name, period in PERIODS.items()
        if span >= LEAST_PERIODS * period and period >= LEAST_STEPS * (DAY if step.kind == "weekdays" else seconds)
    )


def phases(stamps: Shaped[np.ndarray, " steps"], names: Sequence[str]) -> Float[np.ndarray, "steps names"]:
    """Where in its period each stamp is, from 0 to 1."""
    days = stamps.astype("datetime64[D]")
    seconds = (stamps - days).astype("timedelta64[us]").astype(np.int64) / 1e6
    found = {
        "time of day": lambda: seconds / DAY,
        "day of week": lambda: ((days.astype(np.int64) + 3) % 7) / 7,  # 1970-01-01 was a Thursday
        "day of year": lambda: _of_year(days, seconds),
    }
    return np.stack([found[name]() for name in names], axis=1) if names else np.zeros((len(stamps), 0))


def _of_year(days: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    years = days.astype("datetime64[Y]")
    begins, ends = years.astype("datetime64[D]"), (years + 1).astype("datetime64[D]")
    return ((days - begins).astype(int) + seconds / DAY) / (ends - begins).astype(int)


def seasons(step: Step) -> list[int] | None:
    """The seasons that the calendar gives a step, in steps; None where there is no calendar."""
    if step.kind == "months":
        return [int(12 // step.size)] if 12 % step.size == 0 and step.size < 12 else []
    if step.kind == "weekdays":
        return [5, 261]
    if step.kind != "seconds":
        return None
    found = []
    for period in (HOUR, DAY, WEEK, YEAR):
        steps = period / step.size
        near = abs(steps - round(steps)) < 1e-6 or period == YEAR
        if near and round(steps) >= 2:
            found.append(round(steps))
    return found


def usual_horizon(step: Step) -> int:
    """How far ahead one usually wants to know, in steps."""
    if step.kind == "months":
        return int(12 // step.size) if step.size < 12 else 4
    if step.kind == "weekdays":
        return 5
    if step.kind != "seconds":
        return 10
    ahead = next(span for span in (HOUR, DAY, WEEK, 4 * WEEK, YEAR, 4 * YEAR) if span >= 4 * step.size)
    return max(1, min(96, round(ahead / step.size)))
