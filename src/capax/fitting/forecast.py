"""Forecasting of a user's own series: how networks and other methods are scored on the evaluation
part, and forecasts of new data.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float

from capax.errors import CapaxError
from capax.fitting import forecast_baselines
from capax.fitting.contract import Fitting, Predictor, Score
from capax.fitting.forecast_baselines import Points, Quantiles, values_at
from capax.fitting.forecast_new_data import Extended, extended
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_scales import Scale, stacked
from capax.jobs.forecast_split import Windows
from capax.networks.parts import Assembled
from capax.scoring import Estimate, forecasts
from capax.tasks import forecast_windows
from capax.tasks.forecast import Forecast

BATCH = 256
MOST_EXAMPLES = 200
"""Windows that the table of examples shows."""

MAE, RMSE, MASE = Score("MAE", True), Score("RMSE", True), Score("MASE", True)
PINBALL = Score("pinball loss", True)
INTERVALS = {(0.1, 0.9): Score("coverage of 80%", None), (0.05, 0.95): Score("coverage of 90%", None)}
"""Intervals between two levels, where both are forecast."""


def quantiles_of(
    network: Assembled,
    preparation: Forecasting,
    arrays: dict[str, np.ndarray],
    windows: Windows,
    scales: Sequence[Scale],
) -> Quantiles:
    """A network's quantiles, in the unit of the targets, in order of size."""
    on_device = {name: jnp.asarray(array) for name, array in arrays.items()}
    count = len(preparation.targets)

    @eqx.filter_jit
    def batch(network: Any, arrays: Any, series: jax.Array, origins: jax.Array) -> tuple[jax.Array, jax.Array]:
        seen = forecast_windows.inputs(preparation, arrays, series, origins)
        outputs = network(jnp.moveaxis(seen, 2, 0))[:, preparation.context :]
        return outputs, forecast_windows.anchors(arrays, origins)

    outputs, anchors, number = [], [], len(windows.origins)
    for begin in range(0, number, BATCH):
        chosen = np.minimum(np.arange(begin, begin + BATCH), number - 1)
        series, origins = (part[chosen].astype(np.int32) for part in (windows.series, windows.origins))
        found = batch(network, on_device, jnp.asarray(series), jnp.asarray(origins))
        outputs.append(np.asarray(found[0], np.float64))
        anchors.append(np.asarray(found[1], np.float64))
    relative = np.concatenate(outputs)[:number].reshape(number, preparation.horizon, count, -1)
    scaled = np.sort(relative + np.concatenate(anchors)[:number, None, :, None], axis=-1)
    mean, _, change = stacked(scales)
    return scaled * change[windows.series][:, None, :, None] + mean[windows.series][:, None, :count, None]


