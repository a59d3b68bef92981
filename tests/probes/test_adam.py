"""Effective learning rates against optax's Adam on the same sequences; which parameters are
recurrent; divergence.
"""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.probes import Subject, adam, probe
from tests.probes.test_curvature import unstable

MEMORY = tasks.get("memory", numbers=2, time_steps=3)


def make(cell="gru", task=MEMORY, **options):
    return Subject.create(cell, units=4, task=task, batch=8, seed=3, **options)


def by_optax(subject, steps, learning_rate):
    """Parameters and lr / (sqrt(v_hat) + eps) after so many steps of optax's Adam on the training
    data of the trial.
    """
    task, (parameters, network_of, _) = subject.task, subject.flat()
    optimiser = optax.adam(learning_rate)
    state, data, key = optimiser.init(parameters), task.data(parameters.size), jax.random.key(0)
    scalars = {**task.scalars({}, parameters.size), "data_seed": jnp.asarray(0)}

    @jax.jit
    def step(parameters, state, number):
        draw_key = jax.random.fold_in(jax.random.fold_in(key, number), 0)  # of the step, then of its first draw
        draw = task.batch_at(data, "train", draw_key, jnp.asarray(0), scalars)
        gradient = jax.grad(lambda p: dataclasses.replace(subject, draw=draw).loss(network_of(p)))(parameters)
        updates, state = optimiser.update(gradient, state)
        return parameters + updates, state

    for number in range(steps):
        parameters, state = step(parameters, state, number)
    v = np.asarray(state[0].nu, float)
    return parameters, learning_rate / (np.sqrt(v / (1 - 0.999**steps)) + 1e-8)


def test_rates_are_those_of_optax_from_the_subjects_own_parameters():
    """With a forget bias that is not the default, and a readout that no initialisation would
    draw.
    """
    subject = make("ugrnn", hyperparameters={"forget_bias": 3.0})
    network = eqx.tree_at(lambda n: n.readout.weight, subject.network, 5 * subject.network.readout.weight)
    subject = dataclasses.replace(subject, network=network)
    found = probe("adam", subject, steps=5, learning_rate=0.01)
    parameters, rates = by_optax(subject, 5, 0.01)
    # Gradients in single precision, summed in another order, and a square root of moments that may
    # be small.
    np.testing.assert_allclose(found.arrays["effective_learning_rate"], rates, rtol=2e-3)
    network_of, groups = subject.flat()[1:]
    assert found.summary["loss_before"] == pytest.approx(float(subject.loss(network)), rel=1e-5)
    assert found.summary["loss_after"] == pytest.approx(float(subject.loss(network_of(parameters))), rel=1e-4)
    assert found.summary["median_rate"] == pytest.approx(np.median(rates), rel=1e-3)
    inside = np.concatenate([rates[groups[g]] for g in found.frame["group"][found.frame["recurrent"]]])
    assert found.summary["median_recurrent_rate"] == pytest.approx(np.median(inside), rel=1e-3)
    for row in found.frame.to_dict("records"):
        of_group = rates[groups[row["group"]]]
        assert row["parameters"] == len(of_group)
        expected = [of_group.min(), *np.percentile(of_group, [25, 50, 75]), of_group.max()]
        names = ("least", "lower_quartile", "median", "upper_quartile", "most")
        np.testing.assert_allclose([row[name] for name in names], expected, rtol=2e-3)
    np.testing.assert_array_equal(found.arrays["steps"], np.arange(1, 6))
    assert found.arrays["recurrent_medians"][-1] == found.summary["median_recurrent_rate"]
    assert found.summary["steps"] == 5 and found.summary["diverged_at_step"] is None


RECURRENT = {
    "gru": {"gates.recurrent", "candidate.recurrent"},
    "lstm": {"affine.recurrent"},
    "heads-1": {"W"},
    "system-lru": {"w_nu", "w_theta"},
    "block-diagonal": {"a", "b"},
    "tests.cells.examples:Plain": {"cell.cell.weight_hh"},
}


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("cell", RECURRENT)
def test_recurrent_parameters_are_those_that_multiply_the_state(cell):
    depth = 2 if cell == "gru" else 1
    network = make(cell, depth=depth).network
    assert adam.recurrent_groups(network) == {f"layers.{l}.{name}" for l in range(depth) for name in RECURRENT[cell]}


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("cell", ["system-lru", "block-gru", "tests.cells.examples:Plain"])
def test_any_cell_trains(cell):
    found = probe("adam", make(cell), steps=2)
    rates = found.arrays["effective_learning_rate"]
    assert np.isfinite(rates).all() and (rates > 0).all()


def test_where_training_diverges_rates_are_those_before():
    found = probe("adam", make("ugrnn"), steps=100, learning_rate=1000)
    assert 1 < found.summary["diverged_at_step"] <= 100
    assert found.summary["steps"] == found.summary["diverged_at_step"] - 1 == found.arrays["steps"][-1]
    assert np.isfinite(found.arrays["effective_learning_rate"]).all() and math.isfinite(found.summary["median_rate"])


@pytest.mark.slow
def test_an_unstable_network_has_infinite_gradients_and_learns_at_no_rate():
    found = probe("adam", unstable(2), steps=20)
    assert found.summary["diverged_at_step"] == 1 and found.summary["steps"] == 0
    assert found.summary["loss_before"] == found.summary["loss_after"] == np.inf
    assert found.summary["median_recurrent_rate"] == 0.0
    np.testing.assert_array_equal(found.arrays["steps"], [1])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"steps": 0}, "Adam needs at least 1 step and a learning rate above 0, not 0 and 0.001"),
        ({"learning_rate": 0.0}, "not 1000 and 0.0"),
    ],
)
def test_bad_options_are_one_line(options, line):
    with pytest.raises(CapaxError, match=line):
        probe("adam", make(), **options)


def test_without_a_task_there_is_nothing_to_train_on():
    with pytest.raises(CapaxError, match="measures a task's loss"):
        probe("adam", Subject.create("gru", units=2, length=4, batch=2))
