"""Forecasts of a series in scikit-learn's manner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capax.errors import counted
from capax.estimators import series
from capax.estimators.base import Estimator
from capax.estimators.errors import WrongInput, as_wrong_input
from capax.fitting.fit import CELLS
from capax.fitting.forecast import ForecastPredictor
from capax.fitting.forecast_network import Forward, at_levels
from capax.fitting.forecast_new_data import extended
from capax.jobs.forecast_split import Windows

MEDIAN = 0.5


class Forecaster(Estimator):
    """The next `horizon` steps of one or several series, with quantiles.

        model = capax.Forecaster(horizon=7, minutes=3).fit(X, y)
        model.predict()                     # the 7 steps behind y
        model.predict_quantiles()           # with their quantiles
        model.predict(y=newer)              # the 7 steps behind another history

    Parameters, beside those of every estimator (`capax.estimators.base.Estimator`):

    - `horizon`: steps ahead; by default what is usual for the step of time.
    - `future`: names of the columns of X that are known ahead, such as a holiday or a price that
      you set; those of an array are x0, x1, and so on. All others are known until now.
    - `quantiles`: levels between 0 and 1, by default .05, .1, .25, .5, .75, .9, .95.
    - `season`, `context`: steps of a season, and steps that are seen before a forecast; by default
      they are found.

    Attributes after `fit`, beside those of every estimator: `horizon_`; `history_`, the data that
    forecasts begin behind; `n_features_in_`, and `feature_names_in_` where X was a DataFrame.
    """

    horizon_: int
    history_: pd.DataFrame
    n_features_in_: int

    def __init__(
        self,
        horizon: int | None = None,
        *,
        future: Sequence[str] | None = None,
        quantiles: Sequence[float] | None = None,
        season: int | None = None,
        context: int | None = None,
        cells: Sequence[str | type] = CELLS,
        depth: int = 1,
        budget: int | None = None,
        trials: int | None = None,
        minutes: float | int | None = None,
        steps: int | None = None,
        random_state: Any = 0,
        out: str | Path | None = None,
        verbose: bool = False,
    ):
        self.horizon = horizon
        self.future = future
        self.quantiles = quantiles
        self.season = season
        self.context = context
        self.cells = cells
        self.depth = depth
        self.budget = budget
        self.trials = trials
        self.minutes = minutes
        self.steps = steps
        self.random_state = random_state
        self.out = out
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "Forecaster":
        """Find and train the best network, beside the methods that people trust.

        **Arguments:**

        - `X`: covariates, (time, covariates), an array or a DataFrame; or None.
        - `y`: the series that are forecast: a Series, an array (time,), or a DataFrame with one
          column for each. A DatetimeIndex, of y or of X, says when each step was; gaps in it are
          missing steps. NaN is a missing value.

        Raises `WrongInput`, a `CapaxError` and a `ValueError`, for data that do not fit.
        """
        known, given = series.covariates(X), series.targets(y)
        history = series.together(known, given)
        names = [] if known is None else list(known)
        future = [self.future] if isinstance(self.future, str) else list(self.future or ())
        missing = [name for name in future if name not in names]
        if missing:
            raise WrongInput(f"future: X has no column '{missing[0]}'; it has {', '.join(names) or 'none'}.")
        stamped = isinstance(history.index, pd.DatetimeIndex)
        time = str(history.index.name or series.TIME) if stamped else None
        if time in list(history):
            raise WrongInput(f"the index of time stamps and a column are both named '{time}'; give one another name.")
        self._learn(
            "forecast",
            lambda directory: series.with_time(history, time),
            target=list(given),
            covariates=[name for name in names if name not in future] or None,
            future=future or None,
            time=time or "none",
            series="none",
            horizon=self.horizon,
            quantiles=self.quantiles,
            season=self.season,
            context=self.context,
        )
        self.history_, self.horizon_ = history, self._preparation.horizon
        self._set_features(X, names)
        self._pandas, self._one = isinstance(y, pd.Series | pd.DataFrame), np.ndim(y) == 1
        return self

    def _set_features(self, X: Any, names: list[str]) -> None:
        self.n_features_in_ = len(names)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    @property
    def _forecasts(self) -> ForecastPredictor:
        predictor = self._predictor()
        assert isinstance(predictor, ForecastPredictor)
        return predictor

    @property
    def _preparation(self) -> Any:
        return self._forecasts.preparation

    def predict(self, X: Any = None, y: Any = None) -> Any:
        """The medians of the steps behind the training data, or behind another history.

        **Arguments:**

        - `X`: where some columns are known ahead (`future`), their rows behind the history, as many
          as are to be forecast. With time stamps, rows before are passed over. Else nothing is read
          of it but how many steps are wanted, if they are fewer than the horizon.
        - `y`: another history. Then the first rows of X are its covariates.

        **Returns:** (steps,), or (steps, targets) where y of `fit` had columns; a Series or a
        DataFrame where it was one.

        Raises `NotFittedError` before `fit`, and `WrongInput` for data of another kind.
        """
        names = self._preparation.targets
        found = self._behind(X, y, (MEDIAN,))
        values = found.to_numpy(np.float64)
        if not self._pandas:
            return values[:, 0] if self._one else values
        frame = pd.DataFrame(values, index=found.index, columns=list(names))
        return frame.iloc[:, 0] if self._one else frame

    def predict_quantiles(self, X: Any = None, y: Any = None, *, quantiles: Sequence[float] | None = None) -> Any:
        """The quantiles of the same steps: a DataFrame with a column such as "sales q0.9" for each
        target and level.

        **Arguments:** as of `predict`; `quantiles`: other levels, which are interpolated.
        """
        return self._behind(X, y, quantiles)

    def _behind(self, X: Any, y: Any, levels: Sequence[float] | None) -> pd.DataFrame:
        forecasts, preparation = self._forecasts, self._preparation
        X = series.covariates(X)
        history, rows = (self.history_, X) if y is None else self._other_history(X, series.targets(y))
        table, steps = history, preparation.horizon
        if preparation.future:
            if rows is None or not len(rows):
                known = ", ".join(preparation.future)
                raise WrongInput(f"X must hold the rows behind the history, in which {known} is known.")
            self._check_columns(rows)
            known = series.ahead(rows, history, preparation.future, preparation.step)
            if y is None and not isinstance(rows.index, pd.DatetimeIndex) and len(rows) > preparation.horizon:
                raise WrongInput(
                    f"X has {counted(len(rows), 'row')}, and "
                    f"{counted(preparation.horizon, 'step is', 'steps are')} forecast: give the rows behind the "
                    "history alone, or time stamps."
                )
            table, steps = pd.concat([history, known.iloc[:steps]]), min(steps, len(known))
        elif rows is not None and len(rows):
            steps = min(steps, len(rows))
        with as_wrong_input():
            found = forecasts.predict(series.with_time(table, preparation.time), horizon=steps, quantiles=levels)
        if isinstance(history.index, pd.DatetimeIndex) and preparation.time in found:
            index: pd.Index = series.as_stamps(found[preparation.time], history.index)
        else:
            index = series.following(history, steps)
        return found.drop(columns=[name for name in (preparation.time, "step") if name in found]).set_axis(index)

    def _other_history(self, X: pd.DataFrame | None, y: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Another history, and the rows of X behind it. Raises `WrongInput` for one of another
        kind."""
        preparation = self._preparation
        if len(preparation.targets) != y.shape[1]:
            raise WrongInput(
                f"y has {counted(y.shape[1], 'column')}; the model was trained on {len(preparation.targets)}."
            )
        y = y.set_axis(list(preparation.targets), axis=1) if not set(preparation.targets) <= set(y) else y
        if not (preparation.past or preparation.future):
            return self._like_training(series.together(None, y)), None
        if X is None or len(X) < len(y):
            raise WrongInput(f"X has {counted(0 if X is None else len(X), 'row')} for a history of {len(y):,}.")
        self._check_columns(X)
        history = self._like_training(series.together(X.iloc[: len(y)], y))
        return history, X.iloc[len(y) :] if len(X) > len(y) else None

    def _like_training(self, history: pd.DataFrame) -> pd.DataFrame:
        """Raises `WrongInput` where only one of both has time stamps."""
        if self._preparation.time is not None and not isinstance(history.index, pd.DatetimeIndex):
            raise WrongInput("the training data had time stamps: y must have a DatetimeIndex, too.")
        return history

    def _check_columns(self, X: pd.DataFrame) -> None:
        due = [name for name in self.history_ if name not in self._preparation.targets]
        missing = [name for name in due if name not in X]
        if missing:
            raise WrongInput(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                f"input: '{missing[0]}' is missing."
            )

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean absolute error of forecasts of what came behind the training data; larger
        is better.

        Every `horizon` steps a forecast is made of all that came before it, and its median is
        compared with `y`. Missing values do not count; of several series it is the mean.

        **Arguments:** `X`: the covariates of these steps, or None; `y`: what came.

        Raises `NotFittedError` before `fit`, and `WrongInput` for data of another kind.
        """
        preparation = self._preparation
        came = series.targets(y).set_axis(list(preparation.targets), axis=1)
        known = series.covariates(X) if preparation.past or preparation.future else None
        if known is not None:
            self._check_columns(known)
        rows = self._like_training(series.together(known, came)).reindex(columns=list(self.history_))
        whole = pd.concat([self.history_, self._in_order(rows)])
        with as_wrong_input():
            median, truth = self._rolling(whole)
        errors = np.abs(median - truth)
        if np.isnan(errors).all():
            raise WrongInput("y holds no value behind the training data to compare a forecast with.")
        return -float(np.nanmean(errors))

    def _in_order(self, rows: pd.DataFrame) -> pd.DataFrame:
        last = self.history_.index[-1]
        if isinstance(rows.index, pd.DatetimeIndex) and isinstance(last, pd.Timestamp):
            if not (rows.index > self.history_.index.max()).all():
                raise WrongInput(f"y begins before {last}, the end of the training data; score takes what came later.")
            return rows
        return rows.set_axis(series.following(self.history_, len(rows)))

    def _rolling(self, whole: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Medians and truth, (origins, horizon, targets), of origins every `horizon` steps from the
        end of the training data."""
        preparation, time = self._preparation, self._preparation.time
        first = int(extended(preparation, series.with_time(self.history_, time), 0).origins[0])
        new = extended(preparation, series.with_time(whole, time), 0)
        origins = np.arange(first, int(new.origins[0]), preparation.horizon)
        windows = Windows(np.zeros_like(origins), origins)
        arrays, scales = preparation.arrays(new.panel), preparation.scales_of(new.panel)
        found = Forward(self.model_.network, preparation)(arrays, windows, scales)
        median = at_levels(found, preparation.levels, (MEDIAN,))[..., 0]
        steps = origins[:, None] + np.arange(preparation.horizon)
        within = np.minimum(steps, len(new.panel.values) - 1)
        truth = new.panel.values[within][..., : len(preparation.targets)]
        return median, np.where((steps < int(new.origins[0]))[..., None], truth, np.nan)
