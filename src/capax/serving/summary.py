"""What the page is told of a run: where it stands, how fast it goes, and its studies."""

import math
from typing import Any

import pandas as pd

from capax.experiments.record import RunRecord
from capax.experiments.standing import Standing
from capax.search.ledger import RERUNS
from capax.search.store import Store
from capax.training.environment import Environment

COLUMNS = (
    "study",
    "task",
    "cell",
    "depth",
    "budget",
    "units",
    "parameters",
    "trials",
    "planned",
    "reruns",
    "reruns_due",
)
NUMBERS = ("best", "low", "high")
WITHOUT = "Read from the database alone: curves, speed, and what is in training are in the run's directory, {}"
"""Said on the page."""
COUNTS = ("trials", "planned", "reruns", "reruns_due", "infeasible", "infeasible_reruns", "stopped", "converged")


def summary(store: Store, run: RunRecord, studies: pd.DataFrame, now: Standing) -> dict[str, Any]:
    """How a run stands, as plain data for JSON. Numbers that are not known are None."""
    rows, elsewhere = studies.to_dict("records"), store.elsewhere()
    counts = {name: sum(int(row[name]) for row in rows) for name in COUNTS}
    done = counts["trials"] >= counts["planned"] and counts["reruns"] >= counts["reruns_due"]
    return {
        "name": run.experiment.name,
        "question": run.experiment.question,
        "source": run.experiment.source,
        "directory": store.place,
        "created": run.created,
        "state": "running" if now.holder is not None else "finished" if done else "interrupted",
        "holder": now.holder,
        "fault": store.fault if elsewhere is None else WITHOUT.format(elsewhere),
        "left_out": list(run.left_out),
        **counts,
        "paused": now.paused,
        "waiting": now.waiting,
        "training": _training(run, now),
        "workers": number(now.workers),
        "steps_per_second": number(now.steps_per_second),
        "seconds_left": number(now.seconds_left),
        "environments": [_environment(each) for each in run.environments],
        "report": store.directory is not None and (store.directory / "report.html").is_file(),
        "studies": [_study(run, row) for row in rows],
    }


def number(value: Any) -> float | int | None:
    """A number that JSON has; None for what is no number, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _training(run: RunRecord, now: Standing) -> list[dict[str, Any]]:
    """The trials in training: which, how far, of how many steps at most."""
    most = {study.name + end: study.steps[1] for study in run.studies for end in ("", RERUNS)}
    return [
        {"trial": name, "step": number(step), "most": most.get(name.rpartition("/")[0])}
        for name, step in now.training.items()
    ]


def _environment(environment: Environment) -> dict[str, Any]:
    names = ("capax", "jax", "system", "processor", "instructions", "cores", "device")
    return {name: getattr(environment, name) for name in names}


def _study(run: RunRecord, row: dict[Any, Any]) -> dict[str, Any]:
    reporting = run.tasks[row["task"]].reporting
    return {
        **{name: row[name] for name in COLUMNS},
        **{name: number(row[name]) for name in NUMBERS},
        "infeasible": row["infeasible"],
        "stopped": row["stopped"],
        "interval": row["interval"],
        "score": reporting.score,
        "direction": reporting.direction,
    }
