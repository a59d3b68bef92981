"""What the page is told: where a run stands, its studies, and their trials, while files change."""

import json
import os
import shutil

import numpy as np
import optuna
import pytest

from capax.errors import CapaxError
from capax.experiments import standing
from capax.search import lock
from capax.search.store import JOURNAL, Store
from capax.serving import view as viewing
from capax.serving.view import UnknownStudy, View
from tests.report import runs
from tests.report.runs import ONE_STUDY, STUDY, add, scored, write_run

HALF = {**ONE_STUDY, "stopping": "halving"}


def half_done(store, study):
    """One trial each is complete, diverged, and open."""
    add(store, study, scored(3.0))
    add(store, study, None)
    add(store, study, None, running=True)
    store.save_curve(study.name, 0, np.array([3.0, 2.0, np.nan]), 50)


@pytest.fixture
def directory(tmp_path):
    write_run(tmp_path / "run", half_done, **HALF)
    return tmp_path / "run"


@pytest.fixture
def running(directory):
    with runs.running(directory, 2):
        yield directory


def test_a_finished_run(finished, client):
    found = client.get("/api/run").json()
    assert (found["name"], found["question"]) == ("quickstart", "Which cell stores more <bits>?")
    assert found["state"] == "finished" and found["holder"] is None and found["training"] == []
    assert (found["trials"], found["planned"]) == (24, 24) and (found["reruns"], found["reruns_due"]) == (8, 8)
    assert found["infeasible"] == 8 and found["stopped"] == 0 and found["fault"] is None
    assert len(found["studies"]) == 8 and found["environments"][0]["cores"] >= 1
    row = found["studies"][0]
    assert (row["cell"], row["depth"], row["budget"], row["trials"], row["infeasible"]) == ("rnn", 1, 250, 3, 1)
    assert row["low"] < row["best"] < row["high"] and "Wilson" in row["interval"] and row["direction"] == "maximise"


def test_a_running_one_says_who_runs_it_how_fast_and_for_how_long_yet(running):
    found = View(running).run()
    assert found["state"] == "running" and found["holder"].startswith(f"process {os.getpid()} on host ")
    assert found["training"] == [{"trial": f"{STUDY}/2", "step": 42, "most": 200}]
    assert (found["workers"], found["steps_per_second"], found["seconds_left"]) == (2, 1234.5, 61.0)
    assert (found["trials"], found["planned"], found["infeasible"]) == (2, 3, 1)
    assert found["studies"][0]["best"] is None and found["studies"][0]["interval"] == "no rerun yet"


def test_one_that_nobody_runs_is_interrupted_and_what_it_told_last_is_old(directory):
    runs.told_of(directory, 2)
    found = View(directory).run()
    assert found["state"] == "interrupted" and found["training"] == [] and found["waiting"] == 1
    assert found["steps_per_second"] is None and found["seconds_left"] is None


def test_the_trials_of_a_study(directory):
    found = View(directory).study(STUDY)
    complete, diverged, opened = found["trials"]
    assert complete["state"] == "complete" and complete["score"] == 3.0 and complete["steps"] == 100
    assert complete["curve"] == {"step": [50, 100], "loss": [3.0, 2.0]}
    assert diverged["state"] == "infeasible" and diverged["divergence"] == "non-finite gradient at step 100"
    assert diverged["score"] is None and diverged["curve"] is None and opened["state"] == "running"
    names = [each["name"] for each in found["hyperparameters"]]
    assert "learning_rate" in names and set(complete["hyperparameters"]) == set(names)
    rate = found["hyperparameters"][names.index("learning_rate")]
    assert rate["log"] and rate["low"] < complete["hyperparameters"]["learning_rate"] * 1.001 < rate["high"]
    json.dumps(found, allow_nan=False)


def test_a_trial_that_paused_is_shown_with_what_it_was_worth_there(directory):
    store = Store.read(directory)
    trial = next(each for each in store.storage.get_all_trials(0) if each.state == optuna.trial.TrialState.RUNNING)
    paused = {"feasible": True, "steps": 50, "seconds": 1.0, "seed": 7, "validation": scored(3.3)}
    record = {"op_code": 8, "worker_id": "w", "trial_id": trial._trial_id, "user_attr": {"paused": paused}}
    with (directory / JOURNAL).open("a") as journal:
        journal.write(json.dumps(record) + "\n")
    found = View(directory)
    opened = found.study(STUDY)["trials"][2]
    assert (opened["state"], opened["paused"], opened["score"]) == ("running", 50, 3.3)
    assert found.run()["paused"] == 1


