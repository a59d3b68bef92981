"""Sinks: read back by their own readers, nothing twice, and never in the way of a run."""

import dataclasses
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

from capax.errors import CapaxError
from capax.experiments import results, telling
from capax.experiments.design import Experiment
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.search.store import Store
from capax.sinks import sink
from capax.sinks.sink import Sink, TrialReport
from tests.experiments.test_faults import RESIDENT, InterruptAfter, LocalEngine, Notes

NAMES = ("tensorboard", "mlflow")
TABLE = {
    "name": "told",
    "tasks": ["memory"],
    "cells": ["rnn"],
    "budgets": [300],
    "trials": 6,
    "batch": 4,
    "steps": [40, 40],
    "stopping": "halving",
    "reruns": 2,
    "sampler": "random",
    "task": {"memory": {"batch_size": 4, "held_out": 8, "numbers": 3}},
}
TRIAL = TrialReport(
    "memory-rnn", 3, False, "complete", {"rate": 0.5, "kind": "relu", "flag": True}, 20, 2.0, 7,
    {"score": 1.5}, {"score": 1.75, "loss": 0.5}, ((10, 3.0), (20, 2.0)),
)  # fmt: skip
PAUSED = dataclasses.replace(TRIAL, state="paused", steps=10, seconds=1.0, curve=((10, 3.0),))


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


# SQLAlchemy warns of what MLflow's tables do.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


def run(directory, sinks=NAMES, display=None):
    planned = plan(Experiment.model_validate(TABLE, strict=False))
    kinds = {name: sink.INSTALLED.get(name) if isinstance(name, str) else name for name in sinks}
    execute(planned, directory, lambda: LocalEngine(2, resident=RESIDENT), display, sinks=kinds)
    frame = results.trials(*results.read(directory))
    return frame.drop(columns="seconds").sort_values(["study", "rerun", "number"]).reset_index(drop=True)


