"""Forecasts of methods without a network on the windows of a task, each with its quantiles.

Methods are fitted on each training part alone; the lags of the autoregression are chosen on the
validation parts; quantiles are those of errors on windows of the training and validation parts.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from capax.baselines import forecasting
from capax.baselines.exponential_smoothing import ExponentialSmoothing, can_have
from capax.baselines.forecasting import Baseline, LinearAutoregression, SeasonalNaive
from capax.errors import CapaxError, counted
from capax.jobs import forecast_reference as reference
from capax.jobs.forecast_preparing import Prepared
from capax.jobs.forecast_scales import stacked
from capax.jobs.forecast_split import Windows

Quantiles = Float[np.ndarray, "windows horizon targets levels"]
Points = Float[np.ndarray, "windows horizon targets"]
OfAll = Float[np.ndarray, "all horizon targets"]
"""Of the windows of all parts."""
Make = Callable[[Float[np.ndarray, " steps"]], Baseline]
"""Fits a method on a training part."""

AT_ONCE = 1000
"""Windows of which all terms are in memory."""
MOST_SMOOTHED = 60
"""Exponential smoothing is fitted on at most so many series, about a second each."""
MOST_LAGS = 100
REGRESSION = "linear regression (lags, calendar, covariates)"


@dataclasses.dataclass(frozen=True)
class _Windows:
    """All windows of a task, those of training first, then validation, then evaluation."""

    windows: Windows
    earlier: int
    trained: int

    @staticmethod
    def of(prepared: Prepared) -> "_Windows":
        parts = [prepared.windows(part) for part in ("train", "validation", "evaluation")]
        series = np.concatenate([part.series for part in parts])
        origins = np.concatenate([part.origins for part in parts])
        sizes = [len(part.origins) for part in parts]
        return _Windows(Windows(series, origins), sizes[0] + sizes[1], sizes[0])


def forecasts(prepared: Prepared, notes: list[str]) -> Iterator[tuple[str, Quantiles]]:
    """Each method's name, and its quantiles on the evaluation windows. A method that cannot be had
    is left out, and `notes` says why.
    """
    season, horizon = prepared.preparation.season, prepared.preparation.horizon
    every = _Windows.of(prepared)
    methods: list[tuple[str, Callable[[], Points]]] = [
        ("persistence", lambda: _points(prepared, every.windows, lambda _: SeasonalNaive(1)))
    ]
    if season > 1:
        name = SeasonalNaive(season).name
        methods.append((name, lambda: _points(prepared, every.windows, lambda _: SeasonalNaive(season))))
    methods.append(("linear autoregression", lambda: _autoregression(prepared, every)))
    methods.append((REGRESSION, lambda: _regression(prepared, every)))
    count = len(prepared.panel.names) * len(prepared.preparation.targets)
    if count <= MOST_SMOOTHED:
        smooth = lambda: _points(prepared, every.windows, lambda part: ExponentialSmoothing.fit(part, season))  # noqa: E731
        methods.append(("exponential smoothing", smooth))
        notes += _said_of_season(prepared)
    else:
        notes.append(f"exponential smoothing is left out: it would be fitted on {count:,} series, a second each")
    truth = values_at(prepared, every.windows, horizon)
    for name, method in methods:
        try:
            points = method()
            if np.isnan(points[every.earlier :]).any():
                raise CapaxError(f"{name} needs more values before a forecast than a series has.")
        except CapaxError as error:
            notes.append(f"{name} is left out: {str(error).rstrip('.')}")
            continue
        yield name, _with_quantiles(prepared, every, points, truth)


def _said_of_season(prepared: Prepared) -> list[str]:
    season, parts = prepared.preparation.season, prepared.parts
    if season == 1 or can_have(season, int((parts.validation - parts.begins).min())):
        return []
    return [
        f"exponential smoothing does without the season of {counted(season, 'step')}, which is too long for it or for the data"
    ]


def values_at(prepared: Prepared, windows: Windows, horizon: int) -> Points:
    """What came in windows, in the unit of the targets, NaN where that is not known."""
    at = windows.origins[:, None] + np.arange(horizon)
    return prepared.panel.values[at][..., : len(prepared.preparation.targets)]


def _points(prepared: Prepared, windows: Windows, make: Make) -> Points:
    """Point forecasts; NaN where a window has too few values before it."""
    panel, parts, horizon = prepared.panel, prepared.parts, prepared.preparation.horizon
    targets = len(prepared.preparation.targets)
    found = np.full((len(windows.origins), horizon, targets), np.nan)
    for number in range(len(panel.names)):
        begin, end = panel.offsets[number : number + 2]
        of_series = np.flatnonzero(windows.series == number)
        origins = windows.origins[of_series] - begin
        for target in range(targets):
            values = panel.values[begin:end, target]
            baseline = make(values[: parts.validation[number] - begin])
            enough = origins >= baseline.history
            found[of_series[enough], :, target] = baseline.forecast(values, origins[enough], horizon)
    return found


def _autoregression(prepared: Prepared, every: _Windows) -> Points:
    """With the number of lags, the same for all series, that is best on the validation windows."""
    season, horizon = prepared.preparation.season, prepared.preparation.horizon
    wanted = [None, *sorted({lags for lags in (2, 8, season, 3 * season) if 1 <= lags <= MOST_LAGS})]
    validation = slice(every.trained, every.earlier)
    truth = values_at(prepared, every.windows, horizon)[validation]
    unit = _changes(prepared, every)[validation]
    best, refused = None, CapaxError("")
    for lags in wanted:
        try:
            points = _points(
                prepared, every.windows, lambda part, n=lags: LinearAutoregression.fit(part, horizon, season, n)
            )
        except CapaxError as error:
            refused = error
            continue
        errors = np.abs(truth - points[validation]) / unit
        score = float(np.nanmean(errors)) if np.isfinite(errors).any() else np.inf
        if best is None or score < best[0]:
            best = score, points
    if best is None:
        raise refused
    return best[1]


def _regression(prepared: Prepared, every: _Windows) -> Points:
    """Of all series together, on all that a network sees; lags, ridge, and calendar are chosen
    within the training parts (`jobs.forecast_fitting_reference`).
    """
    given = prepared.preparation
    fitted = prepared.regression
    if fitted is None:
        raise CapaxError(f"{REGRESSION}: the training part is too short for it.")
    found, windows, arrays = fitted.reference, every.windows, given.arrays(prepared.panel)
    phases = [given.calendar.index(name) for name in found.calendar]
    sizes = given.horizon, found.lags, given.season, len(given.past)
    mean, _, change = stacked(given.scales_of(prepared.panel))
    points = np.empty((len(windows.origins), given.horizon, len(given.targets)))
    for begin in range(0, len(points), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        series, origins = windows.series[part], windows.origins[part]
        seen = reference.terms(np, arrays, series, origins, sizes, phases)
        scaled = reference.forecasts(np, seen, found.arrays[0]) + arrays["last"][origins - 1][:, None]
        points[part] = scaled * change[series][:, None] + mean[series][:, None, : points.shape[2]]
    return points


def _changes(prepared: Prepared, every: _Windows) -> Float[np.ndarray, "windows one targets"]:
    """The usual change of each window's series."""
    return stacked(prepared.preparation.scales_of(prepared.panel))[2][every.windows.series][:, None]


def _with_quantiles(prepared: Prepared, every: _Windows, points: OfAll, truth: OfAll) -> Quantiles:
    """Point forecasts of the evaluation windows with the quantiles of earlier errors, which are
    pooled over series in units of each one's usual change.
    """
    unit, levels = _changes(prepared, every), prepared.preparation.levels
    errors = ((truth - points) / unit)[: every.earlier]
    spread = np.stack([forecasting.quantiles(errors[..., t], levels) for t in range(errors.shape[-1])], axis=1)
    found = points[every.earlier :, ..., None] + spread[None] * unit[every.earlier :, ..., None]
    return found
