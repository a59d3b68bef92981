"""The statistics of comparisons: straight lines, expected best scores, Welch's test for all pairs with Holm's correction."""

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
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Line:
    """y = slope x + intercept by least squares, with the slope's interval and the share of variance explained."""

    slope: float
    low: float
    high: float
    intercept: float
    r_squared: float
    points: int


def line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """The line through at least three points, Student's 95% interval for its slope; None for fewer."""
    if len(x) < 3 or len(set(x)) < 2:
        return None
    fit: Any = stats.linregress(x, y)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * fit.stderr
    return Line(fit.slope, fit.slope - half, fit.slope + half, fit.intercept, fit.rvalue**2, len(x))


def expected_best(scores: ArrayLike, sign: int) -> np.ndarray:
    """The expected best of n of these scores, drawn without replacement, for n = 1 .. all of them.

    `sign`: 1 where more is better, -1 where less is. A trial without a score must be given the worst there is.
    With scores sorted from worst to best, the k-th is the best of n draws with probability C(k-1, n-1) / C(N, n)
    (Dodge et al. 2019, Show Your Work, use the version with replacement).
    """
    values = np.asarray(scores, float)
    return sign * (_best_of(len(values)) @ np.sort(sign * values))


@functools.lru_cache(maxsize=4)
def _best_of(count: int) -> np.ndarray:
    """Row n - 1: the probabilities that the k-th of `count` sorted scores is the best of n."""
    n, k = np.arange(1, count + 1)[:, None], np.arange(1, count + 1)[None, :]
    possible = k >= n
    worse = np.where(possible, k, n) - 1
    log = _log_choose(worse, n - 1) - _log_choose(np.full_like(n, count), n)
    return np.where(possible, np.exp(log), 0.0)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def expected_best_band(scores: ArrayLike, sign: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The expected best after 1 .. N trials, and its 95% band by resampling trials."""
    random = np.random.default_rng(seed)
    values = np.asarray(scores, float)
    again = np.stack([expected_best(random.choice(values, len(values)), sign) for _ in range(400)])
    low, high = np.quantile(again, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return expected_best(values, sign), low, high


@dataclasses.dataclass(frozen=True)
class Difference:
    """Welch's test of two means: t below 0 where the second mean is the larger; `holm`: p corrected for all pairs; `effect`:
    Hedges' g, the difference in standard deviations."""

    first: str
    second: str
    difference: float
    t: float
    df: float
    p: float
    holm: float
    effect: float


def welch(samples: Mapping[str, ArrayLike]) -> list[Difference]:
    """Welch's test for all pairs of groups that have at least two values each, with Holm's correction over the pairs."""
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
    """Holm's (1979) step-down correction: p-values that control the chance of any false finding among all."""
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


def mean_ratio(one: ArrayLike, other: ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """The ratio of two means of paired values with a 95% interval by resampling pairs; no interval below three pairs."""
    a, b = np.asarray(one, float), np.asarray(other, float)
    ratio = float(a.mean() / b.mean())
    if len(a) < 3:
        return ratio, math.nan, math.nan
    chosen = np.random.default_rng(seed).integers(0, len(a), (RESAMPLES, len(a)))
    low, high = np.quantile(a[chosen].mean(axis=1) / b[chosen].mean(axis=1), [0.025, 0.975])
    return ratio, float(low), float(high)
