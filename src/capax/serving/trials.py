"""What the page is told of one study: its trials with scores, hyperparameters, and curves."""

import collections
import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from capax.experiments import results
from capax.experiments.record import RunRecord, SpaceRecord, StudyRecord
from capax.search.ledger import RERUNS, TrialRecord
from capax.search.store import Store
from capax.serving.summary import number

POINTS = 200
"""Of a curve, at most; a screen shows no more."""
KEPT = 4_000
"""Curves that are kept in memory."""

Curve = dict[str, list[float | int | None]]


class Curves:
    """Learning curves, thinned, each read once for every state of its trial."""

    def __init__(self) -> None:
        self._kept: collections.OrderedDict[tuple[Any, ...], Curve] = collections.OrderedDict()

    def of(self, store: Store, study: str, trial: int, state: Any) -> Curve | None:
        """A trial's curve, None where there is none yet. `state` differs where the curve does."""
        key = (study, trial, state)
        if key not in self._kept:
            found = _read(store, study, trial)
            if found is None:
                return None
            self._kept[key] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


def trials(store: Store, run: RunRecord, study: StudyRecord, curves: Curves) -> dict[str, Any]:
    """A study's trials, as plain data for JSON. Numbers that are not known are None."""
    frame = results.trials(store, dataclasses.replace(run, studies=(study,)))
    reporting = run.tasks[study.label].reporting
    varied = [name for name, space in study.space.items() if _is_varied(space)]
    paused = _paused(store, study)
    rows = frame.to_dict("records")
    return {
        "study": study.name,
        "cell": study.cell,
        "task": study.label,
        "score": reporting.score,
        "direction": reporting.direction,
        "hyperparameters": [_hyperparameter(name, study.space[name]) for name in varied],
        "trials": [_trial(store, study, row, varied, paused, curves) for row in rows],
    }


def _paused(store: Store, study: StudyRecord) -> dict[tuple[bool, int], TrialRecord]:
    """The trials that have not ended and paused at a rung, with what they were worth at the last
    one.
    """
    ledger = store.ledger(study.name)
    return {
        (rerun, entry.number): entry.paused
        for rerun, entries in ((False, ledger.tuned), (True, ledger.reruns))
        for entry in entries
        if entry.result is None and entry.paused is not None
    }


def _trial(
    store: Store,
    study: StudyRecord,
    row: dict[Any, Any],
    varied: list[str],
    paused: dict[tuple[bool, int], TrialRecord],
    curves: Curves,
) -> dict[str, Any]:
    rerun, trial = bool(row["rerun"]), int(row["number"])
    rung = paused.get((rerun, trial))
    state = row["state"] if rung is None else rung.steps
    return {
        "number": trial,
        "rerun": rerun,
        "state": row["state"],
        "paused": None if rung is None else rung.steps,
        "score": number(row["validation"] if rung is None else rung.validation.get("score")),
        "steps": _whole(row["steps"]),
        "seconds": number(row["seconds"]),
        "divergence": row["divergence"] if isinstance(row["divergence"], str) else None,
        "proposed_by": row["proposed_by"],
        "hyperparameters": {name: _value(row.get(f"hp_{name}")) for name in varied},
        "curve": curves.of(store, study.name + (RERUNS if rerun else ""), trial, state),
    }


def _whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _value(value: Any) -> Any:
    """A hyperparameter's value for JSON: a number, a truth value, or text."""
    if value is None or isinstance(value, bool | str):
        return value
    return number(value) if isinstance(value, int | float) else str(value)


def _is_varied(space: SpaceRecord) -> bool:
    return len(set(map(repr, space.choices))) > 1 if space.choices is not None else space.low != space.high


def _hyperparameter(name: str, space: SpaceRecord) -> dict[str, Any]:
    choices = None if space.choices is None else [_value(choice) for choice in space.choices]
    return {"name": name, "log": space.log, "choices": choices, "low": number(space.low), "high": number(space.high)}


def _read(store: Store, study: str, trial: int) -> Curve | None:
    """A curve from its file, None where it is not there or cannot be read now."""
    try:
        found = store.curve(study, trial)
    except (OSError, ValueError, KeyError):
        return None
    if found is None or not {"step", "loss"} <= set(found.columns):
        return None
    return _thinned(found)


def _thinned(curve: pd.DataFrame) -> Curve:
    places = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), POINTS)).round().astype(int))
    kept = curve.iloc[places]
    losses = [float(f"{loss:.5g}") for loss in kept["loss"].astype(float)]
    return {"step": [_whole(int(step)) for step in kept["step"]], "loss": [number(loss) for loss in losses]}
