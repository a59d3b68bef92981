"""From a file to a compared, tuned, saved model: recognise, plan, train, compare, keep."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capax import tasks
from capax.errors import CapaxError
from capax.experiments import design, results
from capax.experiments.plan import Plan, plan
from capax.experiments.progress import Display, Silent
from capax.experiments.runner import execute
from capax.fitting import going_on, kinds, outcome, pace
from capax.fitting.comparing import compare
from capax.fitting.outcome import Outcome
from capax.fitting.recognise import Recognised, recognise
from capax.search.store import EXPERIMENT
from capax.tasks.from_file import FromFile
from capax.training.engine import Engine

CELLS = ("gru", "lstm")
TRIALS, RERUNS, BATCH = 8, 2, 4
MOST_TRIALS = 24
"""Where the data do with few training steps, the time serves more trials."""
MINUTES = 3.0


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the user asks of a fit; None: what is usual. `options`: of the task."""

    job: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    cells: tuple[str, ...] = CELLS
    depth: int = 1
    budget: int | None = None
    trials: int | None = None
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.minutes is not None and not self.minutes > 0:
            raise CapaxError(f"minutes must be above 0, not {self.minutes}.")
        if self.minutes is not None and self.steps is not None:
            raise CapaxError("give minutes or steps, and not both: minutes are made into steps.")


def fit(
    path: Path, out: Path, wishes: Wishes, make_engine: Callable[[], Engine], display: Display | None = None
) -> Outcome:
    """Fit a model to a file, or go on with it, in a directory.

    Raises `CapaxError` for a file or wishes that do not fit, before anything is written.
    """
    began, shown = time.monotonic(), display or Silent()
    recognised = recognise(path, wishes.job, wishes.options)
    task = tasks.get(recognised.job, path=str(path), **wishes.options)
    assert isinstance(task, FromFile)
    notes = tuple(note for note in (recognised.why, *task.prepared.notes) if note)
    for note in notes:
        shown.note(note)
    chosen = _planned(recognised, task, out, wishes, shown)
    execute(chosen, out, make_engine, shown)
    found = compare(recognised.job, _tasks(chosen), out, notes, shown.note)
    found = dataclasses.replace(found, seconds=time.monotonic() - began)
    outcome.save(out, found)
    return found


def _tasks(chosen: Plan) -> dict[str, FromFile[Any]]:
    return {label: task for label, task in chosen.tasks.items() if isinstance(task, FromFile)}


def _planned(recognised: Recognised, task: FromFile[Any], out: Path, wishes: Wishes, shown: Display) -> Plan:
    """The experiment; how many steps fit into the minutes is measured once, when it is begun."""
    kind = kinds.KINDS[recognised.job]
    table = _design(recognised.job, task, wishes, wishes.steps or kind.steps)
    if (out / EXPERIMENT).exists():
        _, record = results.read(out)
        begun = record.experiment
        steps = begun.steps[1] if wishes.steps is None else wishes.steps
        trials = begun.trials if wishes.trials is None else wishes.trials
        now = design.made({**table, "steps": steps, "trials": trials})
        files = {content.option for each in record.tasks.values() for content in each.contents}
        going_on.check(out, begun, now, files)
        return plan(now)
    if wishes.steps is None and (wishes.minutes is not None or wishes.trials is None):
        minutes = wishes.minutes or MINUTES
        shown.note(
            f"measuring how many training steps fit into {minutes:g} {'minute' if minutes == 1 else 'minutes'}, compiling apart ..."
        )
        table["steps"] = pace.steps_within(plan(design.made(table)), 60 * minutes)
    most = task.most_steps()
    if wishes.steps is None and most is not None and most < table["steps"]:
        shown.note(f"at most {most:,} training steps, since more would learn these data by heart; otherwise: --steps")
        if wishes.trials is None:
            table["trials"] = min(MOST_TRIALS, TRIALS * table["steps"] // most)
        table["steps"] = most
    return plan(design.made(table))


def _design(job: str, task: FromFile[Any], wishes: Wishes, steps: int) -> dict[str, Any]:
    """The experiment as its file would have it."""
    options = {key: value for key, value in {**wishes.options, "path": task.path}.items() if value is not None}
    compared = {option: values for option, values in task.alternatives().items() if option not in options}
    if compared:
        options["sweep"] = compared
    return {
        "name": "fit",
        "question": f"Which network is best for {Path(task.path).name}?",
        "tasks": [job],
        "cells": list(wishes.cells),
        "depths": [wishes.depth],
        "budgets": [wishes.budget or kinds.KINDS[job].budget],
        "trials": wishes.trials or TRIALS,
        "steps": steps,
        "batch": BATCH,
        "reruns": RERUNS,
        "stopping": "halving",
        "seed": wishes.seed,
        "tune": list(kinds.TUNE),
        "hyperparameters": kinds.hyperparameters(job),
        "task": {job: options},
    }
