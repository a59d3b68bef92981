"""From a file to what forecasting is trained on: columns by role, a grid, parts, and what is
learned of the training part.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from capax.data import table
from capax.errors import CapaxError, counted
from capax.jobs import forecast_calendar as calendar
from capax.jobs import forecast_fitting_reference as fitting_reference
from capax.jobs import forecast_season
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_fitting_reference import Fitted, Problem
from capax.jobs.forecast_scales import Scale
from capax.jobs.forecast_series import Panel, Rows, filled, known_steps, read
from capax.jobs.forecast_split import LEAST_BEFORE, Parts, Windows, split

REFERENCES = ("anchor", "autoregression")
"""What forecasts may be relative to, the usual one first."""
MOST_CONTEXT, LEAST_CONTEXT = 200, 24
SEASONS_SEEN = 3
"""So many seasons a context holds, if they are short enough."""
MOST_CODES, ROWS_OF_A_CODE, MOST_SHOWN = 20, 10, 5
"""A column of numbers looks like one of codes with at most 20, each in 10 rows; 5 are named."""


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the user asks for; None: found, or usual. Columns by name, several between commas."""

    target: str | None = None
    time: str | None = None
    series: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    covariates: str | None = None
    future: str | None = None
    horizon: int | None = None
    context: int | None = None
    season: int | None = None
    share: float = 0.1
    levels: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A file that is ready: what was learned of its training part, its series, and their parts.
    `fitted`: what networks train on of the autoregression; None where there is none.
    """

    preparation: Forecasting
    panel: Panel
    parts: Parts
    notes: tuple[str, ...]
    fitted: Fitted | None = None

    @functools.cached_property
    def regression(self) -> Fitted | None:
        """The autoregression of the training parts, with calendar and covariates; None where they
        are too short for one.
        """
        if self.fitted is not None or not self.can_have_reference:
            return self.fitted
        return _linear_reference(self.panel, self.parts, self.preparation)

    @property
    def can_have_reference(self) -> bool:
        """Whether the training parts are long enough for an autoregression."""
        return fitting_reference.possible(self.parts.longest, self.preparation.horizon)

    def with_reference(self) -> "Prepared":
        """The same on top of the autoregression, where there is one."""
        found = self.regression
        if found is None:
            return self
        preparation = dataclasses.replace(self.preparation, reference=found.reference)
        return dataclasses.replace(self, preparation=preparation, fitted=found)

    def windows(self, part: str) -> Windows:
        """The windows of a part ("train", "validation", "evaluation"), evenly spaced."""
        return self.parts.windows(self.panel, self.preparation.horizon, part)


def prepare(source: Path | pd.DataFrame, wishes: Wishes) -> Prepared:
    """Read a file and learn from its training part. Raises `CapaxError` for one that cannot be
    forecast.
    """
    reading = {"time": wishes.time, "series": wishes.series, "encoding": wishes.encoding, "decimal": wishes.decimal}
    named = [name for wish in (wishes.target, wishes.covariates, wishes.future) for name in table.named(wish)]
    rows = read(source, **reading, taken=named)
    targets, past, future = roles(rows, wishes)
    panel, gridded = rows.panel([*targets, *past, *future], rows.step())
    panel = panel.cut(*known_steps(panel, targets))
    if not len(panel.names):
        raise CapaxError(f"{rows.file}: {_named(targets)} has no known value; name another target.")
    horizon = wishes.horizon or _horizon(panel)
    try:
        panel, parts, cut = split(panel, horizon, wishes.share)
    except CapaxError as error:
        raise CapaxError(f"{rows.file}: {error}") from None
    preparation = _learned(panel, parts, wishes, (targets, past, future), horizon, rows)
    unused = [name for name in rows.columns if name not in (*targets, *past, *future)]
    of_target = [*_said(preparation, wishes), *_said_of_codes(rows, targets, [*past, *future])]
    notes = (*rows.notes, *gridded, *of_target, *_said_of_unused(unused), *cut)
    return Prepared(preparation, panel, parts, notes)


def _linear_reference(panel: Panel, parts: Parts, preparation: Forecasting) -> Fitted:
    horizon, targets = preparation.horizon, len(preparation.targets)
    most = min(fitting_reference.MOST_FITTED, fitting_reference.MOST_FORECASTS // (horizon * targets))
    windows = parts.windows(panel, horizon, "train", max(100, most))
    problem = Problem.of(parts.begins, parts.validation, windows.series, windows.origins, horizon)
    sizes = horizon, preparation.season, len(preparation.past)
    return fitting_reference.fit(
        preparation.arrays(panel), problem, sizes, preparation.levels, preparation.calendar, parts.longest
    )


def roles(rows: Rows, wishes: Wishes) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Targets, covariates known until the origin, and those known in the horizon.

    Raises `CapaxError` for a column that there is not, one with two roles, and where the target
    must be named.
    """
    past = _columns(rows, wishes.covariates, "--covariates")
    future = _columns(rows, wishes.future, "--future")
    targets = _columns(rows, wishes.target, "--target")
    if not targets:
        choices = [name for name in rows.columns if name not in (*past, *future)]
        if len(choices) != 1:
            shown = f"choose of {', '.join(choices)} (several with commas between)" if choices else "it has no number"
            raise CapaxError(f"{rows.file}: which column is to be forecast? Name it with --target COLUMN: {shown}.")
        targets = (choices[0],)
    every = [*targets, *past, *future]
    twice = next((name for name in every if every.count(name) > 1), None)
    if twice is not None:
        raise CapaxError(f"column '{twice}' is named twice among target, covariates, and future; name it once.")
    return targets, past, future