class ForecastFitting(Fitting[Forecast, Quantiles]):
    """Answers are quantiles (windows, horizon, targets, levels) on the evaluation windows, in the
    unit of the targets. Point forecasts are medians.

    Of several targets, whose units differ, the first score is the MASE, pinball loss is in units of
    its scale, and there is an MAE for each. `notes`: which methods were left out, and why.
    """

    resampled: ClassVar[str] = "forecasts"
    columns: ClassVar[tuple[Score, ...]] = (MAE, RMSE, MASE, PINBALL, *INTERVALS.values())

    def __init__(self, task: Forecast):
        super().__init__(task)
        self.notes: list[str] = []
        prepared = task.prepared
        self._windows = prepared.windows("evaluation")
        self._truth: Points = values_at(prepared, self._windows, prepared.preparation.horizon)
        self._naive = self._naive_scales()[self._windows.series][:, None]
        targets = prepared.preparation.targets
        if len(targets) > 1:
            of_targets = tuple(Score(f"MAE of {name}", True) for name in targets)
            self.columns = (MASE, PINBALL, *INTERVALS.values(), *of_targets)  # pyright: ignore[reportAttributeAccessIssue]

    def _naive_scales(self) -> Float[np.ndarray, "series targets"]:
        """By what errors are divided in MASE, measured on training parts."""
        prepared = self.task.prepared
        season, count = prepared.preparation.season, len(prepared.preparation.targets)
        spans = zip(prepared.parts.begins, prepared.parts.validation, strict=True)
        parts = [prepared.panel.values[begin:end, :count] for begin, end in spans]
        return np.array([[forecasts.naive_scale(column, season) for column in part.T] for part in parts])

    def answers(self, network: Assembled) -> Quantiles:
        prepared = self.task.prepared
        preparation = prepared.preparation
        arrays, scales = preparation.arrays(prepared.panel), preparation.scales_of(prepared.panel)
        return quantiles_of(network, preparation, arrays, self._windows, scales)

    def baselines(self) -> Iterator[tuple[str, Quantiles]]:
        return forecast_baselines.forecasts(self.task.prepared, self.notes)

    def scores(self, answers: Quantiles) -> dict[str, Estimate]:
        levels = self.task.preparation.levels
        several = answers.shape[2] > 1
        median, naive = self._median(answers), self._naive
        flat = _flat(self._truth)
        scaled = _flat(self._truth / naive), _flat(median / naive)
        found = {MASE.name: forecasts.mase(*scaled, 1.0)}
        unit = naive[..., None] if several else 1.0
        q = np.moveaxis(answers / unit, 2, 1).reshape(len(answers), -1, len(levels))
        if not np.isnan(q).any():
            found[PINBALL.name] = forecasts.pinball(scaled[0] if several else flat, q, levels)
        if several:
            for number, name in enumerate(self.task.preparation.targets):
                found[f"MAE of {name}"] = forecasts.mae(self._truth[..., number], median[..., number])
        else:
            found |= {MAE.name: forecasts.mae(flat, _flat(median)), RMSE.name: forecasts.rmse(flat, _flat(median))}
        for (low, high), score in INTERVALS.items():
            if {low, high} <= set(levels) and not np.isnan(answers).any():
                ends = (_flat(answers[..., levels.index(end)]) for end in (low, high))
                found[score.name] = forecasts.coverage(flat, *ends)
        return {score.name: found[score.name] for score in self.columns if score.name in found}

    def difference(self, one: Quantiles, other: Quantiles) -> Estimate:
        unit = self._naive if one.shape[2] > 1 else np.ones(())
        scaled = (_flat(values / unit) for values in (self._truth, self._median(one), self._median(other)))
        return forecasts.mae_difference(*scaled)

    def examples(self, answers: Quantiles) -> pd.DataFrame:
        """The columns: that of series, if there is one; "origin" and "time", the first step that is
        forecast and this one (stamps, or steps from the series' begin); "step" ahead; "target";
        "truth"; and a column a level.
        """
        prepared = self.task.prepared
        count = len(self._windows.origins)
        chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_EXAMPLES)).round().astype(int))
        preparation, panel = prepared.preparation, prepared.panel
        rows = []
        for window in chosen:
            series = int(self._windows.series[window])
            position = int(self._windows.origins[window] - panel.offsets[series])
            steps = position + np.arange(preparation.horizon)
            stamps = panel.stamps(series, steps)
            times = steps if stamps is None else stamps
            for number, target in enumerate(preparation.targets):
                frame = pd.DataFrame({"origin": times[0], "time": times, "step": steps - position + 1})
                frame.insert(0, "series", panel.names[series])
                frame["target"], frame["truth"] = target, self._truth[window, :, number]
                rows.append(frame.join(_by_level(answers[window, :, number], preparation.levels)))
        table = pd.concat(rows, ignore_index=True)
        return table.drop(columns="series") if preparation.series is None and len(panel.names) == 1 else table

    def _median(self, answers: Quantiles) -> Points:
        return at_levels(answers, self.task.preparation.levels, (0.5,))[..., 0]


