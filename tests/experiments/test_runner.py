"""Running and resuming: nothing is lost, nothing is counted twice, the same experiment gives the
same results."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from capax.engines.local import LocalEngine
from capax.errors import CapaxError
from capax.experiments import results
from capax.experiments.describe import open_run
from capax.experiments.design import Experiment
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.experiments.study import StudyRun
from capax.training.checkpoint import load_arrays
from capax.training.population import Population
from capax.training.program import SWITCH
from capax.training.trial import Result

TABLE = {
    "name": "small",
    "tasks": ["capacity", "text"],
    "cells": ["rnn"],
    "budgets": [400],
    "trials": 6,
    "batch": 4,
    "steps": [5, 60],
    "reruns": 2,
    "seed": 3,
}
# A design of long trials, to be killed in the middle of one: a trial takes a second or more, a
# chunk this:
CHUNK_SECONDS = 0.1
LONG = {
    **TABLE,
    "tasks": ["capacity"],
    "trials": 5,
    "steps": [4000, 9000],
    "task": {"capacity": {"bits": 12}},
    "budgets": [100],
}


def make(table):
    return plan(Experiment.model_validate(table, strict=False))


def run(directory, table=None, **kwargs):
    execute(make(table or TABLE), directory, LocalEngine, **kwargs)
    return results.trials(*results.read(directory))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    return directory, run(directory)


def comparable(frame):
    return frame.drop(columns="seconds").sort_values(["study", "rerun", "number"]).reset_index(drop=True)


def test_every_trial_is_run_once_and_the_best_is_rerun_on_fresh_seeds(finished):
    _, frame = finished
    assert frame.groupby(["task", "rerun"]).size().to_dict() == {
        ("capacity", False): 6,
        ("text", False): 6,
        ("text", True): 2,
    }
    assert frame["seed"].nunique() == len(frame)
    assert set(frame["proposed_by"][frame["rerun"]]) == {"best"}
    tuned = frame[~frame["rerun"]]
    assert set(tuned["proposed_by"][tuned["number"] == 0]) == {"default"}
    assert set(tuned["proposed_by"][tuned["number"].between(1, 3)]) == {"random"}  # fewer than four: no model yet
    assert set(tuned["proposed_by"][tuned["number"] > 3]) == {"model"}
    text = frame[frame["task"] == "text"]
    best = text[~text["rerun"]].sort_values("validation").iloc[0]
    hyperparameters = [name for name in frame if name.startswith("hp_")]
    for _, rerun in text[text["rerun"]].iterrows():
        pd.testing.assert_series_equal(rerun[hyperparameters], best[hyperparameters], check_names=False)


def test_the_directory_explains_itself(finished):
    directory, frame = finished
    frozen = json.loads((directory / "experiment.json").read_text())
    assert frozen["experiment"]["trials"] == 6 and frozen["environments"][0]["capax"] and frozen["created"]
    curves = sorted(directory.glob("curves/*/*.parquet"))
    assert len(curves) == len(frame)
    assert list(pd.read_parquet(curves[0]).columns) == ["step", "loss"]
    assert len(list((directory / "models").iterdir())) == 2
    assert not list(directory.glob("checkpoints/*/*"))


def test_the_same_experiment_gives_the_same_results(finished, tmp_path):
    pd.testing.assert_frame_equal(comparable(run(tmp_path / "again")), comparable(finished[1]))


def test_running_again_changes_nothing(finished):
    directory, frame = finished
    before = (directory / "optuna.journal").read_bytes()
    pd.testing.assert_frame_equal(run(directory), frame)
    assert (directory / "optuna.journal").read_bytes() == before


def test_the_study_table_says_what_was_measured(finished):
    directory, frame = finished
    studies = results.studies(*results.read(directory)).set_index("task")
    capacity, text = studies.loc["capacity"], studies.loc["text"]
    assert capacity["best"] == frame.loc[frame["task"] == "capacity", "evaluation"].max()
    assert capacity["low"] <= capacity["best"] <= capacity["high"]
    assert capacity["bits_per_parameter"] == pytest.approx(capacity["best"] / capacity["parameters"])
    reruns = frame[frame["rerun"]]["evaluation"]
    assert text["best"] == pytest.approx(reruns.mean())
    # Student's 97.5% quantile with one degree of freedom is 12.706.
    assert text["high"] - text["best"] == pytest.approx(12.706 * reruns.std() / 2**0.5, rel=1e-3)


class InterruptAfter:
    """A display that presses Ctrl-C once enough trials are done."""

    def __init__(self, trials):
        self.trials = trials

    def update(self, progress):
        if sum(study.done for study in progress.studies.values()) >= self.trials:
            raise KeyboardInterrupt

    def note(self, text):
        pass


def test_an_interrupted_run_goes_on_where_it_was(finished, tmp_path):
    for trials in (1, 3, 8):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", display=InterruptAfter(trials))
    pd.testing.assert_frame_equal(comparable(run(tmp_path / "run")), comparable(finished[1]))


CHILD = """
import sys
from pathlib import Path
from capax.training import backend
backend.configure()
from capax.training import worker
from tests.experiments.test_runner import CHUNK_SECONDS, LONG, run
worker.CHUNK_SECONDS = CHUNK_SECONDS
run(Path(sys.argv[1]), LONG)
"""


def start(directory):
    return subprocess.Popen([sys.executable, "-c", CHILD, str(directory)], start_new_session=True)


def trials_so_far(directory):
    try:
        return results.trials(*results.read(directory))
    except CapaxError:  # not made yet
        return pd.DataFrame(columns=["number", "state", "seconds"])


def finished_trials(directory):
    frame = trials_so_far(directory)
    return frame[frame["state"].isin(["complete", "infeasible"])]


def checkpoints(directory):
    """Steps of the unfinished trials, as last kept, by the trial's number."""
    frame = trials_so_far(directory)
    finished = set(frame["number"][frame["seconds"].notna()])  # the result is written just before the trial is closed
    loaded = {int(path.stem): load_arrays(path) for path in directory.glob("checkpoints/*/*.safetensors")}
    return {n: int(kept[0]["step"]) for n, kept in loaded.items() if kept is not None and n not in finished}


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the run did not get there"
        time.sleep(0.05)