def in_tensorboard(directory):
    """Scalars by trial and tag: steps and values, and which trials have hyperparameters."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(directory / "tensorboard"))
    multiplexer.Reload()
    found = {}
    for name, tags in multiplexer.Runs().items():
        found[name] = {
            tag: [(event.step, event.value) for event in multiplexer.Scalars(name, tag)] for tag in tags["scalars"]
        }
        assert "_hparams_/session_start_info" in multiplexer.GetAccumulator(name).summary_metadata
    return found


def in_mlflow(directory, name="told"):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{directory / 'mlruns' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    found = {}
    for each in runs:
        assert each.info.run_name not in found
        metrics = {
            key: sorted((m.step, m.value) for m in client.get_metric_history(each.info.run_id, key))
            for key in each.data.metrics
        }
        found[each.info.run_name] = (each, metrics)
    return found


def check(directory, frame):
    """All trials of a run are in both, once, with what the run says of them."""
    shown, logged = in_tensorboard(directory), in_mlflow(directory)
    assert len(shown) == len(logged) == len(frame)
    store = Store.read(directory)
    for _, row in frame.iterrows():
        name = f"{row['study']}/{'rerun-' if row['rerun'] else ''}{row['number']}"
        curve = store.curve(row["study"] + (" reruns" if row["rerun"] else ""), row["number"])
        points = list(zip(curve["step"], curve["loss"], strict=True))
        run, metrics = logged[name]
        assert run.data.tags["capax.state"] == row["state"]
        assert float(run.data.params["learning_rate"]) == row["hp_learning_rate"]
        for scalars in (shown[name], metrics):
            np.testing.assert_allclose(scalars["loss"], points, rtol=1e-6)
            assert scalars["evaluation/score"][-1][1] == pytest.approx(row["evaluation"], rel=1e-6)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    directory = tmp_path_factory.mktemp("told") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        notes = Notes()
        frame = run(directory, display=notes)
    assert not any("sink" in line for line in notes.lines), notes.lines
    return directory, frame


def test_all_trials_are_read_back_from_both(told):
    directory, frame = told
    assert {"complete", "stopped"} <= set(frame["state"])
    check(directory, frame)


def test_telling_again_changes_nothing(told):
    directory, frame = told
    files = sorted((directory / "tensorboard").rglob("events*"))
    before, logged = [path.stat().st_mtime_ns for path in files], in_mlflow(directory)
    run(directory)
    assert [path.stat().st_mtime_ns for path in files] == before
    assert {name: metrics for name, (_, metrics) in in_mlflow(directory).items()} == {
        name: metrics for name, (_, metrics) in logged.items()
    }
    check(directory, frame)


def test_what_a_run_without_sinks_or_an_interrupted_one_did_is_told_later(told, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", sinks=(), display=InterruptAfter(1))
    assert not (tmp_path / "run" / "tensorboard").exists() and not (tmp_path / "run" / "mlruns").exists()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", display=InterruptAfter(3))
    frame = run(tmp_path / "run")
    pd.testing.assert_frame_equal(frame, told[1])
    check(tmp_path / "run", frame)


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_that_pauses_and_goes_on_is_one_with_each_point_once(tmp_path, name):
    made = sink.INSTALLED.get(name).begin("told", "then", tmp_path)
    for trial in (PAUSED, PAUSED, TRIAL, TRIAL):
        made.take(trial)
    (scalars,) = (
        in_tensorboard(tmp_path).values()
        if name == "tensorboard"
        else [metrics for _, metrics in in_mlflow(tmp_path).values()]
    )
    assert scalars["loss"] == [(10, 3.0), (20, 2.0)]
    assert scalars["validation/score"][-1] == (20, 1.5)


def test_a_run_that_was_half_logged_is_logged_anew(tmp_path, monkeypatch):
    from capax.sinks import mlflow

    made = mlflow.MLflow.begin("told", "then", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "RunTag", None)  # it fails before its last tags
        with pytest.raises(TypeError):
            made.take(TRIAL)
    made.take(TRIAL)
    ((run_, metrics),) = in_mlflow(tmp_path).values()
    assert metrics["loss"] == [(10, 3.0), (20, 2.0)] and run_.info.status == "FINISHED"


def test_runs_with_a_server_of_their_own_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'shared.db'}")
    from mlflow.tracking import MlflowClient

    for identity in ("one", "other", "one"):
        sink.INSTALLED.get("mlflow").begin("told", identity, tmp_path / identity).take(TRIAL)
    client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    assert len(client.search_runs([client.get_experiment_by_name("told").experiment_id])) == 2


def test_names_in_a_study_lead_out_of_no_folder(tmp_path):
    made = sink.INSTALLED.get("tensorboard").begin("told", "then", tmp_path / "run")
    made.take(dataclasses.replace(TRIAL, study="../../../<b>"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


class Failing(Sink):
    @classmethod
    def begin(cls, name, identity, directory):
        return cls()

    def take(self, trial):
        raise RuntimeError("no such host\nand more")


class Hanging(Failing):
    ended = threading.Event()

    def take(self, trial):
        self.ended.wait()


def test_a_sink_that_fails_is_one_line_and_the_run_is_as_without(told, tmp_path):
    notes = Notes()
    planned = plan(Experiment.model_validate(TABLE, strict=False))
    execute(
        planned,
        tmp_path / "run",
        lambda: LocalEngine(2, resident=RESIDENT),
        notes,
        sinks={"failing": Failing, "tensorboard": sink.INSTALLED.get("tensorboard")},
    )
    said = [line for line in notes.lines if "sink" in line]
    assert said == ["sink failing failed and is told no more; the run goes on: no such host"]
    assert len(in_tensorboard(tmp_path / "run")) == len(told[1])


def test_a_sink_that_hangs_does_not_hold_a_run_up(told, tmp_path, monkeypatch):
    monkeypatch.setattr(telling, "PATIENCE", 0.2)
    notes = Notes()
    planned = plan(Experiment.model_validate(TABLE, strict=False))
    execute(planned, tmp_path / "run", lambda: LocalEngine(2, resident=RESIDENT), notes, sinks={"hanging": Hanging})
    Hanging.ended.set()
    assert [line for line in notes.lines if "sink" in line] == [
        "a sink does not answer after 0 s; the same command tells it what is missing"
    ]
    assert len(results.trials(*results.read(tmp_path / "run"))) == len(told[1])


def test_a_damaged_curve_is_one_line_and_the_other_trials_are_told(told, tmp_path):
    shutil.copytree(told[0], tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard", "mlruns"))
    curve = min((tmp_path / "run" / "curves").rglob("00000.parquet"))
    curve.write_bytes(b"no curve")
    notes = Notes()
    run(tmp_path / "run", sinks=("tensorboard",), display=notes)
    (said,) = [line for line in notes.lines if "sinks are not told of trial 0" in line]
    assert "\n" not in said and len(in_tensorboard(tmp_path / "run")) == len(told[1]) - 1


def test_an_unknown_sink_is_one_line():
    with pytest.raises(
        CapaxError, match=r"unknown sink 'tensorbord' \(did you mean 'tensorboard'\?\); installed are: "
    ):
        sink.INSTALLED.get("tensorbord")


def test_a_sink_without_its_extra_says_how_to_install_it():
    code = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "from capax.cli.main import main\n"
        "sys.argv = ['capax', 'run', 'quickstart', '--sink', 'tensorboard']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "pip install 'capax[tensorboard]'" in done.stderr


def test_tensorboard_needs_neither_tensorflow_nor_torch_and_nothing_loads_a_sink_unasked():
    code = (
        "import sys, capax.api.running, capax.api.fitting, capax.sinks.sink\n"
        "assert not {'tensorboard', 'mlflow'} & set(sys.modules)\n"
        "import capax.sinks.tensorboard\n"
        "assert not {'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
