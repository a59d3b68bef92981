"""Scores of forecasts: errors in the unit of the series, relative ones, and those of quantiles.

Symbols: y (windows, horizon), what came; f, the point forecasts; q (windows, horizon, quantiles),
the forecast quantiles. Windows are in the order of time. NaN in y: not known, and not scored.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from capax.scoring.resampling import Estimate, block_length, estimate

Targets = Float[np.ndarray, "windows horizon"]
Quantiles = Float[np.ndarray, "windows horizon quantiles"]


def mae(y: Targets, f: Targets) -> Estimate:
    """Mean absolute error."""
    return _mean(np.abs(y - f))


def mae_difference(y: Targets, f: Targets, g: Targets) -> Estimate:
    """By how much the mean absolute error of `f` is above that of `g`, window by window."""
    return _mean(np.abs(y - f) - np.abs(y - g))


def rmse(y: Targets, f: Targets) -> Estimate:
    """Root of the mean squared error."""
    return _mean((y - f) ** 2, math.sqrt)


def mase(y: Targets, f: Targets, scale: float) -> Estimate:
    """Mean absolute scaled error (Hyndman & Koehler 2006): the mean absolute error divided by
    `scale`, from `naive_scale`. Below 1: better than the seasonal naive forecast of one step is on
    the training data.
    """
    return _mean(np.abs(y - f) / scale)


def naive_scale(training: Float[np.ndarray, " time"], season: int) -> float:
    """The mean absolute difference of a training series to itself a season before; 1 where that is
    0 or not known.
    """
    difference = np.abs(training[season:] - training[:-season]) if len(training) > season else np.empty(0)
    known = difference[~np.isnan(difference)]
    return float(known.mean()) if len(known) and known.mean() > 0 else 1.0


def pinball(y: Targets, q: Quantiles, levels: Sequence[float]) -> Estimate:
    """Pinball loss, the mean over the quantiles: for a level a, a (y - q) where y is above q, and
    (1 - a) (q - y) below (Koenker & Bassett 1978).
    """
    difference = y[..., None] - q
    a = np.asarray(levels)
    return _mean(np.maximum(a * difference, (a - 1) * difference).mean(axis=-1))


def coverage(y: Targets, low: Targets, high: Targets) -> Estimate:
    """The share of what came that lies between two quantiles, the ends included."""
    inside = ((low <= y) & (y <= high)).astype(float)
    return _mean(np.where(np.isnan(y), np.nan, inside))


def _mean(values: Targets, after: Callable[[float], float] = float) -> Estimate:
    """`after` of the mean of known values, with an interval over windows."""
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    if not counts.sum():
        return Estimate(math.nan, math.nan, math.nan)

    def statistic(windows: np.ndarray) -> float:
        count = counts[windows].sum()
        return after(float(sums[windows].sum() / count)) if count else math.nan

    means = sums / np.maximum(counts, 1)
    return estimate(statistic, len(values), block=block_length(means[counts > 0]))