class ForecastPredictor(Predictor):
    """Forecasts from the end of each series of new data."""

    preparation: Forecasting

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        data: Path | str | pd.DataFrame,
        *,
        horizon: int | None = None,
        quantiles: Sequence[float] | None = None,
        encoding: str | None = None,
        decimal: str | None = None,
    ) -> pd.DataFrame:
        """The quantiles of what comes behind the last known target of each series.

        **Arguments:**

        - `data`: a file or a DataFrame with the columns that the model was trained on, in any
          order. Covariates that are known ahead are read from the rows behind the last known
          target.
        - `horizon`: steps ahead, at most as many as the model was trained for, and by default all.
        - `quantiles`: levels, by default those of the training; others between these are
          interpolated.
        - `encoding`, `decimal` of the file, as of `data.table.read`.

        **Returns** the columns of series and of time, where there are any; "step" ahead, from 1;
        and for each target and level a column such as "temperature q0.5".

        Raises `CapaxError` for data of another kind than those of the training: a column that is
        missing, another step of time, too few rows.
        """
        preparation = self.preparation
        steps, levels = self._steps(horizon), self._levels(quantiles)
        source = Path(data) if isinstance(data, str) else data
        new = extended(preparation, source, steps, encoding=encoding, decimal=decimal)
        scales = preparation.scales_of(new.panel)
        arrays = preparation.arrays(new.panel)
        windows = Windows(np.arange(len(new.origins)), new.origins)
        found = quantiles_of(self.network, preparation, arrays, windows, scales)[:, :steps]
        return _frame(preparation, new, at_levels(found, preparation.levels, levels), levels)

    def _steps(self, horizon: int | None) -> int:
        most = self.preparation.horizon
        if horizon is not None and not 1 <= horizon <= most:
            raise CapaxError(f"this model forecasts 1 to {most} steps ahead, not {horizon}; train one for more.")
        return horizon or most

    def _levels(self, quantiles: Sequence[float] | None) -> tuple[float, ...]:
        trained = self.preparation.levels
        wanted = trained if quantiles is None else tuple(sorted(set(map(float, quantiles))))
        if not wanted or not all(trained[0] <= level <= trained[-1] for level in wanted):
            shown = ", ".join(f"{level:g}" for level in wanted)
            raise CapaxError(f"this model has quantiles from {trained[0]:g} to {trained[-1]:g}, not {shown}.")
        return wanted


def at_levels(
    quantiles: Quantiles, trained: Sequence[float], wanted: Sequence[float]
) -> Float[np.ndarray, "windows horizon targets wanted"]:
    """Quantiles at other levels, interpolated between the nearest trained ones; beyond these, that
    of the last.
    """
    above = np.clip(np.searchsorted(trained, wanted), 1, max(1, len(trained) - 1))
    if len(trained) == 1:
        return np.repeat(quantiles, len(wanted), axis=-1)
    low, high = np.asarray(trained)[above - 1], np.asarray(trained)[above]
    share = np.clip((np.asarray(wanted) - low) / (high - low), 0.0, 1.0)
    return quantiles[..., above - 1] * (1 - share) + quantiles[..., above] * share


def _flat(values: Points) -> Float[np.ndarray, "windows steps"]:
    """The steps of all targets side by side."""
    return np.moveaxis(values, 2, 1).reshape(len(values), -1)


def _by_level(quantiles: Float[np.ndarray, "steps levels"], levels: Sequence[float], prefix: str = "") -> pd.DataFrame:
    names = [f"{prefix}q{level:g}" for level in levels]
    return pd.DataFrame(quantiles, columns=names)  # pyright: ignore[reportArgumentType]


def _frame(preparation: Forecasting, new: Extended, quantiles: Quantiles, levels: Sequence[float]) -> pd.DataFrame:
    steps, rows = np.arange(quantiles.shape[1]), []
    for number, origin in enumerate(new.origins):
        stamps = new.panel.stamps(number, origin - new.panel.offsets[number] + steps)
        columns: dict[str, Any] = {}
        if preparation.series is not None or len(new.origins) > 1:
            columns[preparation.series or "series"] = [new.panel.names[number]] * len(steps)
        if preparation.time is not None and stamps is not None:
            columns[preparation.time] = stamps
        parts = [pd.DataFrame({**columns, "step": steps + 1})]
        for target, name in enumerate(preparation.targets):
            parts.append(_by_level(quantiles[number, :, target], levels, f"{name} "))
        rows.append(pd.concat(parts, axis=1))
    return pd.concat(rows, ignore_index=True)
