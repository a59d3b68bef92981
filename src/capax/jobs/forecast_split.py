"""Series cut by time: training, then validation, then evaluation, each with its origins.

An origin is the first step that is forecast, counted over all series. A window forecasts steps of
its own part alone; what it sees before may reach back into earlier parts.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from capax.errors import CapaxError, counted
from capax.jobs.forecast_series import Panel

MOST_WINDOWS = 4096
"""So many windows a held-out part is scored on."""

LEAST_BEFORE = 2
"""Steps before the first origin of a training part."""


@dataclasses.dataclass(frozen=True)
class Windows:
    """`series` and `origins` of windows, in the order of time."""

    series: Int[np.ndarray, " windows"]
    origins: Int[np.ndarray, " windows"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """Where the parts of each series begin and end, counted over all series."""

    begins: Int[np.ndarray, " series"]
    validation: Int[np.ndarray, " series"]
    evaluation: Int[np.ndarray, " series"]
    ends: Int[np.ndarray, " series"]

    @property
    def longest(self) -> int:
        """Steps of the longest training part."""
        return int((self.validation - self.begins).max())

    def windows(self, panel: Panel, horizon: int, part: str, most: int = MOST_WINDOWS) -> Windows:
        """The windows of a part ("train", "validation", "evaluation"), at most `most`, evenly
        spaced.
        """
        begins, ends = {
            "train": (self.begins + LEAST_BEFORE, self.validation),
            "validation": (self.validation, self.evaluation),
            "evaluation": (self.evaluation, self.ends),
        }[part]
        counts = np.maximum(ends - horizon + 1 - begins, 0)
        total = int(counts.sum())
        chosen = np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(int))
        after = np.cumsum(counts)
        series = np.searchsorted(after, chosen, side="right")
        origins = begins[series] + chosen - (after - counts)[series]
        order = np.lexsort((series, _times(panel, series, origins)))
        return Windows(series[order], origins[order])


def _times(panel: Panel, series: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """By what windows are ordered: time stamps, or else steps from a series' begin."""
    positions = origins - panel.offsets[series]
    if panel.firsts is None:
        return positions
    times = np.empty(len(series), panel.firsts.dtype)
    for number in np.unique(series):
        chosen = series == number
        times[chosen] = panel.stamps(int(number), positions[chosen])
    return times


def least(horizon: int) -> int:
    """Steps that a series must have."""
    return 3 * horizon + LEAST_BEFORE


def split(panel: Panel, horizon: int, share: float) -> tuple[Panel, Parts, list[str]]:
    """The series that are long enough, where their parts are, and what is to be said.

    **Arguments:** `share` of validation and of evaluation, each at least one horizon long.

    Raises `CapaxError` where no series is long enough.
    """
    notes = []
    long_enough = panel.lengths >= least(horizon)
    if not long_enough.any():
        longest = int(panel.lengths.max(initial=0))
        which = "the series has" if len(panel.names) == 1 else "the longest series has"
        raise CapaxError(
            f"{which} {counted(longest, 'step')} from its first known target to its last; "
            f"{counted(horizon, 'step ahead needs', 'steps ahead need')} "
            f"{least(horizon):,} or more, for training, validation, and evaluation: give more rows, or a shorter horizon."
        )
    if not long_enough.all():
        short = [panel.names[number] for number in np.flatnonzero(~long_enough)]
        shown = ", ".join(short[:5]) + (", .." if len(short) > 5 else "")
        notes.append(f"{len(short):,} series with fewer than {least(horizon):,} known steps left out: {shown}")
        panel = panel.cut(np.zeros(len(panel.names), int), np.where(long_enough, panel.lengths, 0))
    lengths = panel.lengths
    room = (lengths - LEAST_BEFORE - horizon) // 2
    held = np.minimum(np.maximum(horizon, np.round(share * lengths).astype(int)), room)
    begins, ends = panel.offsets[:-1], panel.offsets[1:]
    parts = Parts(begins, ends - 2 * held, ends - held, ends)
    notes.append(_said(panel, held))
    return panel, parts, notes


def _said(panel: Panel, held: np.ndarray) -> str:
    steps, kept = int(panel.lengths.sum()), int(2 * held.sum())
    if len(panel.names) == 1:
        return (
            f"split by time: {counted(steps - kept, 'step')} for training, then {kept // 2:,} for validation, and the last "
            f"{kept // 2:,} for evaluation"
        )
    return (
        f"split by time, in each series first training, then validation, last evaluation: {steps - kept:,}, "
        f"{kept // 2:,}, and {counted(kept // 2, 'step')} of {len(panel.names):,} series together"
    )
