"""Intervals of scores by resampling what was predicted."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

CONFIDENCE = 0.95
DRAWS = 2000
"""Resampled data sets of an interval."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score, and the ends of its 95% interval; NaN for both where there is none."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def estimate(
    statistic: Callable[[Int[np.ndarray, " units"]], float], units: int, *, block: int = 1, seed: int = 0
) -> Estimate:
    """A score of `units` things that were predicted, with the interval of the percentile bootstrap.

    **Arguments:** `statistic`: the score of the units with these numbers, each as often as it is
    named. `block`: how many neighbours are drawn together, in a circle: forecasts from neighbouring
    times err alike, and single draws would make intervals too narrow (Politis & Romano 1992). 1:
    units are independent.

    Below eight blocks there is no interval: too few to resample.
    """
    every = np.arange(units)
    value = float(statistic(every))
    blocks = math.ceil(units / block)
    if blocks < 8:
        return Estimate(value, math.nan, math.nan)
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        starts = random.integers(units, size=blocks)
        places = (starts[:, None] + np.arange(block)[None, :]).ravel()[:units] % units
        drawn.append(statistic(places))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def block_length(errors: Float[np.ndarray, " units"]) -> int:
    """A length of blocks for errors in the order of time: the lag from which their
    autocorrelation stays below what white noise shows, and at least the cube root of their number.
    """
    count = len(errors)
    least = max(1, round(count ** (1 / 3)))
    centred = errors - errors.mean()
    variance = float(centred @ centred)
    if variance == 0:
        return least
    bound, most = 2 / math.sqrt(count), max(least, count // 8)
    for lag in range(1, most):
        if abs(float(centred[:-lag] @ centred[lag:])) / variance < bound:
            return max(least, min(2 * lag, most))
    return most