def _columns(rows: Rows, wish: str | None, option: str) -> tuple[str, ...]:
    if wish is None:
        return ()
    names = [wish] if wish in rows.columns else [name.strip() for name in wish.split(",") if name.strip()]
    return tuple(rows.column(name, option) for name in names)


def _horizon(panel: Panel) -> int:
    """The usual one, but at most a tenth of the longest series."""
    return max(1, min(calendar.usual_horizon(panel.step), int(panel.lengths.max()) // 10))


def _learned(
    panel: Panel,
    parts: Parts,
    wishes: Wishes,
    columns: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    horizon: int,
    rows: Rows,
) -> Forecasting:
    targets, past, future = columns
    pieces = [panel.values[begin:end] for begin, end in zip(parts.begins, parts.validation, strict=True)]
    scales = {
        name: Scale.of(piece, len(targets), horizon) for name, piece in zip(panel.names, pieces, strict=True)
    }  # fmt: skip
    missing = np.any([np.isnan(piece).any(axis=0) for piece in pieces], axis=0)
    longest = max(len(piece) for piece in pieces)
    season = wishes.season or _season(panel, parts, len(targets))
    return Forecasting(
        targets=targets,
        past=past,
        future=future,
        gaps=tuple(name for name, gap in zip(panel.columns, missing, strict=True) if gap),
        horizon=horizon,
        context=wishes.context or _context(season, horizon, longest),
        season=season,
        levels=wishes.levels,
        step=panel.step,
        calendar=calendar.supported(panel.step, longest * (panel.step.seconds or 0.0)),
        time=rows.time,
        series=rows.series,
        scales=scales,
    )


def _season(panel: Panel, parts: Parts, targets: int) -> int:
    """The season of the training parts of all targets."""
    known = filled(panel.values[:, :targets], panel)
    training = [known[begin:end] for begin, end in zip(parts.begins, parts.validation, strict=True)]
    return forecast_season.find([column for piece in training for column in piece.T], calendar.seasons(panel.step))


def _context(season: int, horizon: int, longest: int) -> int:
    """The steps seen before an origin: some seasons, and twice the horizon, as far as training
    parts are that long.
    """
    seasonal = next((number * season for number in range(SEASONS_SEEN, 0, -1) if number * season <= MOST_CONTEXT), 0)
    wanted = min(MOST_CONTEXT, max(2 * horizon, LEAST_CONTEXT, seasonal))
    return max(LEAST_BEFORE, min(wanted, longest - horizon))


def _said(found: Forecasting, wishes: Wishes) -> Sequence[str]:
    """What was decided, a line each, with how to say otherwise."""
    ahead = f"{found.horizon} {'step' if found.horizon == 1 else 'steps'} of {found.step} ahead"
    other = "" if wishes.horizon else "; otherwise: --horizon STEPS"
    said = [f"forecast: {_named(found.targets)}, {ahead}{other}"]
    if found.season > 1:
        said.append(
            f"season: {counted(found.season, 'step')}"
            + ("" if wishes.season else "; otherwise: --set season=STEPS, 1 for none")
        )
    elif not wishes.season:
        said.append("season: none was found; otherwise: --set season=STEPS")
    if found.past or found.future:
        known = [f"{name} (known until the origin)" for name in found.past]
        said.append("covariates: " + ", ".join([*known, *(f"{name} (known ahead)" for name in found.future)]))
    if found.calendar:
        said.append(f"calendar: {', '.join(found.calendar)}")
    if found.gaps:
        said.append(
            f"missing values of {_named(found.gaps)} are no targets; networks see the last known value and a flag"
        )
    return said


def _said_of_codes(rows: Rows, targets: Sequence[str], covariates: Sequence[str]) -> list[str]:
    """Of targets that look like what tells series apart, where another column could be meant."""
    others = [name for name in rows.columns if name not in (*targets, *covariates) and not _codes(rows.columns[name])]
    if not others or rows.series is not None:
        return []
    return [
        f"'{name}' holds {counted(len(codes), 'whole number')} again and again ({_shown(codes)}), as the number of a shop or a "
        f"station: if it tells series apart, say --series {name} and another --target, of {', '.join(others)}"
        for name in targets
        if (codes := _codes(rows.columns[name]))
    ]


def _codes(values: Float[np.ndarray, " rows"]) -> list[int]:
    """The values of a column that looks like one of codes: few whole numbers from 1 on, each many
    times.
    """
    found = np.unique(values[~np.isnan(values)])
    few = 1 < len(found) <= min(MOST_CODES, len(values) / ROWS_OF_A_CODE)
    return [int(value) for value in found] if few and found[0] >= 1 and not (found % 1).any() else []


def _shown(codes: Sequence[int]) -> str:
    return ", ".join(map(str, codes[:MOST_SHOWN])) + (", .." if len(codes) > MOST_SHOWN else "")


def _said_of_unused(columns: Sequence[str]) -> list[str]:
    if not columns:
        return []
    return [f"not used: {', '.join(columns)}; otherwise: --covariates COLUMN, or --future COLUMN if it is known ahead"]


def _named(columns: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in columns)
