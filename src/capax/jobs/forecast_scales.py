"""The scales of series, measured on their training parts: the mean and the deviation of each
column, and by how much each target usually changes within the horizon.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from capax.errors import CapaxError

LAGS = 8
"""Of so many distances, up to the horizon, changes are measured."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """Of one series: `mean` and `deviation` of every column, targets first; `change` of every
    target, the root of the mean square of its changes within the horizon. All above 0 but means.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    change: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.deviation) or not 1 <= len(self.change) <= len(self.mean):
            raise CapaxError("a scale has a mean and a deviation for each column, and a change for each target.")
        numbers = (*self.mean, *self.deviation, *self.change)
        if not all(map(math.isfinite, numbers)) or min(*self.deviation, *self.change) <= 0:
            raise CapaxError("a scale has finite means, and finite deviations and changes above 0.")

    @staticmethod
    def of(values: Float[np.ndarray, "steps columns"], targets: int, horizon: int) -> "Scale":
        """From the training part of a series, whose first columns are the targets. What is missing
        does not count; a column without a value, or a constant one, has a deviation of 1.
        """
        means, deviations = zip(*(_moments(column) for column in values.T), strict=True)
        changes = [_change(column, horizon, deviation) for column, deviation in zip(values.T, deviations, strict=True)]
        return Scale(means, deviations, tuple(changes[:targets]))

    def to_json(self) -> dict[str, list[float]]:
        """What `from_json` takes."""
        return {name: list(part) for name, part in dataclasses.asdict(self).items()}

    @staticmethod
    def from_json(given: Any) -> "Scale":
        """A scale as `to_json` gave it. Raises `CapaxError` for anything else."""
        named = given if isinstance(given, Mapping) else {}
        parts = [named.get(name) for name in ("mean", "deviation", "change")]
        if not all(isinstance(part, list) and all(_is_number(x) for x in part) for part in parts):
            raise CapaxError("this is no scale: lists of numbers named mean, deviation, and change are due.")
        return Scale(*(tuple(float(x) for x in part) for part in parts if part is not None))


def stacked(scales: Sequence[Scale]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and deviations (series, columns), and changes (series, targets)."""
    means = np.array([scale.mean for scale in scales], float)
    deviations = np.array([scale.deviation for scale in scales], float)
    return means, deviations, np.array([scale.change for scale in scales], float)


def _moments(column: Float[np.ndarray, " steps"]) -> tuple[float, float]:
    known = column[~np.isnan(column)]
    if not len(known):
        return 0.0, 1.0
    mean, deviation = float(known.mean()), float(known.std())
    return mean, 1.0 if deviation <= _rounding(mean) else deviation


def _change(column: Float[np.ndarray, " steps"], horizon: int, deviation: float) -> float:
    """The root of the mean square of the changes at some distances up to the horizon."""
    lags = np.unique(np.linspace(1, min(horizon, max(1, len(column) - 1)), LAGS).round().astype(int))
    squares = [(column[lag:] - column[:-lag]) ** 2 for lag in lags]
    known = np.concatenate([found[~np.isnan(found)] for found in squares])
    change = math.sqrt(float(known.mean())) if len(known) else 0.0
    known_values = column[~np.isnan(column)]
    level = float(np.abs(known_values).max(initial=0.0))
    return deviation if change <= _rounding(level) else change


def _rounding(level: float) -> float:
    """What rounding may leave of a constant."""
    return 1e-12 * max(1.0, abs(level))


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)
