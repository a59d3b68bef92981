"""Forecasting of a user's own series: how networks and other methods are scored on the evaluation
part, and forecasts of new data.
"""

import dataclasses
import functools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from capax.data import zones
from capax.errors import CapaxError, CapaxWarning
from capax.fitting import forecast_baselines
from capax.fitting.contract import ANSWERS, Fitting, Predictor, Score
from capax.fitting.forecast_baselines import Points, Quantiles, values_at
from capax.fitting.forecast_frame import by_level, frame, in_zone
from capax.fitting.forecast_network import Forward, at_levels
from capax.fitting.forecast_new_data import extended
from capax.fitting.forecast_stream import ForecastStream
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_split import Windows
from capax.networks.parts import Assembled
from capax.scoring import Estimate, forecasts
from capax.tasks.forecast import Forecast

MOST_NAMED = 5
"""Unknown series that a warning names."""
MOST_EXAMPLES = 200
"""Windows that the table of examples shows."""
DRAWN, HORIZONS_BEFORE = 4, 3
"""Windows whose history is kept for a figure, and how much of it, in horizons."""

MAE, RMSE, MASE = Score("MAE", True), Score("RMSE", True), Score("MASE", True)
PINBALL = Score("pinball loss", True)
INTERVALS = {(0.1, 0.9): Score("coverage of 80%", None), (0.05, 0.95): Score("coverage of 90%", None)}
"""Intervals between two levels, where both are forecast."""


def _columns(targets: Sequence[str]) -> tuple[Score, ...]:
    """The scores of one target, in its unit, or of several."""
    if len(targets) > 1:
        of_targets = (Score(f"MAE of {name}", True) for name in targets)
        return (MASE, dataclasses.replace(PINBALL, unit="scaled as MASE"), *INTERVALS.values(), *of_targets)
    unit = f"unit of {targets[0]}"
    mae, rmse, pinball = (dataclasses.replace(score, unit=unit) for score in (MAE, RMSE, PINBALL))
    return (mae, rmse, MASE, pinball, *INTERVALS.values())