def test_after_sigkill_finished_trials_are_kept_and_running_ones_go_on_from_their_last_chunk(tmp_path, monkeypatch):
    directory, whole = tmp_path / "killed", tmp_path / "whole"
    monkeypatch.setattr("capax.training.worker.CHUNK_SECONDS", CHUNK_SECONDS)
    monkeypatch.setenv(
        SWITCH, "0"
    )  # with a fused kernel a trial is over before it can be killed; for this process and the child
    process = start(directory)
    try:
        while True:
            wait_for(
                lambda: len(finished_trials(directory)) >= 1 and max(checkpoints(directory).values(), default=0) > 50
            )
            os.killpg(process.pid, signal.SIGSTOP)
            left = checkpoints(directory)
            if max(left.values(), default=0) > 50:  # else the trial ended just now
                break
            os.killpg(process.pid, signal.SIGCONT)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    frame = trials_so_far(directory)
    finished = set(frame["number"][frame["seconds"].notna()])
    kept = finished_trials(directory).set_index(["study", "rerun", "number"])
    with (directory / "optuna.journal").open("ab") as journal:
        journal.write(b'{"op_code":6,"half a li')  # what a kill in the middle of a write leaves
    lock = directory / "optuna.journal.lock"  # and what one under Optuna's lock leaves
    if not lock.is_symlink():
        lock.symlink_to("optuna.journal")

    begun = {}  # where trials go on: steps in the checkpoint, 0 without one

    class Watched(Population):
        def add(self, trial):
            super().add(trial)
            begun.update({int(t.name.split("/")[1]): steps for t, steps in self.progress() if t is trial})

    class Watch:
        def update(self, progress):
            pass

        def note(self, text):
            notes.append(text)

    notes: list[str] = []
    monkeypatch.setattr("capax.training.worker.Population", Watched)
    resumed = run(directory, LONG, display=Watch())
    monkeypatch.undo()
    monkeypatch.setenv(SWITCH, "0")
    assert notes == [f"resuming: {len(kept)} finished trials are kept"]
    pd.testing.assert_frame_equal(
        resumed.set_index(["study", "rerun", "number"]).loc[kept.index, kept.columns], kept, check_dtype=False
    )
    assert begun == {number: left.get(number, 0) for number in range(LONG["trials"]) if number not in finished}
    pd.testing.assert_frame_equal(comparable(resumed), comparable(run(whole, LONG)))


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path):
    store = open_run(make(TABLE), tmp_path / "run")
    with pytest.raises(CapaxError, match=rf"in use by process {os.getpid()} on host .*, so this one is refused"):
        run(tmp_path / "run")
    store.close()


