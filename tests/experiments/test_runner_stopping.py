"""Stopping trials early: the same fate whatever the order and however often a run is killed, and
counted for what it is."""

import math
import random
import tomllib
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from capax.engines.local import LocalEngine
from capax.experiments import decisions, results
from capax.experiments.describe import open_run
from capax.experiments.design import Experiment, load
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.experiments.study import StudyRun
from capax.search.stopping import rungs
from capax.training.divergence import Divergence
from capax.training.trial import Result

TABLE = {
    "name": "small",
    "tasks": ["capacity", "text"],
    "cells": ["rnn"],
    "budgets": [400],
    "trials": 10,
    "batch": 6,
    "steps": [40, 90],
    "reruns": 1,
    "seed": 5,
    "stopping": "halving",
}
MADE_UP = {**TABLE, "tasks": ["capacity"], "trials": 15, "batch": 8, "steps": [100, 3000]}


def make(table):
    return plan(Experiment.model_validate(table, strict=False))


def trials_of(store, study):
    """As Optuna has them."""
    return optuna.load_study(study_name=study.name, storage=store.storage).trials


def made_up(trial):
    """A result without training: some trials diverge on the way, the others rise at different
    speeds."""
    step = trial.pause or trial.steps
    quality = 1 / (1 + abs(math.log(trial.hyperparameters["learning_rate"] / 0.01)))
    diverges = trial.hyperparameters["momentum_logit"] > 5.5 and step > 0.3 * trial.steps
    score = quality * (1 - math.exp(-5 * step / trial.steps))
    scores = {} if diverges else {"score": score, "loss": 1 - score}
    paused = not diverges and step < trial.steps
    return Result(
        Divergence("exploded loss", step) if diverges else None,
        step,
        1.0,
        scores,
        scores,
        np.zeros(100),
        1,
        np.zeros(trial.shape.parameters),
        paused,
    )


def drive(directory, order=None, kill=0.0):
    """Run a study with made-up results, which arrive in an order of their own; between two of them,
    the process may be killed."""
    planned = make(MADE_UP)
    (study,) = planned.studies
    store = open_run(planned, directory)
    dice = random.Random(order)
    run = StudyRun(study, store, planned.experiment)
    pending = run.next_trials(may_propose=True)
    while pending:
        trial = pending.pop(0 if order is None else dice.randrange(len(pending)))
        run.finish(trial, made_up(trial))
        if dice.random() < kill:
            store.close()
            store = open_run(planned, directory)
            run = StudyRun(study, store, planned.experiment)
            pending = []
        pending += run.next_trials(may_propose=False)
        if not pending or dice.random() < 0.5:  # the runner asks when the lanes have little left
            pending += run.next_trials(may_propose=True)
    assert run.progress.done == study.trials
    assert run.progress.infeasible + run.progress.stopped < study.trials
    trials = trials_of(store, study)
    store.close()
    return [(t.number, t.params, t.state, t.value, t.intermediate_values, t.user_attrs["result"]) for t in trials], run


