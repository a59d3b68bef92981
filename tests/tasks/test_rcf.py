"""Random continuous functions: weights as the source has them, one fixed set, a loss that is
exactly the weighted error.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.tasks.rcf import CHUNK, beta

SMALL = {"samples": 2500, "dimensions": 6, "tau": 50.0, "time_steps": 3}


def slow_beta(samples, tau):
    z = sum(1 / (i + tau) for i in range(samples))
    return [1 / (i + tau) / z for i in range(samples)]


@pytest.mark.parametrize(("samples", "tau"), [(1, 5000.0), (10, 0.5), (1000, 5000.0)])
def test_the_weights_sum_to_1_and_follow_the_power_law(samples, tau):
    weights = beta(samples, tau)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(weights, slow_beta(samples, tau), rtol=1e-12)


def test_the_source_s_weights():
    weights = beta(10**6, 5000.0)
    assert len(weights) == 10**6 and weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(weights, tasks.get("rcf", tau=5000).weights)
    assert weights[0] / weights[5000] == pytest.approx(2, rel=1e-12)
    assert weights[0] / weights[-1] == pytest.approx((10**6 - 1 + 5000) / 5000, rel=1e-12)


def test_the_sizes_are_the_source_s():
    task = tasks.get("rcf")
    assert (task.samples, task.inputs, task.outputs, task.length, task.first) == (10**6, 50, 1, 50, 49)
    assert task.tau == 5000


def test_inputs_are_gaussian_of_unit_norm_and_targets_normal():
    x, y = map(np.asarray, tasks.get("rcf", samples=20_000).data(0))
    assert x.shape == (20_000, 50) and y.shape == (20_000,)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    error = 5 / 20_000**0.5  # five standard deviations
    assert np.abs(50**0.5 * x.mean(axis=0)).max() < error
    # On the sphere of dimension d: E x_i^2 = 1 / d, E x_i^4 = 3 / (d (d + 2)), E x_i x_j = 0.
    assert np.abs(50 * (x**2).mean(axis=0) - 1).max() < error * 2**0.5
    assert np.abs(50 * 52 * (x**4).mean() / 3 - 1) < error
    assert np.abs(50 * x.T @ x / 20_000 - np.diag(50 * (x**2).mean(axis=0))).max() < error
    assert (
        abs(y.mean()) < error and abs((y**2).mean() - 1) < error * 2**0.5 and abs((y**4).mean() - 3) < error * 96**0.5
    )
    assert np.abs(50**0.5 * x.T @ y / 20_000).max() < error


def test_the_data_are_fixed_by_the_data_seed_and_shared():
    one, again, other = (tasks.get("rcf", **SMALL, data_seed=seed).data(0) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one[0], again[0])
    assert not np.any(np.asarray(one[0]) == np.asarray(other[0]))
    task = tasks.get("rcf", **SMALL)
    assert task.data(10)[0] is task.data(1000)[0]


def whole(task, split="evaluation"):
    """The draws of the scored set, as inputs, targets, and weights of the samples that count."""
    x, y, w = [], [], []
    for index in range(int(task.batches(split, {}))):
        draw = task.batch_at(task.data(0), split, jax.random.key(0), jnp.asarray(index), {})
        inside = np.asarray(draw.weights[0]) > 0
        x.append(np.asarray(draw.inputs.shown)[:, inside])
        y.append(np.asarray(draw.targets[0])[inside])
        w.append(np.asarray(draw.weights[0])[inside])
    return np.concatenate(x, axis=1), np.concatenate(y), np.concatenate(w)


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("samples", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2500])
def test_every_sample_is_scored_once_with_its_weight(samples):
    task = tasks.get("rcf", **{**SMALL, "samples": samples})
    x, y, w = whole(task)
    np.testing.assert_array_equal(x.T, task.data(0)[0])
    np.testing.assert_array_equal(y, task.data(0)[1])
    np.testing.assert_allclose(w / samples, slow_beta(samples, 50.0), rtol=1e-5)
    for one, other in zip((x, y, w), whole(task, "validation"), strict=True):
        np.testing.assert_array_equal(one, other)


def indices(task, size, key=0, step=0):
    """Which samples a training draw has, found by their targets, and with which weights."""
    draw = task.minibatch_at(task.data(0), size, jnp.asarray(step), jax.random.key(key), {})
    assert draw.weights.shape == draw.targets.shape == (1, size)
    place = {float(y): i for i, y in enumerate(np.asarray(task.data(0)[1]))}
    found = np.asarray([place[float(y)] for y in np.asarray(draw.targets[0])])
    np.testing.assert_array_equal(draw.inputs.shown.T, np.asarray(task.data(0)[0])[found])
    return found, np.asarray(draw.weights[0], np.float64)


@pytest.mark.parametrize(("samples", "tau"), [(40, 3.0), (40, 0.01), (2500, 50.0)])
def test_training_draws_each_sample_as_often_as_its_weight_makes_up_for(samples, tau):
    """Frequency times weight is beta: the loss is unbiased, whatever the frequencies."""
    size = 100_000
    task = tasks.get("rcf", **{**SMALL, "samples": samples, "tau": tau})
    found, weights = indices(task, size)
    mass = np.bincount(found, weights, samples) / size
    noise = 5 * np.sqrt(np.bincount(found, weights**2, samples)) / size + 1e-4  # five standard deviations
    assert np.all(np.abs(mass - slow_beta(samples, tau)) < noise)
    assert mass.sum() == pytest.approx(1, abs=0.02)


def test_at_the_source_s_size_the_weights_of_a_training_draw_are_nearly_one():
    weights = tasks.get("rcf")._chosen(jax.random.key(0), 10_000)[1]
    np.testing.assert_allclose(weights, 1, rtol=0, atol=0.05)


def test_other_keys_draw_other_samples():
    task = tasks.get("rcf", **SMALL)
    assert not np.array_equal(indices(task, 200)[0], indices(task, 200, key=1)[0])
    assert not np.array_equal(indices(task, 200)[0], indices(task, 200, step=1)[0])


def test_the_batch_size_is_a_hyperparameter_and_0_takes_all():
    task = tasks.get("rcf", **SMALL)
    assert task.minibatch({}) == 256 and task.minibatch({"batch_size": 32}) == 32
    assert task.minibatch({"batch_size": 0}) is None
    assert task.work({"batch_size": 32}, 10) == 32 * 3 and task.work({"batch_size": 0}, 10) == 3 * CHUNK * 3
    _, y, w = whole(task, "train")
    np.testing.assert_array_equal(y, task.data(0)[1])
    np.testing.assert_allclose(w / 2500, slow_beta(2500, 50.0), rtol=1e-5)


@pytest.mark.parametrize("always", [True, False])
def test_the_input_is_shown_at_every_step_or_once(always):
    task = tasks.get("rcf", **SMALL, input_always=always)
    batch = task.batch(jax.random.key(0), 10)
    assert batch.inputs.shape == (10, 3, 6) and batch.targets.shape == batch.mask.shape == (10, 3)
    assert np.all(np.asarray(batch.inputs[:, 0]) != 0)
    np.testing.assert_array_equal(batch.inputs[:, 2], batch.inputs[:, 0] if always else 0)
    np.testing.assert_array_equal(batch.mask > 0, np.tile([False, False, True], (10, 1)))


def test_loss_and_score_are_the_weighted_squared_error():
    task = tasks.get("rcf", **SMALL)
    batch = task.batch(jax.random.key(0), 300)
    outputs = np.random.default_rng(0).normal(size=(300, 3, 1))
    errors = (outputs[:, 2, 0] - np.asarray(batch.targets[:, 2])) ** 2
    weights = np.asarray(batch.mask[:, 2])
    expected = np.sum(weights * errors) / np.sum(weights)
    assert task.score(jnp.asarray(outputs, jnp.float32), batch) == pytest.approx(expected, rel=1e-5)
    assert float(task.loss(jnp.asarray(outputs, jnp.float32), batch)) == pytest.approx(expected, rel=1e-5)
    assert task.score(batch.targets[..., None], batch) == task.facts.perfect == 0


def test_the_score_of_no_answer_is_that_of_chance():
    task = tasks.get("rcf", **{**SMALL, "samples": 20_000, "tau": 5000.0})
    _, y, w = whole(task)
    sums = {"loss": float(np.sum(w * y**2)), "weight": float(np.sum(w))}
    # Five standard deviations: the variance of a squared normal is 2.
    spread = 5 * (2 * np.sum(np.square(slow_beta(20_000, 5000.0)))) ** 0.5
    assert task.scores(sums)["score"] == pytest.approx(task.facts.chance, abs=spread)


def test_the_baseline_is_the_weighted_least_squares_fit():
    task = tasks.get("rcf", **SMALL)
    x, y, w = (np.asarray(part, np.float64) for part in whole(task))
    design = np.column_stack([x.T, np.ones_like(y)]) * np.sqrt(w)[:, None]
    residual = np.linalg.lstsq(design, y * np.sqrt(w), rcond=None)[1]
    (baseline,) = task.baselines().values()
    assert baseline == pytest.approx(float(residual[0]) / w.sum(), rel=1e-5)


def test_the_data_are_kept_though_first_asked_for_in_a_compiled_function():
    task = tasks.get("rcf", **{**SMALL, "data_seed": 77})
    batch = jax.jit(lambda key: task.batch(key, 5))(jax.random.key(0))
    assert np.isfinite(batch.targets).all() and np.isfinite(task.data(0)[0]).all()
