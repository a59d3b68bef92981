"""The engine for Ray clusters: three machines in one, with workers that are killed, frozen, or
refused. No finished trial is lost, changed, or counted twice.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from capax.engines.local import LocalEngine
from capax.errors import CapaxError
from capax.experiments import results
from capax.experiments.design import Experiment
from capax.experiments.plan import plan
from capax.experiments.progress import Silent
from capax.experiments.runner import execute
from capax.training import proof
from capax.training.engine import Lost, Progressed
from capax.workers import Workers

ray = pytest.importorskip("ray", reason="the engine for clusters needs Ray")
from ray.cluster_utils import Cluster  # noqa: E402

from capax.engines.ray import RayEngine  # noqa: E402

TABLE = {
    "name": "cluster",
    "tasks": ["capacity"],
    "cells": ["rnn"],
    "budgets": [100],
    "trials": 6,
    "batch": 6,
    "steps": [6000, 12_000],
    "seed": 3,
    "sampler": "random",
    "task": {"capacity": {"bits": 12}},
}
MAIN = "from capax.cli.main import main; main()"
GUIDED = {
    **TABLE,
    "sampler": "bandit",
    "stopping": "halving",
    "trials": 16,
    "batch": 4,
    "steps": [2000, 4000],
    "reruns": 2,
}
"""The tuner's model proposes, and trials are stopped."""
QUICK = {**TABLE, "steps": [40, 90], "trials": 3}
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def run(directory, table, make_engine):
    shown = Notes()
    execute(plan(Experiment.model_validate(table, strict=False)), directory, make_engine, shown)
    frame = results.trials(*results.read(directory)).drop(columns="seconds")
    return frame.sort_values(["study", "rerun", "number"], ignore_index=True), shown.said


@pytest.fixture(scope="module")
def cluster():
    """Three machines of one core each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(2):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
        yield made
        ray.shutdown()
        made.shutdown()


class Struck(RayEngine):
    """An engine to whose workers something happens: to each once, when it has begun to train, so
    that no trial ends before all has happened. `strokes` are told of the worker, and say whether
    they struck it."""

    def __init__(self, cluster, strokes):
        super().__init__(Workers(lease=10.0), cluster.address)
        self.seen, self.left, self.struck = [], list(strokes), []
        while len(self.workers) < 3:
            self.next_event(0.5)

    def next_event(self, timeout):
        event = super().next_event(timeout)
        self.seen.append(event)
        if isinstance(event, Progressed):
            with self._lock:  # no worker is given more meanwhile
                for worker in self.workers:
                    if {*worker.trials} & {*event.steps} and worker.process not in self.struck:
                        self._strike(worker)
        return event

    def _strike(self, worker):
        done = next((stroke for stroke in self.left if stroke(worker)), None)
        if done is not None:
            self.left.remove(done)
            self.struck.append(worker.process)


def test_a_killed_a_frozen_and_a_removed_worker_cost_no_trial(cluster, tmp_path):
    expected, _ = run(tmp_path / "local", TABLE, LocalEngine)
    engine, frozen = None, []

    def remove(worker):
        nodes = [node for node in cluster.worker_nodes if node.node_id == worker.place.node]  # not the driver's
        for node in nodes:
            cluster.remove_node(node, allow_graceful=False)
        return bool(nodes)

    def freeze(worker):
        frozen.append(worker.process)
        os.kill(worker.process, signal.SIGSTOP)
        return True

    def kill(worker):
        os.kill(worker.process, signal.SIGKILL)
        return True

    def make():
        nonlocal engine
        engine = Struck(cluster, (remove, freeze, kill))
        return engine

    try:
        found, said = run(tmp_path / "run", TABLE, make)
    finally:
        for process in frozen:
            with contextlib.suppress(ProcessLookupError):  # Ray has killed it
                os.kill(process, signal.SIGCONT)
    assert found.equals(expected)
    lost = [event for event in engine.seen if isinstance(event, Lost)]
    assert not engine.left and len(lost) >= 3
    assert any("no sign of life" in event.why for event in lost)
    assert any(text.startswith("a worker is lost: ") for text in said)
    assert not list((tmp_path / "run" / "checkpoints").rglob("*.safetensors"))
    cluster.add_node(num_cpus=1)


@pytest.mark.parametrize("table", [GUIDED, pytest.param(TABLE, marks=pytest.mark.slow)], ids=["guided", "random"])
def test_a_killed_driver_goes_on_anywhere(cluster, table, tmp_path):
    """Begun on the cluster, killed, and ended by the local engine: nothing is lost, and the trials
    are those of the local engine alone."""
    expected, _ = run(tmp_path / "local", table, LocalEngine)
    design, directory = tmp_path / "cluster.toml", tmp_path / "run"
    rows = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for key, value in table.items()
        if key != "task"
    ]
    design.write_text("\n".join(rows) + "\n[task.capacity]\nbits = 12\n")
    command = [sys.executable, "-c", MAIN, "run", str(design), "--engine", "ray", "--address", cluster.address]
    process = subprocess.Popen(
        [*command, "--out", str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 240
    while not list((directory / "checkpoints").rglob("*.safetensors")):
        assert process.poll() is None and time.monotonic() < end, "no checkpoint was written"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    found = run(directory, table, LocalEngine)[0]
    assert found.equals(expected)
    if table is GUIDED:
        assert {"stopped", "complete"} <= {*found["state"]} and "model" in {*found["proposed_by"]}


def test_a_worker_with_other_code_is_refused_before_it_trains(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "of_installation", lambda: {**real(), "capax": "0" * 64})
    with pytest.raises(CapaxError, match=r"the worker on \S+ has capax \S+, not 000000000000\.\.; install the same"):
        run(tmp_path / "run", QUICK, lambda: RayEngine(Workers(), cluster.address))


real = proof.of_installation


def test_a_cluster_without_room_is_one_line(cluster):
    with pytest.raises(CapaxError, match=r"no machine of the Ray cluster has room for a worker with 64 cores"):
        RayEngine(Workers(cpus=64), cluster.address)
    with pytest.raises(CapaxError, match=r"--address is for engines of clusters"):
        LocalEngine.begin(Workers(), "auto")