@pytest.fixture(scope="module")
def in_order(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_of_the_results_changes_nothing(in_order, tmp_path, order):
    assert drive(tmp_path / "run", order)[0] == in_order[0]


def test_kills_change_nothing(in_order, tmp_path):
    assert drive(tmp_path / "run", 3, kill=0.3)[0] == in_order[0]


def test_trials_end_in_all_ways_and_the_tuner_is_told_which(in_order):
    trials, run = in_order
    states = [state for _, _, state, _, _, _ in trials]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    assert run.progress.stopped == states.count(TrialState.PRUNED) > 5
    assert run.progress.infeasible == states.count(TrialState.FAIL)
    for _, parameters, state, value, reached, result in trials:
        steps, halts = parameters["training_steps"], rungs("halving", parameters["training_steps"])
        if state == TrialState.COMPLETE:
            assert result["steps"] == steps and sorted(reached) == list(halts)
        if state == TrialState.PRUNED:  # with the score where it was stopped
            assert result["steps"] in halts and sorted(reached) == list(halts[: len(reached)])
            assert value == result["validation"]["score"] == reached[result["steps"]]


def test_the_best_was_trained_to_its_end(in_order):
    trials, run = in_order
    best = decisions.best(run._tuning.ledger(), run.rules)
    assert best.result.state == "complete"
    assert best.result.score == max(value for _, _, state, value, _, _ in trials if state == TrialState.COMPLETE)


def test_what_the_tuner_knows_follows_from_the_numbers(tmp_path, monkeypatch):
    """Groups of four, two open: 8 is proposed when 0 to 3 have ended, and 4 to 7 stay unknown
    though they have ended, too."""
    planned = make({**MADE_UP, "stopping": "none"})
    (study,) = planned.studies
    store = open_run(planned, tmp_path / "run")
    run = StudyRun(study, store, planned.experiment)
    first = run.next_trials(may_propose=True)
    assert [trial.name.split("/")[1] for trial in first] == [str(number) for number in range(8)]
    for trial in first[4:]:
        run.finish(trial, made_up(trial))
    assert run.next_trials(may_propose=True) == []
    for trial in first[:4]:
        run.finish(trial, made_up(trial))
    told_at = []
    ask = optuna.Study.ask

    def watched(self, *arguments):
        told_at.append(sum(trial.state.is_finished() for trial in trials_of(store, study)))
        return ask(self, *arguments)

    monkeypatch.setattr(optuna.Study, "ask", watched)
    assert len(run.next_trials(may_propose=True)) == 7
    assert told_at == [4] * 4 + [8] * 3
    store.close()


def test_a_trial_that_memorised_everything_ends_at_the_rung_and_is_complete(tmp_path):
    planned = make(MADE_UP)
    (study,) = planned.studies
    store = open_run(planned, tmp_path / "run")
    run = StudyRun(study, store, planned.experiment)
    trial = run.next_trials(may_propose=True)[0]
    scores = {"score": 50.0, "loss": 0.001, "samples": 50.0, "fraction_correct": 1.0}
    halted = trial.pause
    run.finish(
        trial, Result(None, halted, 1.0, scores, scores, np.zeros(100), 1, np.zeros(study.shape.parameters), True)
    )
    assert (run.progress.done, run.progress.stopped, run.progress.best) == (1, 0, 50.0)
    (row,) = [row for row in results.trials(*results.read(tmp_path / "run")).to_dict("records") if row["number"] == 0]
    assert (row["state"], row["converged"], row["steps"]) == ("complete", True, halted)
    store.close()


def comparable(frame):
    return frame.drop(columns="seconds").sort_values(["study", "rerun", "number"]).reset_index(drop=True)


def train(directory, lanes=None, **keys):
    execute(make({**TABLE, **keys}), directory, lambda: LocalEngine(lanes))
    return results.trials(*results.read(directory))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "trained"
    return directory, train(directory)


def test_training_stops_at_rungs_and_is_counted(trained):
    directory, frame = trained
    tuned = frame[~frame["rerun"]]
    assert set(tuned["state"]) >= {"complete", "stopped"} and set(frame["state"][frame["rerun"]]) == {"complete"}
    chosen = tuned.groupby("number")["proposed_by"].agg(set).to_dict()
    assert chosen == {
        0: {"default"},
        **{number: {"random"} for number in range(1, 6)},
        **{number: {"model"} for number in range(6, 10)},
    }
    stopped = tuned[tuned["state"] == "stopped"]
    assert all(row["steps"] in rungs("halving", row["hp_training_steps"]) for _, row in stopped.iterrows())
    assert stopped["validation"].notna().all() and stopped["loss"].notna().all()
    for row in results.studies(*results.read(directory)).to_dict("records"):
        own = tuned[tuned["study"] == row["study"]]
        assert (row["trials"], row["stopping"]) == (10, "halving")
        assert row["stopped"] == sum(own["state"] == "stopped") > 0
        assert row["infeasible"] == sum(own["state"] == "infeasible")
        best = own[own["number"] == row["best_trial"]].iloc[0]
        assert best["state"] == "complete"
        assert best["steps"] == best["hp_training_steps"] or best["converged"]
    assert not list(directory.glob("checkpoints/*/*"))


def test_the_number_of_lanes_changes_nothing(trained, tmp_path):
    pd.testing.assert_frame_equal(comparable(train(tmp_path / "run", lanes=1)), comparable(trained[1]))


@pytest.mark.slow
def test_kills_between_any_two_writes_change_nothing(trained, tmp_path, monkeypatch):
    real, left, kills = JournalFileBackend.append_logs, [0], 0

    class Killed(BaseException):
        pass

    def append(self, logs):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        real(self, logs)

    monkeypatch.setattr(JournalFileBackend, "append_logs", append)
    while True:
        left[0] = 53 + 7 * kills
        try:
            frame = train(tmp_path / "run")
            break
        except Killed:
            kills += 1
    assert kills > 3
    pd.testing.assert_frame_equal(comparable(frame), comparable(trained[1]))


def test_pausing_changes_nothing_in_a_trial_that_goes_on(trained, tmp_path):
    """The first two groups are proposed before anything is known, so their trials are the same ones
    without stopping."""
    whole = train(tmp_path / "run", stopping="none")
    assert set(whole["state"]) <= {"complete", "infeasible"} and set(whole["converged"]) == {False}
    tuned = trained[1][(trained[1]["number"] < 6) & ~trained[1]["rerun"]]
    ends = tuned[(tuned["state"] == "complete") & ~tuned["converged"]]
    both = ends.merge(whole, on=["study", "rerun", "number"], suffixes=("", "_whole"))
    assert len(both) == len(ends) > 0
    pd.testing.assert_series_equal(both["validation"], both["validation_whole"], check_names=False)


def test_comparisons_stop_and_reproductions_do_not():
    assert {name: load(name).stopping for name in ("quickstart", "capacity", "text8")} == {
        "quickstart": "halving",
        "capacity": "none",
        "text8": "halving",
    }
    for file in (Path(__file__).parents[2] / "papers").glob("*/*/*.toml"):
        assert load(str(file)).stopping == "none"
        assert tomllib.loads(file.read_text())["stopping"] == "none", f"{file} does not say so"
