"""Forecasting: what is learned of the training part, and how series become a network's inputs and
its outputs quantiles.

A network sees `context` steps before an origin and then `horizon` steps, and says at each of these
the quantiles of every target. Targets are seen and forecast relative to the *anchor*, the last
known value before the origin, in units of the change that is usual within the horizon.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from capax.data.grid import Step
from capax.errors import CapaxError
from capax.jobs import forecast_calendar as calendar
from capax.jobs.forecast_reference import Autoregression
from capax.jobs.forecast_reference import count as terms_of
from capax.jobs.forecast_scales import Scale, stacked
from capax.jobs.forecast_series import Panel, filled
from capax.jobs.preparation import Preparation

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


@dataclasses.dataclass(frozen=True)
class Forecasting(Preparation):
    """`targets`, `past`, `future`: columns that are forecast, that are known until the origin, and
    that are known in the horizon, too. `gaps`: those with missing values in the training part,
    which have a feature that says where. `horizon`, `context`, `season` in steps; `levels` of the
    quantiles; `step` of time; `calendar`: its features; `time` and `series`: the columns of these
    roles, None where there are none; `scales` by the name of the series.
    """

    job: ClassVar[str] = "forecast"

    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    gaps: tuple[str, ...]
    horizon: int
    context: int
    season: int
    levels: tuple[float, ...]
    step: Step
    calendar: tuple[str, ...]
    time: str | None
    series: str | None
    scales: Mapping[str, Scale]
    reference: Autoregression | None = None

    def __post_init__(self) -> None:
        if min(self.horizon, self.context, self.season, len(self.targets), len(self.scales)) < 1:
            raise CapaxError(
                "a forecast has a horizon, a context, a season, a target, and a series, at least one each."
            )
        if list(self.levels) != sorted(set(self.levels)) or not all(0 < level < 1 for level in self.levels):
            raise CapaxError(f"quantiles are different numbers between 0 and 1 in order, not {list(self.levels)}.")
        if not set(self.gaps) <= set(self.columns) or len(set(self.columns)) < len(self.columns):
            raise CapaxError("a column is a target, or known until the origin, or known in the horizon.")
        if not set(self.calendar) <= set(calendar.PERIODS):
            raise CapaxError(f"the calendar has no {', '.join(set(self.calendar) - set(calendar.PERIODS))}.")
        if any(len(s.mean) != len(self.columns) or len(s.change) != len(self.targets) for s in self.scales.values()):
            raise CapaxError("a forecast has a scale for each column of each series.")
        if self.reference is not None and self.reference.shape != self._reference_shape(self.reference):
            raise CapaxError("the autoregression is of other sizes than the forecast.")

    def _reference_shape(self, found: Autoregression) -> tuple[int, ...]:
        """Targets, horizon, terms, and levels of an autoregression."""
        terms = terms_of(found.lags, self.season, len(found.calendar), len(self.past) + len(self.future))
        return len(self.targets), self.horizon, terms, len(self.levels)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, targets first."""
        return (*self.targets, *self.past, *self.future)

    @property
    def features(self) -> tuple[str, ...]:
        """What a network sees at a step, in order."""
        seasonal = [f"{name}, a season before" for name in self.targets] if self.season > 1 else []
        return (
            *self.targets,
            *seasonal,
            *(f"anchor of {name}" for name in self.targets),
            *(f"anchor of {name}, times how far ahead" for name in self.targets),
            *(f"{name}, by the autoregression" for name in self.targets if self.reference is not None),
            *self.past,
            *self.future,
            *(f"{name} is missing" for name in self.gaps),
            "before the origin",
            "in the horizon",
            "how far ahead",
            *(f"{part} of {name}" for name in self.calendar for part in ("sine", "cosine")),
        )

    @property
    def inputs(self) -> int:
        return len(self.features)

    @property
    def outputs(self) -> int:
        return len(self.targets) * len(self.levels)

    @property
    def length(self) -> int:
        """Steps of a window."""
        return self.context + self.horizon

    @property
    def least(self) -> int:
        """Steps that are due before a forecast."""
        return min(self.context, max(self.season, 2))

    @property
    def reach(self) -> int:
        """So many steps before an origin are looked at, at most."""
        lags = 0 if self.reference is None else self.reference.lags
        return max(self.context + self.season, 2 * self.season, lags)

    def scales_of(self, panel: Panel) -> list[Scale]:
        """The scale of each series: the one it was trained with, the only one there is, or, of a
        new series among several, one of its own values.
        """
        if len(self.scales) == 1:
            return list(self.scales.values()) * len(panel.names)
        found = []
        for number, name in enumerate(panel.names):
            begin, end = panel.offsets[number : number + 2]
            known = self.known(name)
            own = Scale.of(panel.values[begin:end], len(self.targets), self.horizon) if known is None else None
            found.append(own or self.scales[str(known)])
        return found

    def known(self, series: str) -> str | None:
        """The name that a series had in training, which may differ in zeros before a number, as 7
        and 007 do; None where it was not there.
        """
        alike = [name for name in self.scales if name.isdecimal() and series.isdecimal() and int(name) == int(series)]
        return series if series in self.scales else alike[0] if len(alike) == 1 else None

    def arrays(self, panel: Panel) -> dict[str, np.ndarray]:
        """What windows are gathered from, float32 (steps, ..), of a panel with these `columns`:

        - `targets`, in units of change from the mean, NaN where missing; `last`, the same with the
          last known value where one is missing;
        - `covariates`, scaled, and filled in the same way; `missing`, 1 where a column of `gaps`
          has no value; `phases` of the calendar, from 0 to 1;
        - of each series (series, ..): `begins`, its first step, and `ratio`, the usual change of
          each target in deviations.
        """
        count = len(self.targets)
        mean, deviation, change = stacked(self.scales_of(panel))
        unit = np.concatenate([change, deviation[:, count:]], axis=1)
        scaled = np.empty_like(panel.values)
        for number in range(len(panel.names)):
            part = slice(*panel.offsets[number : number + 2])
            scaled[part] = (panel.values[part] - mean[number]) / unit[number]
        last = filled(scaled, panel)
        gaps = np.isnan(panel.values[:, panel.named(self.gaps)])
        found = {
            "targets": scaled[:, :count],
            "last": last[:, :count],
            "covariates": last[:, count:],
            "missing": gaps,
            "phases": self._phases(panel),
            "ratio": change / deviation[:, :count],
        }
        arrays = {name: array.astype(np.float32) for name, array in found.items()}
        return {**arrays, "begins": panel.offsets[:-1].astype(np.int32)}

    def _phases(self, panel: Panel) -> Float[np.ndarray, "steps names"]:
        found = np.zeros((len(panel.values), len(self.calendar)), np.float32)
        if self.calendar:
            for number in range(len(panel.names)):
                begin, end = panel.offsets[number : number + 2]
                stamps = panel.stamps(number, np.arange(end - begin))
                if stamps is not None:
                    found[begin:end] = calendar.phases(stamps, self.calendar)
        return found

    def to_json(self) -> dict[str, Any]:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in given.items()},
            "step": self.step.to_json(),
            "reference": None if self.reference is None else self.reference.to_json(),
            "scales": {name: scale.to_json() for name, scale in self.scales.items()},
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Forecasting":
        names = [field.name for field in dataclasses.fields(cls)]
        given = {"reference": None, **given}  # models of before there were any
        if set(given) != set(names):
            wrong = sorted(set(given) ^ set(names))
            raise CapaxError(f"this is no preparation of a forecast: '{wrong[0]}' is missing, or one too many.")
        kinds = {
            "texts": (("targets", "past", "future", "gaps", "calendar"), lambda v: _all(v, str)),
            "whole numbers": (("horizon", "context", "season"), lambda v: _is(v, int)),
            "numbers": (("levels",), lambda v: _all(v, float) and all(map(math.isfinite, v))),
            "a text or none": (("time", "series"), lambda v: v is None or _is(v, str)),
            "a dictionary": (("step", "scales"), lambda v: _is(v, dict)),
            "a dictionary or none": (("reference",), lambda v: v is None or _is(v, dict)),
        }
        for kind, (fields, fits) in kinds.items():
            for name in fields:
                if not fits(given[name]):
                    raise CapaxError(f"this is no preparation of a forecast: '{name}' must be {kind}.")
        made: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
        }
        made["step"] = Step.from_json(given["step"])
        made["reference"] = None if given["reference"] is None else Autoregression.from_json(given["reference"])
        made["scales"] = {name: Scale.from_json(scale) for name, scale in given["scales"].items()}
        return cls(**made)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(_is(value, kind) for value in values)
