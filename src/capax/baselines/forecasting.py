"""Forecasts of a series without a network: persistence, seasonal naive, linear autoregression.

Each method is fitted on the training part of a series, and forecasts `horizon` steps from many
origins. A forecast from origin t sees values before t alone. Its quantiles are the point forecast
plus the quantiles of the errors that the method makes at each step on earlier windows.

Symbols: series (time,), NaN for what is missing; origins (windows,), the numbers of the first
steps that are forecast; forecasts (windows, horizon).
"""

import abc
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from capax.errors import CapaxError

Series = Float[np.ndarray, " time"]
Origins = Int[np.ndarray, " windows"]
Forecasts = Float[np.ndarray, "windows horizon"]

LEAST_ERRORS = 20
"""Errors that their quantiles are made of, at least."""
MOST_FITTED = 50_000
"""So many last values of a series the linear autoregression is fitted on."""


def filled(series: Series) -> Series:
    """Missing values become the last known one before them; those before the first known one become
    it. Raises `CapaxError` for a series without any value.
    """
    known = ~np.isnan(series)
    if not known.any():
        raise CapaxError("a series without any value has no forecast.")
    last = np.maximum.accumulate(np.where(known, np.arange(len(series)), -1))
    return series[np.where(last < 0, known.argmax(), last)]


class Baseline(abc.ABC):
    """A method, fitted or without anything to fit. `name`: as tables show it. `history`: how many
    values before an origin it needs.
    """

    name: str
    history: int

    @abc.abstractmethod
    def points(self, series: Series, origins: Origins, horizon: int) -> Forecasts:
        """Point forecasts of a series without missing values."""

    def forecast(self, series: Series, origins: Origins, horizon: int) -> Forecasts:
        """Point forecasts; missing values before an origin are filled with the last known one.

        Raises `CapaxError` for an origin with fewer than `history` values before it.
        """
        if len(origins) and origins.min() < self.history:
            raise CapaxError(
                f"{self.name} needs {self.history} values before a forecast; an origin has {origins.min()}."
            )
        return self.points(filled(series), origins, horizon)


@dataclasses.dataclass(frozen=True)
class SeasonalNaive(Baseline):
    """The values of the last whole season again; with a season of 1 the last value, persistence."""

    season: int

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "persistence" if self.season == 1 else f"seasonal naive ({self.season})"

    @property
    def history(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.season

    def points(self, series: Series, origins: Origins, horizon: int) -> Forecasts:
        steps = np.arange(horizon) % self.season
        return series[origins[:, None] - self.season + steps[None, :]]


@dataclasses.dataclass(frozen=True)
class LinearAutoregression(Baseline):
    """For each step of the horizon its own linear regression on the last `lags` values and, where
    there is a season, on the values of the same time one and two seasons before (a direct forecast;
    Marcellino, Stock & Watson 2006).
    """

    lags: int
    season: int
    weights: Float[np.ndarray, "horizon inputs"]

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "linear autoregression"

    @property
    def history(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _needed(self.lags, self.season)

    @staticmethod
    def fit(training: Series, horizon: int, season: int, lags: int | None = None) -> "LinearAutoregression":
        """By least squares with a small ridge, on all windows of the last 50,000 training values.

        What is missing is no target. **Arguments:** `season`: in steps, 1 for none. `lags`: by
        default two seasons, at least 8 and at most 64, and fewer where the series is short.

        Raises `CapaxError` for a series that is too short for any window.
        """
        wanted = min(64, max(8, 2 * season)) if lags is None else lags
        training = training[-MOST_FITTED:]
        series = filled(training)
        while lags is None and wanted > 1 and len(series) - _needed(wanted, season) - horizon < 4 * (wanted + 3):
            wanted //= 2
        first, last = _needed(wanted, season), len(series) - horizon
        if last - first < 2:
            raise CapaxError(
                f"linear autoregression: {len(series):,} values are too few for {wanted} lags, a season of {season}, and "
                f"{horizon} steps ahead."
            )
        origins = np.arange(first, last + 1)
        level = series.mean()
        weights = []
        for step in range(horizon):
            known = origins[~np.isnan(training[origins + step])]
            inputs = _inputs(series - level, known, step, wanted, season)
            gram = inputs.T @ inputs
            gram[np.diag_indices(len(gram))] += 1e-6 * np.trace(gram) / len(gram) + 1e-12
            found = np.linalg.solve(gram, inputs.T @ (series[known + step] - level))
            # The level goes into the constant, so that a forecast takes the series as it is.
            found[0] += level * (1 - found[1:].sum())
            weights.append(found)
        return LinearAutoregression(wanted, season, np.stack(weights))

    def points(self, series: Series, origins: Origins, horizon: int) -> Forecasts:
        if horizon > len(self.weights):
            raise CapaxError(f"linear autoregression was fitted for {len(self.weights)} steps ahead, not {horizon}.")
        steps = [_inputs(series, origins, step, self.lags, self.season) @ self.weights[step] for step in range(horizon)]
        return np.stack(steps, axis=1)


def _needed(lags: int, season: int) -> int:
    return max(lags, 2 * season if season > 1 else 1)


def _inputs(series: Series, origins: Origins, step: int, lags: int, season: int) -> Float[np.ndarray, "windows inputs"]:
    """1, the last values, and those of the same time one and two seasons before, as far as they lie
    before the origin: else the latest such time."""
    columns = [np.ones(len(origins)), *(series[origins - lag] for lag in range(1, lags + 1))]
    if season > 1:
        ahead = step % season
        columns += [series[origins + ahead - seasons * season] for seasons in (1, 2)]
    return np.stack(columns, axis=1)


def quantiles(errors: Forecasts, levels: Sequence[float]) -> Float[np.ndarray, "horizon quantiles"]:
    """Quantiles of a method's errors at each step ahead, to be added to its point forecasts; NaN in
    `errors` does not count.

    Of a step with fewer than 20 known errors they are those of all steps; NaN where these are
    fewer, too.
    """
    found = np.full((errors.shape[1], len(levels)), np.nan)
    every = errors[~np.isnan(errors)]
    for step in range(errors.shape[1]):
        known = errors[~np.isnan(errors[:, step]), step]
        known = known if len(known) >= LEAST_ERRORS else every
        if len(known) >= LEAST_ERRORS:
            found[step] = np.quantile(known, levels)
    return found
