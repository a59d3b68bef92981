"""New data for a trained forecaster: checked against what it was trained on, and made longer by
the steps that are to be forecast.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from capax.data.grid import NEAR, ON_GRID_SHARE, Step
from capax.data.roles import NO
from capax.errors import CapaxError, counted
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_series import Panel, Rows, known_steps, read


@dataclasses.dataclass(frozen=True)
class Extended:
    """Series with the steps of the horizon behind them, and the first of these of each."""

    panel: Panel
    origins: Int[np.ndarray, " series"]


def extended(
    preparation: Forecasting,
    source: Path | pd.DataFrame,
    steps: int,
    *,
    encoding: str | None = None,
    decimal: str | None = None,
) -> Extended:
    """The series of new data, each with the steps behind its last known target. `steps`: how many
    of these must have the covariates that are known ahead.

    Raises `CapaxError` for data of another kind than those of the training.
    """
    rows = read(
        source, time=preparation.time or NO, series=preparation.series or NO, encoding=encoding, decimal=decimal
    )  # fmt: skip
    rows = _with_empty(rows, preparation)
    for name in preparation.columns:
        rows.column(name, "that the model was trained on")
    _check_step(rows, preparation.step)
    panel, _ = rows.panel(preparation.columns, preparation.step)
    begins, ends = known_steps(panel, preparation.targets)
    _check_lengths(rows, panel, ends - begins, preparation)
    _check_ahead(rows, panel, ends, steps, preparation)
    return _lengthened(panel, begins, ends, preparation)


def _with_empty(rows: Rows, preparation: Forecasting) -> Rows:
    """With the columns without any value that were seen with missing values in training, too."""
    empty = [name for name in preparation.gaps if name not in rows.columns and name not in preparation.targets]
    there = [name for name in empty if any(note.startswith(f"column '{name}' has no value") for note in rows.notes)]
    if not there:
        return rows
    columns = {**rows.columns, **{name: np.full(len(rows.keys), np.nan) for name in there}}
    notes = tuple(note for note in rows.notes if not any(note.startswith(f"column '{name}'") for name in there))
    return dataclasses.replace(rows, columns=columns, notes=notes)


def _check_step(rows: Rows, trained: Step) -> None:
    """Raises `CapaxError` where time does not go on in the steps of the training."""
    if trained.kind == "rows":
        return
    if rows.stamps is None or (rows.stamps.dtype.kind == "M") != (trained.kind != "count"):
        raise CapaxError(
            f"{rows.file}: its time is of another kind than that of the training, whose step is {trained}."
        )
    found = rows.step()
    alike = found == trained or (trained.kind == "weekdays" and found == Step("seconds", 86_400.0))
    if found.kind == "rows":  # too few rows to tell, or many gaps: whether they fit is enough
        begins = np.flatnonzero(np.diff(rows.keys, prepend=-1))
        first = np.repeat(rows.stamps[begins], np.diff(np.append(begins, len(rows.keys))))
        places = trained.positions(first, rows.stamps)
        alike = (np.abs(places - places.round()) <= NEAR).mean() >= ON_GRID_SHARE
    if not alike:
        other = "no step in common" if found.kind == "rows" else f"a step of {found}"
        raise CapaxError(f"{rows.file}: its time stamps have {other}; the model was trained on steps of {trained}.")


def _check_lengths(rows: Rows, panel: Panel, known: np.ndarray, preparation: Forecasting) -> None:
    due = preparation.least
    short = np.flatnonzero(known < due)
    if len(short):
        which = f"series '{panel.names[short[0]]}'" if preparation.series else "the series"
        raise CapaxError(
            f"{rows.file}: {which} has {counted(int(known[short[0]]), 'step')} from its first known target to its last; "
            f"{counted(due, 'is', 'are')} "
            "due before a forecast."
        )


def _check_ahead(rows: Rows, panel: Panel, ends: np.ndarray, steps: int, preparation: Forecasting) -> None:
    """Raises `CapaxError` where a covariate that is known ahead is not."""
    for name in preparation.future:
        (column,) = panel.named([name])
        for number, end in enumerate(ends):
            begin = panel.offsets[number] + end
            behind = panel.values[begin : min(begin + steps, panel.offsets[number + 1]), column]
            known = len(behind) if name in preparation.gaps else int((~np.isnan(behind)).sum())
            if known < steps:
                where = f" of series '{panel.names[number]}'" if preparation.series else ""
                raise CapaxError(
                    f"{rows.file}: '{name}' is known for {known} of the {counted(steps, 'step')} behind the last known target{where}; "
                    "add these rows, with the target left empty, or forecast fewer steps."
                )


def _lengthened(panel: Panel, begins: np.ndarray, ends: np.ndarray, preparation: Forecasting) -> Extended:
    """Each series from its first known target to the end of the horizon; no target behind the last
    known one, and no covariate there that is known until the origin alone."""
    pieces, until = [], len(preparation.targets) + len(preparation.past)
    for number in range(len(panel.names)):
        begin, end = panel.offsets[number : number + 2]
        seen = panel.values[begin + begins[number] : begin + ends[number]]
        behind = np.full((preparation.horizon, len(panel.columns)), np.nan)
        there = panel.values[begin + ends[number] : end][: preparation.horizon]
        behind[: len(there), until:] = there[:, until:]
        pieces += [seen, behind]
    lengths = ends - begins + preparation.horizon
    firsts = None
    if panel.firsts is not None:
        stamps = [panel.stamps(number, begins[number : number + 1]) for number in range(len(panel.names))]
        firsts = np.array([found[0] for found in stamps if found is not None], panel.firsts.dtype)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    longer = dataclasses.replace(panel, values=np.concatenate(pieces), offsets=offsets, firsts=firsts)
    return Extended(longer, offsets[1:] - preparation.horizon)