class ForecastFitting(Fitting[Forecast, Quantiles]):
    """Answers are quantiles (windows, horizon, targets, levels) on the windows of `part`, in the
    unit of the targets. Point forecasts are medians.

    Of several targets, whose units differ, the first score is the MASE, pinball loss is in units of
    its scale, and there is an MAE for each. `notes`: which methods were left out, and why.
    """

    resampled: ClassVar[str] = "forecasts"
    columns: ClassVar[tuple[Score, ...]] = (MAE, RMSE, MASE, PINBALL, *INTERVALS.values())

    def __init__(self, task: Forecast, part: str = "evaluation"):
        super().__init__(task)
        prepared = task.prepared
        self._windows = prepared.windows(part)
        self._truth: Points = values_at(prepared, self._windows, prepared.preparation.horizon)
        self._naive = self._naive_scales()[self._windows.series][:, None]
        self.columns = _columns(prepared.preparation.targets)  # pyright: ignore[reportAttributeAccessIssue]

    def on_validation(self) -> "ForecastFitting":
        return ForecastFitting(self.task, "validation")

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
        return Forward(network, preparation)(arrays, self._windows, scales)

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
        preparation, rows = self.task.preparation, []
        for window in self._shown().tolist():
            times = self._times(window, np.arange(preparation.horizon))
            for number, target in enumerate(preparation.targets):
                part = pd.DataFrame({"origin": times[0], "time": times, "step": np.arange(len(times)) + 1})
                part["target"], part["truth"] = target, self._truth[window, :, number]
                part = part.join(by_level(answers[window, :, number], preparation.levels))
                rows.append(self._with_series(part, window))
        return pd.concat(rows, ignore_index=True)

    def further(self, network: Assembled) -> dict[str, pd.DataFrame]:
        """Under "history": what was known before a few of the windows that `examples` shows, with
        its columns "series", "origin", "step" (0 is the last before the origin), "target", and
        "value".
        """
        del network
        prepared, rows = self.task.prepared, []
        preparation, shown = prepared.preparation, self._shown()
        length = min(preparation.context, HORIZONS_BEFORE * preparation.horizon)
        for window in shown[_spread(len(shown), DRAWN)].tolist():
            begin = int(prepared.panel.offsets[self._windows.series[window]])
            origin = int(self._windows.origins[window])
            at = np.arange(max(begin, origin - length), origin)
            origins = self._times(window, np.zeros(1, int))
            for number, target in enumerate(preparation.targets):
                part = pd.DataFrame({"origin": np.repeat(origins, len(at)), "step": at - origin + 1, "target": target})
                part["value"] = prepared.panel.values[at, number]
                rows.append(self._with_series(part, window))
        return {"history": pd.concat(rows, ignore_index=True)}

    def _shown(self) -> Int[np.ndarray, " windows"]:
        """The windows of the table of examples."""
        return _spread(len(self._windows.origins), MOST_EXAMPLES)

    def _times(self, window: int, steps: Int[np.ndarray, " steps"]) -> Shaped[np.ndarray, " steps"]:
        """Stamps of steps from a window's origin on, or their numbers from the series' begin."""
        panel, series = self.task.prepared.panel, int(self._windows.series[window])
        positions = int(self._windows.origins[window] - panel.offsets[series]) + steps
        stamps = panel.stamps(series, positions)
        return positions if stamps is None else stamps

    def _with_series(self, table: pd.DataFrame, window: int) -> pd.DataFrame:
        """With a column of the series, where there are several, or one was named."""
        names = self.task.prepared.panel.names
        if self.task.preparation.series is not None or len(names) > 1:
            table.insert(0, "series", names[self._windows.series[window]])
        return table

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

        Time stamps are in the zone of the column, or have the offset of its last one, where it has
        any.

        Raises `CapaxError` for data of another kind than those of the training: a column that is
        missing, another step of time, too few rows. Warns of series that were not among those of
        the training, and of time stamps without a zone where those of the training have one.
        """
        preparation = self.preparation
        steps, levels = self._steps(horizon), self._levels(quantiles)
        source = Path(data) if isinstance(data, str) else data
        encoding, decimal = self.usual("encoding", encoding), self.usual("decimal", decimal)
        new = extended(preparation, source, steps, encoding=encoding, decimal=decimal)
        scales = preparation.scales_of(new.panel)
        arrays = preparation.arrays(new.panel)
        windows = Windows(np.arange(len(new.origins)), new.origins)
        found = at_levels(self._forward(arrays, windows, scales)[:, :steps], preparation.levels, levels)
        zone = zones.zone(source, preparation.time, encoding)
        self._warn(new.panel.names, zone is not None)
        frames = []
        for number, name in enumerate(new.panel.names):
            stamps = new.panel.stamps(number, new.origins[number] - new.panel.offsets[number] + np.arange(steps))
            shown = name if preparation.series is not None or len(new.panel.names) > 1 else None
            frames.append(frame(preparation, shown, stamps, found[number], levels))
        result = in_zone(pd.concat(frames, ignore_index=True), preparation.time, zone)
        first = 1 + list(result).index("step")
        result.attrs[ANSWERS] = list(result)[first:]
        return result

    def _warn(self, names: Sequence[str], zone: bool) -> None:
        """Of what is read otherwise than in the training, and of series that were not there."""
        preparation = self.preparation
        said = zones.otherwise(self.reading.get("zone"), zone)
        if said is not None and preparation.step.kind not in ("rows", "count"):
            warnings.warn(said, CapaxWarning, stacklevel=3)
        unknown = [name for name in names if preparation.known(name) is None]
        if preparation.series is not None and unknown:
            shown = ", ".join(f"'{name}'" for name in unknown[:MOST_NAMED]) + (", .." if unknown[MOST_NAMED:] else "")
            how = "by its own values here" if len(preparation.scales) > 1 else "as the only one of the training"
            text = f"not among the series of the training: {shown}; each is scaled {how}"
            warnings.warn(text, CapaxWarning, stacklevel=3)

    def stream(self, *, horizon: int | None = None, quantiles: Sequence[float] | None = None) -> ForecastStream:
        """Forecasts of series that go on: a row at a time, in constant memory. Arguments as of
        `predict`.
        """
        steps, levels = self._steps(horizon), self._levels(quantiles)
        return ForecastStream(self._forward, self.preparation, steps, levels, zone=self.reading.get("zone"))

    @functools.cached_property
    def _forward(self) -> Forward:
        return Forward(self.network, self.preparation)

    def _steps(self, horizon: int | None) -> int:
        most = self.preparation.horizon
        if horizon is not None and not 1 <= horizon <= most:
            raise CapaxError(
                f"this model forecasts {'1 step' if most == 1 else f'1 to {most} steps'} ahead, not {horizon}; train one for more."
            )
        return horizon or most

    def _levels(self, quantiles: Sequence[float] | None) -> tuple[float, ...]:
        trained = self.preparation.levels
        wanted = trained if quantiles is None else tuple(sorted(set(map(float, quantiles))))
        if not wanted or not all(trained[0] <= level <= trained[-1] for level in wanted):
            shown = ", ".join(f"{level:g}" for level in wanted)
            raise CapaxError(f"this model has quantiles from {trained[0]:g} to {trained[-1]:g}, not {shown}.")
        return wanted


def _spread(count: int, most: int) -> Int[np.ndarray, " chosen"]:
    """At most so many of `count` things, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _flat(values: Points) -> Float[np.ndarray, "windows steps"]:
    """The steps of all targets side by side."""
    return np.moveaxis(values, 2, 1).reshape(len(values), -1)
