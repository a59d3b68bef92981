"""The memory task: inputs of variance 1 shown once, given back at the end, an error that says how
much is held.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.tasks.memory import subspace_error


def test_the_sizes_are_the_source_s():
    task = tasks.get("memory")
    assert (task.inputs, task.outputs, task.length, task.first) == (64, 64, 12, 11)


def test_inputs_are_uniform_with_variance_1_and_independent():
    batch = tasks.get("memory").batch(jax.random.key(0), 20_000)
    x = np.asarray(batch.inputs[:, 0], np.float64)
    assert np.abs(x).max() <= 3**0.5 and np.abs(x).max() > 1.7320
    # Five standard deviations: of the mean, of the variance (kurtosis 9/5), of the fourth moment,
    # of the products.
    error = 5 / 20_000**0.5
    assert np.abs(x.mean(axis=0)).max() < error
    assert np.abs((x**2).mean(axis=0) - 1).max() < error * 0.8**0.5
    assert np.abs((x**4).mean(axis=0) - 9 / 5).max() < error * (9 - 81 / 25) ** 0.5
    assert np.abs(x.T @ x / 20_000 - np.diag((x**2).mean(axis=0))).max() < error


def test_the_vector_is_shown_once_and_is_due_at_the_end():
    batch = tasks.get("memory", numbers=3, time_steps=4).batch(jax.random.key(0), 10)
    assert batch.inputs.shape == batch.targets.shape == (10, 4, 3)
    np.testing.assert_array_equal(batch.inputs[:, 1:], 0)
    np.testing.assert_array_equal(batch.targets[:, 3], batch.inputs[:, 0])
    np.testing.assert_array_equal(batch.mask, np.tile([0, 0, 0, 1], (10, 1)))


def test_loss_and_score_are_the_squared_error_per_number():
    task = tasks.get("memory", numbers=4, time_steps=3)
    batch = task.batch(jax.random.key(0), 5000)
    assert task.score(batch.targets, batch) == task.facts.perfect == 0
    # Five standard deviations of the mean of 20,000 squares.
    chance = task.score(jnp.zeros_like(batch.targets), batch)
    assert chance == pytest.approx(task.facts.chance, abs=5 * (0.8 / 20_000) ** 0.5)
    assert float(task.loss(jnp.zeros_like(batch.targets), batch)) == pytest.approx(chance)
    ignored = batch.targets.at[:, :2].set(100.0)
    assert task.score(ignored, batch) == 0
    assert task.score(batch.targets + 0.5, batch) == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize("units", [0, 1, 3, 8, 12])
def test_a_network_that_holds_a_subspace_has_the_error_of_the_subspace(units):
    task = tasks.get("memory", numbers=8, time_steps=2)
    batch = task.batch(jax.random.key(0), 5000)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0][:, :units]
    x = np.asarray(batch.targets)
    # Five standard deviations of the mean of at most 40,000 squares that are 0.9 at most in
    # variance.
    assert task.score(jnp.asarray(x @ basis @ basis.T), batch) == pytest.approx(subspace_error(units, 8), abs=0.025)
    assert task.scores({"loss": 250.0, "weight": 1000.0})["numbers_held"] == 6