def test_directories_that_cannot_be_used(tmp_path, finished):
    (tmp_path / "file").write_text("")
    with pytest.raises(CapaxError, match="file is a file; give a directory"):
        run(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(CapaxError, match="is not empty and holds no capax experiment"):
        run(tmp_path / "other")
    assert os.listdir(tmp_path / "other") == ["thesis.tex"]
    with pytest.raises(CapaxError, match=r"holds another experiment: it has trials = 6, this one 7"):
        run(finished[0], {**TABLE, "trials": 7})
    with pytest.raises(CapaxError, match=r"cannot be written: Not a directory"):
        run(tmp_path / "file" / "below")


def test_a_run_is_extended_by_cells_sizes_and_reruns_as_if_it_had_had_them_from_the_start(tmp_path):
    large = {
        **TABLE,
        "tasks": ["memory"],
        "cells": ["rnn", "irnn"],
        "budgets": [300, 400],
        "trials": 2,
        "reruns": 3,
        "steps": [5, 9],
    }
    large["task"] = {"memory": {"batch_size": 4, "held_out": 8, "numbers": 3}}
    small = {**large, "cells": ["irnn"], "budgets": [400], "reruns": 1}
    run(tmp_path / "grown", small)
    run(tmp_path / "grown", large)
    run(tmp_path / "whole", large)
    columns = ["study", "rerun", "number", "seed", "evaluation"]
    order = ["study", "rerun", "number"]
    grown, whole = (
        results.trials(*results.read(tmp_path / name))[columns].sort_values(order, ignore_index=True)
        for name in ("grown", "whole")
    )
    assert len(whole) == 2 * 2 * (2 + 3)
    pd.testing.assert_frame_equal(grown, whole)
    for key, fewer in {
        "reruns": 2,
        "budgets": [300],
        "task": {"memory": {**large["task"]["memory"], "held_out": 9}},
    }.items():
        with pytest.raises(CapaxError, match=f"it has {key}.*, this one"):
            run(tmp_path / "grown", {**large, key: fewer})


def test_a_directory_without_rights_is_one_line(tmp_path, monkeypatch):
    def denied(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", denied)  # the tests may run as root, whom no rights stop
    with pytest.raises(CapaxError, match="cannot be written: Permission denied; choose another"):
        run(tmp_path / "run")


def test_a_disk_that_fails_is_one_line_and_what_was_finished_is_kept(tmp_path, monkeypatch, finished):
    written = []
    real = os.fsync

    def failing_after_a_while(descriptor):
        written.append(descriptor)
        if len(written) > 150:
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr("os.fsync", failing_after_a_while)
    with pytest.raises(CapaxError, match=r"Input/output error\..*run the same command again"):
        run(tmp_path / "run")
    monkeypatch.undo()
    kept = finished_trials(tmp_path / "run")
    assert 0 < len(kept) < 14
    pd.testing.assert_frame_equal(comparable(run(tmp_path / "run")), comparable(finished[1]))


@pytest.mark.slow
def test_a_run_in_which_everything_diverges_ends_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("capax.training.program.EXPLODED", 0.0)
    frame = run(tmp_path / "run", {**TABLE, "cells": ["ugrnn"], "tasks": ["text"], "budgets": [410]})
    assert set(frame["state"]) == {"infeasible"} and len(frame) == 6
    assert set(frame["divergence"]) == {"loss above 10,000 times chance at step 1"}
    assert "not finite" in results.read(tmp_path / "run")[1].divergence
    (study,) = results.studies(*results.read(tmp_path / "run")).to_dict("records")
    assert study["infeasible"] == 6 and pd.isna(study["best"])


def test_a_cell_that_fails_while_training_stops_the_run_with_its_own_error(tmp_path, monkeypatch):
    module = tmp_path / "late_failure.py"
    module.write_text(
        "import capax\n"
        "class Late(capax.cells.get('rnn')):\n"
        "    def step(self, state, projected):\n"
        "        if projected.shape[-1] == 37:\n"
        "            raise RuntimeError('only at a whole draw')\n"
        "        return super().step(state, projected)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CapaxError, match=r"training text-late_failure.*RuntimeError: only at a whole draw"):
        run(
            tmp_path / "run",
            {**TABLE, "cells": ["late_failure:Late"], "tasks": ["text"], "task": {"text": {"batch_size": 37}}},
        )


def test_a_batch_left_with_gaps_is_not_filled_up_again(tmp_path):
    """Killed with trials 2 and 3 finished, trial 0's result written but not told, and trial 1 in
    training."""
    planned = make({**LONG, "batch": 4, "trials": 6})
    (study,) = planned.studies
    store = open_run(planned, tmp_path / "run")
    result = Result(None, 10, 1.0, {"score": 1.0}, {"score": 1.0}, np.zeros(100), 1, np.zeros(study.shape.parameters))
    run = StudyRun(study, store, planned.experiment)
    batch = run.next_trials(may_propose=True)
    assert [trial.name.split("/")[1] for trial in batch] == ["0", "1", "2", "3"]
    for trial in [*batch[2:], batch[0]]:
        run.finish(trial, result)
    again = StudyRun(study, store, planned.experiment)  # after a kill
    assert [trial.name for trial in again.next_trials(may_propose=True)] == [batch[1].name]
    assert again.progress.done == 3
    again.finish(batch[1], result)
    assert [trial.name.split("/")[1] for trial in again.next_trials(may_propose=True)] == ["4", "5"]
    store.close()
