"""Forecasts of series that go on: a row at a time, in constant memory."""

import datetime
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from capax.data import zones
from capax.errors import CapaxError, CapaxWarning, counted
from capax.fitting.forecast_frame import frame, in_zone
from capax.fitting.forecast_history import History
from capax.fitting.forecast_network import Forward, at_levels
from capax.jobs import forecast_calendar as calendar
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_series import Panel
from capax.jobs.forecast_split import Windows

Row = Mapping[str, Any] | pd.Series
"""A value for each column by its name; None or NaN where there is none."""


class ForecastStream:
    """Takes one row after the other, and forecasts what comes behind each: what
    `ForecastPredictor.predict` says of all rows so far, to rounding.

        stream = model.stream()
        for row in rows:
            quantiles = stream.push(row)

    It keeps the last context and season of each series, and nothing else. Rows come in the order of
    time; times that are left out count as missing values, and rows of one time as their mean. Time
    stamps are in the zone of the last row, as those of `predict`.
    """

    def __init__(
        self,
        forward: Forward,
        preparation: Forecasting,
        steps: int | None = None,
        levels: Sequence[float] = (),
        *,
        zone: bool | None = None,
    ):
        """`zone`: whether time stamps of the training have one; None: not known."""
        self._forward, self._preparation = forward, preparation
        self._steps, self._levels = steps or preparation.horizon, tuple(levels) or preparation.levels
        self._series: dict[str, History] = {}
        self._zone: datetime.tzinfo | None = None
        self._zone_of_training = zone

    def push(self, row: Row, ahead: Sequence[Row] | pd.DataFrame = ()) -> pd.DataFrame:
        """Take one more row, and forecast from the last known target of its series.

        **Arguments:** `row`: every column of the training, the time stamp where there are stamps,
        and the series where there are several. `ahead`: the rows behind it, with what is known
        ahead.

        **Returns** the columns of `predict`.

        Raises `CapaxError` as `predict` does, also while there are too few rows for a forecast; the
        row is taken nevertheless.
        """
        name = self._take(row)
        history = self._series[name]
        behind = self._behind(history, ahead)
        self._check(name, history, behind)
        panel, arrays = self._arrays(name, history, behind)
        origins = np.array([len(panel.values) - self._preparation.horizon])
        scales = self._preparation.scales_of(panel)
        found = self._forward(arrays, Windows(np.zeros(1, int), origins), scales)[0, : self._steps]
        stamps = history.stamps(np.arange(self._steps))
        quantiles = at_levels(found[None], self._preparation.levels, self._levels)[0]
        found = frame(self._preparation, name if self._named else None, stamps, quantiles, self._levels)
        return in_zone(found, self._preparation.time, self._zone)

    def take(self, row: Row) -> None:
        """Take one more row without a forecast, such as those of the past at the beginning."""
        self._take(row)

    def due(self, series: str = "") -> int:
        """How many more steps a series needs before its first forecast."""
        history = self._series.get(series)
        return max(0, self._least - (0 if history is None else history.known))

    @property
    def _least(self) -> int:
        return self._preparation.least

    @property
    def _named(self) -> bool:
        return self._preparation.series is not None or len(self._preparation.scales) > 1

    def _take(self, row: Row) -> str:
        preparation, name = self._preparation, ""
        if self._named:
            column = preparation.series or "series"
            name = str(_value(row, column))
            if len(preparation.scales) > 1 and name not in preparation.scales:
                raise CapaxError(f"a stream goes on with series of the training; '{name}' was not among them.")
        values = np.array([_number(row, column) for column in preparation.columns])
        stamp, self._zone = self._stamp(row)
        self._warn_of_zone()
        if name not in self._series:
            targets = len(preparation.targets)
            self._series[name] = History(
                preparation.step, len(values), targets, preparation.reach, preparation.horizon
            )  # fmt: skip
        self._series[name].add(values, stamp)
        return name

    def _warn_of_zone(self) -> None:
        """Once."""
        said = zones.otherwise(self._zone_of_training, self._zone is not None)
        if said is not None and self._preparation.step.kind not in ("rows", "count"):
            self._zone_of_training = None
            warnings.warn(said, CapaxWarning, stacklevel=4)

    def _stamp(self, row: Row) -> tuple[Any, datetime.tzinfo | None]:
        """The time stamp of a row, in UTC, and its zone; None where there is none."""
        preparation = self._preparation
        if preparation.step.kind == "rows" or preparation.time is None:
            return None, None
        if preparation.step.kind == "count":
            return _number(row, preparation.time), None
        value = _value(row, preparation.time)
        try:
            if not isinstance(value, str | datetime.date | np.datetime64):
                raise ValueError
            stamp = pd.to_datetime([value], format="ISO8601")[0]
        except (ValueError, TypeError):
            stamp = pd.NaT
        if stamp is pd.NaT:
            raise CapaxError(
                f"'{preparation.time}' is {value!r}: a stream takes time stamps such as 2024-01-31 12:00, or Python's own."
            )
        moment = stamp if stamp.tz is None else stamp.tz_convert("UTC").tz_localize(None)
        return moment.to_numpy().astype("datetime64[us]"), stamp.tz

    def _behind(self, history: History, ahead: Sequence[Row] | pd.DataFrame) -> np.ndarray:
        """What is known ahead, (steps, columns), from the step behind the last known target on."""
        preparation = self._preparation
        rows = [row for _, row in ahead.iterrows()] if isinstance(ahead, pd.DataFrame) else list(ahead)
        found = np.full((preparation.horizon, len(preparation.columns)), np.nan)
        length = len(history.behind)
        if length:
            found[:length] = history.behind
        first = len(preparation.columns) - len(preparation.future)
        for number, row in enumerate(rows):
            place = history.place(self._stamp(row)[0], number)
            if place < history.place(None, 0) and preparation.step.kind != "rows":
                raise CapaxError("rows that are known ahead must lie behind the last one.")
            if place < preparation.horizon:
                found[place, first:] = [_number(row, column) for column in preparation.future]
                length = max(length, place + 1)
        return found[:length]

    def _check(self, name: str, history: History, behind: np.ndarray) -> None:
        which = f"series '{name}'" if self._named else "the series"
        if history.known < self._least:
            raise CapaxError(
                f"{which} has {counted(history.known, 'step')} from its first known target to its last; "
                f"{counted(self._least, 'is', 'are')} due "
                "before a forecast."
            )
        for column in self._preparation.future:
            values = behind[: self._steps, self._preparation.columns.index(column)]
            known = len(values) if column in self._preparation.gaps else int((~np.isnan(values)).sum())
            if known < self._steps:
                raise CapaxError(
                    f"'{column}' is known for {known} of the {counted(self._steps, 'step')} behind the last known target of {which}; give "
                    "these rows as ahead, or forecast fewer steps."
                )

    def _arrays(self, name: str, history: History, behind: np.ndarray) -> tuple[Panel, dict[str, np.ndarray]]:
        preparation = self._preparation
        seen = history.table()
        values = np.full((len(seen) + preparation.horizon, seen.shape[1]), np.nan)
        first = len(preparation.columns) - len(preparation.future)
        values[: len(seen)] = seen
        values[len(seen) : len(seen) + len(behind), first:] = behind[:, first:]
        panel = Panel(preparation.columns, values, (name,), np.array([0, len(values)]), preparation.step, None)
        arrays = preparation.arrays(panel)
        stamps = history.stamps(np.arange(-len(seen), preparation.horizon))
        if stamps is not None and preparation.calendar:
            arrays["phases"] = calendar.phases(stamps, preparation.calendar).astype(np.float32)
        begins = max(1, len(seen) - history.known)
        return panel, {**arrays, "begins": np.array([begins], np.int32)}


def _value(row: Row, column: str) -> Any:
    if column not in row:
        raise CapaxError(f"the row has no column '{column}', which the model was trained on.")
    return row[column]


def _number(row: Row, column: str) -> float:
    value = _value(row, column)
    if value is None or value is pd.NA or value is pd.NaT:
        return float("nan")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise CapaxError(f"'{column}' is {value!r}, and no number.") from None
    if np.isinf(found):
        raise CapaxError(f"'{column}' is infinite; leave it out, as None, where it is not known.")
    return found
