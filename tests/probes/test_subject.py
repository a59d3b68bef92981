"""What is probed: fresh networks, trained ones from a run's files, sequences of a task, of a file,
or of noise.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import capax
import capax.probes
from capax import tasks
from capax.cells.sequence import Dense
from capax.errors import CapaxError
from capax.experiments.models import task_of
from capax.probes import PROBES, Subject, probe
from capax.probes.data import read
from capax.probes.registry import get
from capax.probes.subject import layer_outputs
from capax.training import model


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("cell", ["gru", "block-gru", "block-lru", "intersection", "equinox.nn:LSTMCell"])
def test_the_top_layer_s_outputs_are_what_is_read_out(cell):
    subject = Subject.create(cell, units=4, depth=2, inputs=2, outputs=3, length=9, batch=5)
    top = layer_outputs(subject.network, subject.inputs)[-1]
    outputs = subject.network.run(Dense(subject.inputs))
    np.testing.assert_allclose(subject.network.readout(jnp.moveaxis(top, 0, 1)), outputs, rtol=1e-4, atol=1e-5)


def test_groups_are_the_arrays_of_the_network():
    subject = Subject.create("gru", units=3, inputs=2, length=4, batch=1)
    vector, network_of, groups = subject.flat()
    assert sum(part.stop - part.start for part in groups.values()) == vector.size == subject.describe()["parameters"]
    changed = network_of(vector.at[groups["layers.0.gates.bias"]].set(7.0))
    np.testing.assert_array_equal(changed.layers[0].gates.bias, 7.0)
    np.testing.assert_array_equal(changed.layers[0].candidate.bias, subject.network.layers[0].candidate.bias)


def test_a_trained_network_comes_back_from_a_run_with_the_score_that_it_had(tmp_path):
    settings = {"tasks": ["memory"], "cells": ["ugrnn"], "budgets": [400], "trials": 2, "steps": 20, "reruns": 0}
    report = capax.run("quickstart", tmp_path / "run", **settings, **{"memory.numbers": 4, "memory.time_steps": 3})
    (path,) = (tmp_path / "run" / "models").glob("*.safetensors")
    task = task_of(path, model.read(path)[0])
    assert task == tasks.get("memory", numbers=4, time_steps=3)
    subject = Subject.load(path, task=task, batch=2000)
    best = report.trials.sort_values("validation").iloc[0]
    # the run's held-out set and these 2000 sequences: a standard error of about 1 %
    assert float(subject.loss(subject.network)) == pytest.approx(best["validation"], rel=0.06)
    data = np.random.default_rng(0).normal(size=(6, 7, 4))
    driven = Subject.load(path, data=data, batch=6)
    assert driven.inputs.shape == (7, 4, 6) and driven.task is None
    with pytest.raises(CapaxError, match="is a network with 4 inputs, the data have 2"):
        Subject.load(path, data=data[:, :, :2])


def test_files_that_are_no_networks_are_refused(tmp_path):
    with pytest.raises(CapaxError, match="does not exist"):
        Subject.load(tmp_path / "none.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"no")
    with pytest.raises(CapaxError, match="is no safetensors file, or is cut short"):
        Subject.load(tmp_path / "other.safetensors")


def test_data_of_a_file_are_cut_into_windows(tmp_path):
    series = np.arange(20.0)
    np.save(tmp_path / "series.npy", series)
    np.testing.assert_array_equal(read(tmp_path / "series.npy", 6).values[:, :, 0], series[:18].reshape(3, 6))
    pd.DataFrame({"day": ["a"] * 20, "x": series, "y": -series}).to_csv(tmp_path / "table.csv", index=False)
    assert read(tmp_path / "table.csv", 5).values.shape == (4, 5, 2)
    np.save(tmp_path / "whole.npy", np.zeros((2, 3, 4)))
    assert read(tmp_path / "whole.npy", 300).values.shape == (2, 3, 4)
    subject = Subject.create("gru", units=2, data=read(tmp_path / "table.csv", 5).values, batch=64)
    assert sorted(map(tuple, np.asarray(subject.inputs[0]).T)) == [(0, 0), (5, -5), (10, -10), (15, -15)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x\n1\n2\n", "are no window of 5 steps"),
        ("x\na\nb\nc\nd\ne\n", "has no column of numbers"),
        (None, "cannot be read"),
    ],
)
def test_data_that_cannot_be_had_are_one_line(tmp_path, content, said):
    path = tmp_path / "data.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CapaxError, match=said) as caught:
        read(path, 5)
    assert "\n" not in str(caught.value)


def test_pickled_arrays_are_not_read(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CapaxError, match=r"cannot be read .*allow_pickle"):
        read(tmp_path / "objects.npy", 1)


def test_what_does_not_fit_is_said_in_one_line():
    subject = Subject.create("gru", units=2, length=4, batch=1)
    for name, options, said in [
        ("sensitivty", {}, "did you mean 'sensitivity'"),
        ("sensitivity", {"direction": 3}, "did you mean 'directions'"),
        ("sensitivity", {"directions": "many"}, "must be a whole number, as its default 64 is, not 'many'"),
        ("sensitivity", {"directions": True}, "must be a whole number, as its default 64 is, not True"),
        ("curvature", {}, "probe curvature measures a task's loss"),
    ]:
        with pytest.raises(CapaxError, match=said):
            probe(name, subject, **options)
    with pytest.raises(CapaxError, match="at least one sequence of at least one step"):
        Subject.create("gru", units=2, batch=0)
    with pytest.raises(CapaxError, match="give a task or data"):
        Subject.create("gru", units=2, task=tasks.get("memory"), data=np.zeros((1, 2, 3)))
    with pytest.raises(CapaxError, match="finite numbers"):
        Subject.create("gru", units=2, data=np.full((1, 2, 3), np.nan))


def test_the_seed_draws_network_and_sequences():
    one, same, other = (Subject.create("gru", units=3, length=5, batch=2, seed=seed) for seed in (0, 0, 1))
    leaves = [jax.tree.leaves((s.network.layers[0].gates.recurrent, s.inputs)) for s in (one, same, other)]
    assert all(np.array_equal(a, b) for a, b in zip(leaves[0], leaves[1], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(leaves[0], leaves[2], strict=True))


def test_every_probe_is_listed():
    files = {path.stem for path in Path(capax.probes.__file__).parent.glob("*.py")}
    assert len(set(PROBES)) == len(PROBES) and set(PROBES) <= files
    assert [name for name in PROBES if not callable(get(name))] == []


@dataclasses.dataclass(frozen=True)
class Ragged(tasks.Generated):
    """Sums of noise over 3 to 6 steps, then NaN."""

    reporting = tasks.Reporting("squared error")
    sizes = tasks.Sizes(inputs=1, outputs=1, length=6)
    facts = tasks.Facts(chance=1.0, chance_loss=1.0)

    def generate(self, key, size, scalars):
        x_key, lengths_key = jax.random.split(key)
        lengths = jax.random.randint(lengths_key, (size,), 3, 7)
        real = jnp.arange(6)[:, None] < lengths[None]
        x = jnp.where(real, jax.random.normal(x_key, (6, size)), jnp.nan)
        targets = jnp.where(real, jnp.cumsum(x, axis=0), 0.0)
        return tasks.SequenceBatch(Dense(x[:, None]), targets, jnp.ones((6, size)), lengths)

    def measure(self, outputs, batch):
        return tasks.squared_error(outputs, batch)

    def scores(self, sums):
        return tasks.mean_loss(sums)


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("name", sorted(PROBES))
def test_what_stands_behind_a_length_is_measured_by_no_probe(name):
    subject = Subject.create("lru", units=4, task=Ragged(), batch=5)
    found = probe(name, subject)
    numbers = [value for value in found.summary.values() if isinstance(value, float)]
    assert numbers and not np.isnan(numbers).any()
    assert not found.frame.select_dtypes("number").isna().all(axis=None)


def test_sequences_of_one_length_are_those_of_the_task():
    subject = Subject.create("gru", units=4, task=Ragged(), batch=5)
    one = subject.of_one_length()
    time, _, batch = one.inputs.shape
    assert 3 <= time <= 6 and batch == 5 and one.draw.lengths is None
    np.testing.assert_allclose(one.draw.targets, jnp.cumsum(one.inputs[:, 0], axis=0), rtol=1e-6)
    assert subject.draw.lengths is not None and one.of_one_length() is one
