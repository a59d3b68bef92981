"""Every new kind of data is learned from: a short run of each task, as `capax run` does it, beats
what knows no input.
"""

import dataclasses

import pytest

from capax import tasks
from capax.engines.local import LocalEngine
from capax.experiments import results
from capax.experiments.design import OVERRIDABLE, Experiment
from capax.experiments.plan import plan
from capax.experiments.runner import execute

OPTIONS = {
    "memory": {"numbers": 4, "time_steps": 3, "held_out": 256},
    "rcf": {"samples": 60, "dimensions": 5, "tau": 10.0, "time_steps": 4},
    "parentheses": {"time_steps": 5, "held_out": 256},
    "arithmetic": {"largest": 2, "time_steps": 17, "held_out": 256},
}
EXPERIMENT = {
    "name": "learning",
    "tasks": list(OPTIONS),
    "cells": ["gru"],
    "budgets": [600],
    "trials": 1,
    "steps": 1500,
    "reruns": 1,
    "task": {**OPTIONS, "parentheses": {**OPTIONS["parentheses"], "budgets": [6000]}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    execute(plan(Experiment.model_validate(EXPERIMENT, strict=False)), directory, LocalEngine)
    store, planned = results.read(directory)
    return results.studies(store, planned).set_index("task"), results.trials(store, planned)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_short_run_learns_what_the_baselines_do_not_know(run, name):
    task = tasks.get(name, **OPTIONS[name])
    best = run[0].loc[name, "best"]
    assert 0 < best < 0.8 * min([task.facts.chance, *task.baselines().values()])


@pytest.mark.parametrize("name", OPTIONS)
def test_no_option_has_the_name_of_a_key_that_a_task_s_table_overrides(name):
    assert not {field.name for field in dataclasses.fields(tasks.get(name))} & set(OVERRIDABLE)


def test_validation_and_evaluation_differ_where_they_are_different_draws(run):
    trials = run[1].set_index("task")
    for name in ("memory", "parentheses", "arithmetic"):
        assert (trials.loc[name, "validation"] != trials.loc[name, "evaluation"]).all()
    assert (trials.loc["rcf", "validation"] == trials.loc["rcf", "evaluation"]).all()
