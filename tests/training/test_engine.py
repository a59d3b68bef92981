"""Engines are found by entry point; one from outside the package, with its worker in another
process, runs an experiment."""

import pandas as pd
import pytest

from capax.engines.local import LocalEngine
from capax.errors import CapaxError
from capax.experiments import results
from capax.experiments.design import Experiment
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.training import engine

TABLE = {
    "name": "small",
    "tasks": ["capacity"],
    "cells": ["rnn"],
    "budgets": [100],
    "trials": 5,
    "batch": 4,
    "steps": [40, 90],
    "seed": 3,
    "stopping": "halving",
}

OUTSIDE = '''
"""An engine that another package could bring: its worker lives in a process of its own, and nothing but data is sent."""

import multiprocessing

from capax.training.engine import Engine, Failed, Finished


def work(pipe):
    from capax.training import backend

    backend.configure()
    from capax.training.population import default_batching
    from capax.training.resident import Resident
    from capax.training.worker import Worker

    resident = Resident(default_batching())
    worker, waiting = Worker(resident), []
    while True:
        while pipe.poll() or not (waiting or worker.trials):
            match pipe.recv():
                case None:
                    return
                case ("release", study):
                    resident.release(study)
                case trials:
                    waiting += trials
        started = worker.choose(waiting)
        waiting = [trial for trial in waiting if trial not in started]
        try:
            for event in worker.train(started):
                pipe.send(event)
        except BaseException as error:
            pipe.send(Failed(worker.trials, error))


class Remote(Engine):
    lanes = capacity = 1

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._open = 0
        self._process = context.Process(target=work, args=(other,), daemon=True)
        self._process.start()

    @property
    def waiting(self):
        return max(0, self._open - 1)

    def submit(self, trials):
        self._open += len(trials)
        self._pipe.send(trials)

    def next_event(self, timeout):
        event = self._pipe.recv() if self._pipe.poll(timeout) else None
        self._open -= isinstance(event, Finished)
        return event

    def release(self, study):
        self._pipe.send(("release", study))

    def stop(self):
        self._pipe.send(None)
        self._process.join()


class NoEngine:
    pass
'''

ENTRY_POINTS = """[capax.engines]
remote = outside_engine:Remote
broken = outside_engine:Nothing
strange = outside_engine:NoEngine
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package that is installed beside capax, as an installer leaves it."""
    site = tmp_path / "site"
    (site / "outside-1.0.dist-info").mkdir(parents=True)
    (site / "outside-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (site / "outside-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "outside_engine.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(site)


def run(directory, make_engine):
    execute(plan(Experiment.model_validate(TABLE, strict=False)), directory, make_engine)
    frame = results.trials(*results.read(directory))
    return frame.drop(columns="seconds").sort_values(["study", "rerun", "number"], ignore_index=True)


def test_the_local_engine_is_registered_like_any_other():
    assert engine.INSTALLED.get(engine.DEFAULT) is LocalEngine and "local" in engine.INSTALLED.names()


def test_an_engine_from_outside_runs_an_experiment_in_another_process_with_the_same_results(outside, tmp_path):
    assert engine.INSTALLED.names() == ["broken", "local", "ray", "remote", "strange"]
    remote = run(tmp_path / "remote", engine.INSTALLED.get("remote"))
    assert set(remote["state"]) >= {"complete", "stopped"}
    pd.testing.assert_frame_equal(remote, run(tmp_path / "local", LocalEngine))


def test_engines_that_cannot_be_had_are_one_line(outside):
    with pytest.raises(
        CapaxError, match=r"unknown engine 'remot' \(did you mean 'remote'\?\); installed are: broken, local"
    ):
        engine.INSTALLED.get("remot")
    with pytest.raises(CapaxError, match=r"engine 'broken' \(outside_engine:Nothing\) cannot be loaded"):
        engine.INSTALLED.get("broken")
    with pytest.raises(CapaxError, match=r"engine 'strange' .* is no subclass of capax.training.engine.Engine"):
        engine.INSTALLED.get("strange")
