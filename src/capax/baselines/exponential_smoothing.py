"""Exponential smoothing with a damped trend and an additive season, as statsmodels fits it.

The parameters are fitted once, on the training part. Forecasts from many origins come from the
method's own recursion over the series, without fitting again.

Symbols (Hyndman, Koehler, Ord & Snyder 2008, the model AAdA): y the series; l level, b trend, s
season of m steps; phi damping; e error. At each step

    e = y - (l + phi b + s[t-m])
    l' = l + phi b + alpha e        b' = phi b + beta e        s[t] = s[t-m] + gamma e

and h steps ahead l + (phi + .. + phi^h) b + s[t+h-m ceil(h/m)].
"""

import dataclasses
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from capax.baselines.forecasting import Baseline, Forecasts, Origins, Series, filled
from capax.errors import CapaxError

MOST_FITTED = 4000
"""So many last values are fitted."""
MOST_SEASON = 200
"""Longer seasons have more states than this method can carry."""
LEAST_VALUES, LEAST_SEASONS = 12, 3


@dataclasses.dataclass(frozen=True)
class ExponentialSmoothing(Baseline):
    """`parameters`: alpha, beta, gamma, phi. `level`, `trend`, and `seasonal` (the last season, its
    oldest step first) are the states before step `begin` of the series it was fitted on.
    """

    season: int
    begin: int
    parameters: tuple[float, float, float, float]
    level: float
    trend: float
    seasonal: Float[np.ndarray, " season"]

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "exponential smoothing"

    @property
    def history(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.begin + 2 * self.season

    @staticmethod
    def fit(training: Series, season: int) -> "ExponentialSmoothing":
        """By maximum likelihood, on the last 4,000 values at most; missing ones are filled with the
        last known one.

        **Arguments:** `season`: in steps, 1 for none; above 200, and where the training part does
        not show it three times, the method does without.

        Raises `CapaxError` for a series of fewer than 12 values.
        """
        series = filled(training)[-MOST_FITTED:]
        begin = len(training) - len(series)
        if len(series) < LEAST_VALUES:
            raise CapaxError(f"exponential smoothing: {len(series):,} values are too few, {LEAST_VALUES} are due.")
        used = season if can_have(season, len(series)) else 1
        if np.ptp(series) == 0:  # its likelihood has no end
            return ExponentialSmoothing(used, begin, (1.0, 0.0, 0.0, 1.0), float(series[0]), 0.0, np.zeros(used))
        found = _fitted(series, used)
        given = dict(zip(found.param_names, found.params, strict=True))
        parameters = tuple(
            float(given.get(name, 0.0))
            for name in ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend")
        )
        seasonal = np.zeros(1) if used == 1 else np.asarray(found.initial_seasonal, float)
        level, trend = float(found.initial_level), float(found.initial_trend)
        return ExponentialSmoothing(used, begin, parameters, level, trend, seasonal)  # pyright: ignore[reportArgumentType]

    def points(self, series: Series, origins: Origins, horizon: int) -> Forecasts:
        wanted = np.unique(origins)
        states = np.stack(self._states(series[self.begin :], wanted - self.begin))
        ahead = np.arange(1, horizon + 1)
        damped = np.cumsum(self.parameters[3] ** ahead)
        found = states[:, :1] + states[:, 1:2] * damped + states[:, 2:][:, (ahead - 1) % self.season]
        return found[np.searchsorted(wanted, origins)]

    def _states(self, series: Series, wanted: Origins) -> list[Float[np.ndarray, " states"]]:
        """Level, trend, and the last season before each of these steps, which are in order."""
        alpha, beta, gamma, phi = self.parameters
        level, trend, seasonal, place = self.level, self.trend, self.seasonal.tolist(), 0
        found, before = [], 0
        for step in wanted.tolist():
            for value in series[before:step].tolist():
                expected = level + phi * trend
                error = value - expected - seasonal[place]
                level, trend = expected + alpha * error, phi * trend + beta * error
                seasonal[place] += gamma * error
                place = (place + 1) % self.season
            before = step
            found.append(np.array([level, trend, *seasonal[place:], *seasonal[:place]]))
        return found


def can_have(season: int, values: int) -> bool:
    """Whether the method can carry this season on so many values."""
    return 1 < season <= MOST_SEASON and values >= max(LEAST_SEASONS * season, 10 + 2 * (season // 2))


def _fitted(series: Series, season: int) -> Any:
    """What statsmodels fits. Its warnings are left out: of names that pandas gives up, and of a
    search that stops before it has converged, whose parameters serve as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel

        model = ETSModel(
            series,
            error="add",
            trend="add",
            damped_trend=True,
            seasonal="add" if season > 1 else None,
            seasonal_periods=season if season > 1 else None,
            initialization_method="heuristic",
        )
        return model.fit(disp=False, maxiter=200)
