"""Run directories as the runner leaves them, written without any training."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from capax.experiments import standing
from capax.experiments.describe import open_run
from capax.experiments.design import Experiment
from capax.experiments.plan import Plan, StudyPlan, plan
from capax.search import lock
from capax.search.ledger import RERUNS
from capax.search.store import JOURNAL, Store
from capax.tasks.capacity import Capacity

ONE_STUDY = {"tasks": ["text"], "cells": ["rnn"], "task": {"text": {"budgets": [2000]}}}
STUDY = "text-rnn-depth1-2000"
"""The study of `ONE_STUDY`."""


def design(**keys: Any) -> Experiment:
    table = {
        "name": "quickstart",
        "question": "Which cell stores more <bits>?",
        "source": "Collins & others 2017",
        "tasks": ["capacity", "text"],
        "cells": ["rnn", "gru"],
        "budgets": [250, 500],
        "trials": 3,
        "steps": [100, 200],
        "reruns": 2,
        "task": {"text": {"budgets": [2000, 5000]}},
    } | keys
    table["task"] = {task: options for task, options in table["task"].items() if task in table["tasks"]}
    return Experiment.model_validate(table)


def memorised(samples: float, correct: float, nats: float = 0.2) -> dict[str, float]:
    return Capacity().scores({"weight": samples, "correct": correct, "loss": nats * samples})


def scored(bits: float) -> dict[str, float]:
    return {"score": bits, "loss": bits * 0.6931, "characters": 1000.0}


def journal_of(store: Store, study: StudyPlan, name: str) -> optuna.Study:
    """A study in the run's journal, begun if it is new."""
    storage = JournalStorage(JournalFileBackend(str(store.directory / JOURNAL)))
    towards = "maximize" if study.task.reporting.direction == "maximise" else "minimize"
    return optuna.create_study(study_name=name, storage=storage, direction=towards, load_if_exists=True)


def add(
    store: Store,
    study: StudyPlan,
    scores: dict[str, float] | None,
    rerun: bool = False,
    running: bool = False,
    stopped: bool = False,
) -> None:
    """One trial; no scores: it diverged."""
    name = study.name + (RERUNS if rerun else "")
    found = scores or {}
    record = {"feasible": scores is not None, "steps": 100, "seconds": 1.5, "seed": 7}
    record |= {"stopped": True} if stopped else {}
    record |= {} if scores else {"divergence": {"kind": "non-finite gradient", "step": 99}}
    ended = TrialState.PRUNED if stopped else TrialState.COMPLETE if scores else TrialState.FAIL
    state = TrialState.RUNNING if running else ended
    journal_of(store, study, name).add_trial(
        optuna.trial.create_trial(
            state=state,
            value=found.get("score"),
            params={
                key: getattr(kind, "choices", [getattr(kind, "low", None)])[0] for key, kind in study.space.items()
            },
            distributions=dict(study.space),
            user_attrs={"proposed_by": "best" if rerun else "random"}
            | ({} if running else {"result": {**record, "validation": found, "evaluation": found}}),
        )
    )


def finish(store: Store, study: StudyPlan) -> None:
    """Three trials, one of them infeasible, and the reruns: results that depend on cell and
    budget.
    """
    better = 1.0 if study.shape.cell == "rnn" else 0.5
    memorises = study.task.reporting.memorised
    samples = 2.0 * study.shape.parameters
    first = memorised(samples, samples * (0.8 + 0.1 * better)) if memorises else scored(3.5 - better)
    second = memorised(samples, 0.7 * samples) if memorises else scored(4.0 - better)
    for scores in (second, None, first):
        add(store, study, scores)
    for number in range(study.reruns):
        add(store, study, scored(3.6 - better + 0.1 * number), rerun=True)


def write_run(directory: Path, fill: Callable[[Store, StudyPlan], None] = finish, **keys: Any) -> Plan:
    """Write a run directory, by default a finished one; returns its plan."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    experiment = design(**keys)
    planned = plan(experiment)
    store = open_run(planned, directory)
    try:
        for study in planned.studies:
            journal_of(store, study, study.name)
            fill(store, study)
    finally:
        store.close()
    return planned


@contextlib.contextmanager
def running(directory: Path, number: int) -> Iterator[Path]:
    """This process has the lock of the run, and tells of this trial of `STUDY`."""
    held = lock.acquire(directory)
    told_of(directory, number)
    yield directory
    held.close()


def told_of(directory: Path, number: int) -> None:
    """What a process that runs tells of this trial of `STUDY`, at step 42."""
    standing.keep(directory, {f"{STUDY}/{number}": 42}, 2, 1234.5, 61.0)
