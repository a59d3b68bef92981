"""The statistics of comparisons: straight lines, expected best scores, Welch's test for all pairs
with Holm's correction.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import gammaln

CONFIDENCE = 0.95

BAND_CONFIDENCE = 0.99
"""Student's quantile of the band of expected bests.

A jackknife interval with the 95% quantile covers 84 to 96% in simulations (12 to 60 scores; normal,
uniform, exponential, log-normal), this one 91 to 99% (docs/decisions/intervals.md)."""

BAND_UP_TO = 4
"""The band ends at a quarter of the trials: beyond it no resampling covers what it should."""

BAND_COVERS = (
    "Shaded, up to a quarter of the trials: a band around it that covers the expected best of further trials of the "
    "same kind in 95% of searches (91 to 99% in simulations); beyond, the line rests on a few trials and has no band."
)
"""What is said of the band wherever it is shown."""


@dataclasses.dataclass(frozen=True)
class Line:
    """y = slope x + intercept by least squares, with the slope's interval and the share of variance
    explained.
    """

    slope: float
    low: float
    high: float
    intercept: float
    r_squared: float
    points: int


def line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """The line through at least three points, Student's 95% interval for its slope; None for
    fewer.
    """
    if len(x) < 3 or len(set(x)) < 2:
        return None
    fit: Any = stats.linregress(x, y)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * fit.stderr
    return Line(fit.slope, fit.slope - half, fit.slope + half, fit.intercept, fit.rvalue**2, len(x))


def expected_best(scores: ArrayLike, sign: int) -> np.ndarray:
    """The expected best of n of these scores, drawn without replacement, for n = 1 .. all of them.

    `sign`: 1 where more is better, -1 where less is. A trial without a score must be given the
    worst there is. With scores sorted from worst to best, the k-th is the best of n draws with
    probability C(k-1, n-1) / C(N, n) (Dodge et al. 2019, Show Your Work, use the version with
    replacement).
    """
    values = np.asarray(scores, float)
    return sign * (_best_of(len(values)) @ np.sort(sign * values))


@functools.lru_cache(maxsize=8)
def _best_of(count: int) -> np.ndarray:
    """Row n - 1: the probabilities that the k-th of `count` sorted scores is the best of n."""
    n, k = np.arange(1, count + 1)[:, None], np.arange(1, count + 1)[None, :]
    possible = k >= n
    worse = np.where(possible, k, n) - 1
    log = _log_choose(worse, n - 1) - _log_choose(np.full_like(n, count), n)
    return np.where(possible, np.exp(log), 0.0)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def expected_best_band(scores: ArrayLike, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a 95% band of the expected best after 1 .. N / 4 trials; empty below four trials.

    Of N scores as a sample of the trials that there could be. The standard error is the jackknife's
    (Efron & Stein 1981): of the expected bests with each score left out.
    """
    values = np.sort(sign * np.asarray(scores, float))
    count = len(values)
    shown = count // BAND_UP_TO
    if not shown:
        return np.empty(0), np.empty(0)
    without = np.stack([np.delete(values, place) for place in range(count)])
    left_out = without @ _best_of(count - 1)[:shown].T
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    half = stats.t.ppf((1 + BAND_CONFIDENCE) / 2, count - 1) * error
    best = expected_best(scores, sign)[:shown]
    return best - half, best + half


@dataclasses.dataclass(frozen=True)
class Difference:
    """Welch's test of two means: t below 0 where the second mean is the larger.

    `holm`: p corrected for all pairs; `effect`: Hedges' g, the difference in standard deviations.
    """

    first: str
    second: str
    difference: float
    t: float
    df: float
    p: float
    holm: float
    effect: float


def welch(samples: Mapping[str, ArrayLike]) -> list[Difference]:
    """Welch's test for all pairs of groups that have at least two values each, with Holm's
    correction over the pairs.
    """
    groups = {name: np.asarray(values, float) for name, values in samples.items() if np.size(values) >= 2}
    found: list[Difference] = []
    for first, second in itertools.combinations(groups, 2):
        a, b = groups[first], groups[second]
        if a.var() + b.var() == 0:
            continue
        test: Any = stats.ttest_ind(a, b, equal_var=False)
        difference, effect = float(a.mean() - b.mean()), _hedges(a, b)
        t, df, p = float(test.statistic), float(test.df), float(test.pvalue)
        found.append(Difference(first, second, difference, t, df, p, math.nan, effect))
    corrected = holm([pair.p for pair in found])
    return [dataclasses.replace(pair, holm=adjusted) for pair, adjusted in zip(found, corrected, strict=True)]


def _hedges(a: np.ndarray, b: np.ndarray) -> float:
    count = len(a) + len(b)
    pooled = math.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (count - 2))
    return float((a.mean() - b.mean()) / pooled * (1 - 3 / (4 * count - 9))) if pooled else math.nan


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: p-values that control the chance of any false finding
    among all.
    """
    order = np.argsort(p)
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted


def share(successes: int, trials: int) -> tuple[float, float, float]:
    """A fraction with Wilson's 95% interval."""
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, "wilson")
    return successes / trials, float(interval.low), float(interval.high)


def mean_ratio(one: ArrayLike, other: ArrayLike) -> tuple[float, float, float]:
    """The ratio of two means of paired values, with Fieller's (1954) 95% interval.

    It is exact where values are normal: those r for which the mean of one - r * other is not
    distinguishable from 0 by Student's test. No interval below three pairs, or where it has no end.
    """
    a, b = np.asarray(one, float), np.asarray(other, float)
    ratio, count = float(a.mean() / b.mean()), len(a)
    if count < 3:
        return ratio, math.nan, math.nan
    (aa, ab), (_, bb) = np.cov(a, b) / count * stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) ** 2
    square, linear, constant = b.mean() ** 2 - bb, a.mean() * b.mean() - ab, a.mean() ** 2 - aa
    inside = linear**2 - square * constant
    if square <= 0 or inside < 0:
        return ratio, math.nan, math.nan
    root = math.sqrt(inside)
    return ratio, float((linear - root) / square), float((linear + root) / square)


def spread_tenfold(values: ArrayLike) -> bool:
    """Whether positive values lie more than tenfold apart: Student's interval covers too little
    then.
    """
    found = np.asarray(values, float)
    return len(found) > 1 and bool(found.min() > 0) and float(found.max()) > 10 * float(found.min())
