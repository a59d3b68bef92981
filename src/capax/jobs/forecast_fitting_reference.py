"""How a reference is fitted: by least squares with a ridge on the windows of the training part, its
lags and its ridge chosen there by blocks of time that are left out in turn.

A forecast of a window that the weights were fitted on is better than any of new windows. So a
network trains on forecasts of weights that were fitted without the block of time in which a window
lies, and quantiles are those of such forecasts' errors.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from capax.baselines import forecasting
from capax.jobs import forecast_reference as reference
from capax.jobs.forecast_reference import Autoregression

BLOCKS, STRETCHES = 5, 20
RIDGES = (1e-2, 1e-1, 1.0)
"""In parts of the number of windows, of terms that have a deviation of 1."""
MOST_LAGS, MOST_FORECASTS, MOST_FITTED = 64, 600_000, 12_000
"""It is fitted on at most 12,000 windows, and 600,000 values."""
LEAST_WINDOWS = 4
"""Windows a block, one after the other without overlap."""
LEAST_SPREAD = 0.05
WEEK = "day of week"
NEARLY = 0.005
"""The simplest counts whose error is above the least by no more than this part of it."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A reference; `of_blocks` (blocks, targets, horizon, terms): weights that were fitted without
    each block; `loss`: the mean pinball loss of the forecasts of those.
    """

    reference: Autoregression
    of_blocks: Float[np.ndarray, "blocks targets horizon terms"]
    loss: float


@dataclasses.dataclass(frozen=True)
class Problem:
    """Training windows: `origins` counted over all series, `series` of each, `blocks` of time of
    each, and `near` (blocks, windows): which windows have a step in common with a block.
    """

    series: Int[np.ndarray, " windows"]
    origins: Int[np.ndarray, " windows"]
    blocks: Int[np.ndarray, " windows"]
    near: np.ndarray

    @staticmethod
    def of(begins: np.ndarray, ends: np.ndarray, series: np.ndarray, origins: np.ndarray, horizon: int) -> "Problem":
        positions, lengths = origins - begins[series], (ends - begins)[series]
        ahead = [np.clip(positions + shift, 0, lengths - 1) for shift in (0, 1 - horizon, horizon - 1)]
        blocks = [block_of(at, lengths) for at in ahead]
        near = [np.any([each == block for each in blocks], axis=0) for block in range(BLOCKS)]
        return Problem(series, origins, blocks[0], np.array(near))


def block_of(positions: Any, lengths: Any) -> Any:
    """The block of an origin by its position in the training part of its series, of arrays of NumPy
    or JAX: 20 stretches of time belong to 5 blocks by turns, so that each has all seasons.
    """
    return positions * STRETCHES // lengths % BLOCKS


@dataclasses.dataclass(frozen=True)
class Choice:
    """A regression that is tried: its lags, calendar, and ridge, and the numbers of its terms."""

    lags: int
    calendar: tuple[str, ...]
    ridge: float
    terms: np.ndarray


def possible(longest: int, horizon: int) -> bool:
    """Whether a training part of so many steps is long enough for a reference."""
    return longest >= BLOCKS * LEAST_WINDOWS * horizon


def fit(
    arrays: Mapping[str, np.ndarray],
    problem: Problem,
    sizes: tuple[int, int, int],
    levels: Sequence[float],
    calendar: Sequence[str],
    longest: int,
) -> Fitted:
    """The reference of a training part that is long enough (`possible`).

    **Arguments:** `sizes`: horizon, season, and the number of covariates that are known until the
    origin alone; `longest`: steps of the longest series' training part.
    """
    horizon, season, past = sizes
    most = max(1, min(MOST_LAGS, max(8, 2 * season), longest // 8))
    seen = reference.terms(
        np, arrays, problem.series, problem.origins, (horizon, most, season, past), range(len(calendar))
    )
    came = arrays["targets"][problem.origins[:, None] + np.arange(horizon)]
    came = came - arrays["last"][problem.origins - 1][:, None]
    choices = _choices(seen.shape[-1], most, season, calendar)
    errors = np.zeros((len(choices), *came.shape), np.float32)
    for target, step in np.ndindex(came.shape[2], horizon):
        one = _One(seen[:, step, target].astype(np.float64), came[:, step, target].astype(np.float64), problem)
        for number, choice in enumerate(choices):
            errors[number, :, step, target] = one.errors(choice)
    means = np.nanmean(np.abs(errors), axis=(1, 2, 3))
    number = int(np.flatnonzero(means <= (1 + NEARLY) * means.min())[0])
    chosen = choices[number]
    weights = np.zeros((BLOCKS + 1, came.shape[2], horizon, len(chosen.terms)))
    for target, step in np.ndindex(came.shape[2], horizon):
        one = _One(seen[:, step, target].astype(np.float64), came[:, step, target].astype(np.float64), problem)
        for block in range(BLOCKS + 1):
            weights[block, target, step] = one.weights(chosen, block)
    found = _with_errors(chosen, weights[-1], errors[number], levels)
    return Fitted(found, weights[:-1].astype(np.float32), _loss(errors[number], found, levels))


def _loss(errors: np.ndarray, found: Autoregression, levels: Sequence[float]) -> float:
    above = errors[..., None] - np.swapaxes(found.arrays[1], 0, 1)[None]
    level = np.asarray(levels)
    return float(np.nanmean(np.maximum(level * above, (level - 1) * above)))


def _choices(terms: int, most: int, season: int, calendar: Sequence[str]) -> list[Choice]:
    """What is tried, the simplest first: few lags, no day of the week, a small ridge."""
    shorter = tuple(name for name in calendar if name != WEEK)
    first = terms - (most - 1) - 2 * len(calendar)
    found = []
    for lags in sorted({lags for lags in (1, 3, 8, season, most) if lags <= most}):
        for names in dict.fromkeys((shorter, tuple(calendar))):
            of_names = [first + 2 * calendar.index(name) + part for name in names for part in (0, 1)]
            before = range(terms - (most - 1), terms - (most - 1) + lags - 1)
            numbers = np.array([*range(first), *of_names, *before])
            found += [Choice(lags, names, ridge, numbers) for ridge in RIDGES]
    return found


def _with_errors(chosen: Choice, weights: np.ndarray, errors: np.ndarray, levels: Sequence[float]) -> Autoregression:
    quantiles, spread = [], []
    for target in range(errors.shape[2]):
        of_target = errors[..., target].astype(np.float64)
        found = forecasting.quantiles(of_target, levels)
        quantiles.append(np.nan_to_num(found))
        spread.append(np.maximum(LEAST_SPREAD, np.nan_to_num(np.nanstd(of_target, axis=0), nan=1.0)))
    return Autoregression.of(chosen.lags, chosen.calendar, weights, np.array(quantiles), np.array(spread))


class _One:
    """The regression of one target, one step ahead, with each block of time left out in turn."""

    def __init__(self, seen: np.ndarray, came: np.ndarray, problem: Problem):
        known = ~np.isnan(came)
        self._seen, self._came, self._known, self._problem = seen, np.where(known, came, 0.0), known, problem
        self._unit = np.maximum(seen[known].std(axis=0) if known.any() else 1.0, 1e-6)
        self._unit[0] = 1.0
        scaled = np.concatenate([seen / self._unit, self._came[:, None]], axis=1) * known[:, None]
        total = scaled.T @ scaled
        parts = [scaled[near] for near in problem.near]
        self._products = [*(total - part.T @ part for part in parts), total]
        self._counts = [*(int((known & ~near).sum()) for near in problem.near), int(known.sum())]

    def weights(self, choice: Choice, block: int) -> np.ndarray:
        """The weights of a choice's terms, fitted without a block; the last "block" is none."""
        terms = choice.terms
        product, number = self._products[block], max(1, self._counts[block])
        gram = product[np.ix_(terms, terms)] / number + np.diag([1e-9, *[choice.ridge] * (len(terms) - 1)])
        return np.linalg.solve(gram, product[terms, -1] / number) / self._unit[terms]

    def errors(self, choice: Choice) -> np.ndarray:
        """What came, less the forecast of the weights without the window's block; NaN where that is
        not known."""
        found = np.full(len(self._came), np.nan)
        for block in range(BLOCKS):
            of_block = (self._problem.blocks == block) & self._known
            seen = self._seen[np.ix_(of_block, choice.terms)]
            found[of_block] = self._came[of_block] - seen @ self.weights(choice, block)
        return found