def test_long_curves_are_thinned_with_both_ends_kept(directory):
    Store.read(directory).save_curve(STUDY, 0, np.linspace(3, 1, 5000), 10)
    curve = View(directory).study(STUDY)["trials"][0]["curve"]
    assert len(curve["step"]) == 200 and (curve["step"][0], curve["step"][-1]) == (10, 50000)
    assert (curve["loss"][0], curve["loss"][-1]) == (3.0, 1.0)


def test_new_trials_are_seen_and_nothing_is_read_twice(directory, monkeypatch):
    monkeypatch.setattr(viewing, "SHARE", 1e9)
    found = View(directory)
    first = found.run()
    reads = []
    read = viewing.results.read
    monkeypatch.setattr(viewing.results, "read", lambda path: reads.append(path) or read(path))
    assert found.run() == first and not reads
    (study,) = write_run(directory.parent / "other", half_done, **HALF).studies
    add(Store.read(directory), study, scored(2.5))
    second = found.run()
    assert len(reads) == 1 and second["trials"] == 3 and second["version"] != first["version"]


def test_a_journal_that_changes_all_the_time_is_not_read_all_the_time(directory, monkeypatch):
    monkeypatch.setattr(viewing, "SHARE", 1e-9)
    found = View(directory)
    first = found.run()
    os.utime(directory / JOURNAL, ns=(1, 1))
    assert found.run() == first


def test_a_journal_with_a_cut_tail_is_read_up_to_there(directory):
    whole = (directory / JOURNAL).read_bytes()
    (directory / JOURNAL).write_bytes(whole[:-7])
    assert View(directory).run()["fault"] is None  # a killed process leaves that


def test_a_damaged_journal_is_shown_with_what_is_wrong(directory):
    lines = (directory / JOURNAL).read_bytes().split(b"\n")
    lines[-2] = lines[-2][:20]
    (directory / JOURNAL).write_bytes(b"\n".join(lines))
    found = View(directory).run()
    assert "cut short or garbled" in found["fault"] and found["trials"] >= 1


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"running": [1]}', '{"running": {}, "steps_per_second": "fast", "seconds_left": NaN}']
)
def test_progress_that_says_nothing_sensible_is_left_out_or_one_line(running, text):
    (running / standing.PROGRESS).write_text(text)
    try:
        found = View(running).run()
    except CapaxError as error:
        assert "cannot be read" in str(error) and "\n" not in str(error)
    else:
        assert found["steps_per_second"] is None and found["seconds_left"] is None


def test_while_the_directory_is_away_there_is_one_line_and_then_it_is_shown_again(directory, client_of):
    client = client_of(directory)
    assert client.get("/api/run").status_code == 200
    shutil.move(directory, directory.parent / "elsewhere")
    for path in ("/api/run", f"/api/study?study={STUDY}"):
        answer = client.get(path)
        assert answer.status_code == 503 and "holds no capax experiment" in answer.json()["error"]
    shutil.move(directory.parent / "elsewhere", directory)
    assert client.get("/api/run").json()["trials"] == 2


def test_a_curve_that_cannot_be_read_is_left_out(directory):
    (directory / "curves" / STUDY / "00000.parquet").write_bytes(b"PAR1 and nothing else")
    assert View(directory).study(STUDY)["trials"][0]["curve"] is None


def test_looking_leaves_the_directory_as_it_was(running):
    def held():
        files = sorted(path for path in running.rglob("*"))
        return [(path, path.stat().st_mtime_ns, path.is_dir() or path.read_bytes()) for path in files]

    before = held()
    found = View(running)
    found.run()
    found.study(STUDY)
    assert held() == before
    with pytest.raises(CapaxError, match="in use by"):
        lock.acquire(running)


def test_no_such_study(finished):
    with pytest.raises(UnknownStudy):
        View(finished).study("no such study")
