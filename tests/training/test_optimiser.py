"""The one update rule is SGD, momentum, RMSProp, and Adam as optax has them, with decay, clipping,
and L2.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from capax.search.space import distribution
from capax.training.optimiser import DEFAULTS, HYPERPARAMETERS, OPTIMISERS, Optimiser

SIZE, STEPS = 6, 20
LOGIT = 1.5
MU = float(1 / (1 + np.exp(-LOGIT)))
SETTINGS = {
    "learning_rate": 0.2,
    "learning_rate_decay": 0.1,
    "momentum_logit": LOGIT,
    "gradient_clip": 5.0,
    "l2_decay": 0.3,
}
update = jax.jit(Optimiser.update)  # compiled once: what differs between optimisers is data


def rate(settings):
    return optax.exponential_decay(settings["learning_rate"], STEPS, settings["learning_rate_decay"])


PEERS = {
    "sgd": lambda rate: optax.sgd(rate),
    "momentum": lambda rate: optax.sgd(rate, momentum=MU),
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=MU),
    "adam": lambda rate: optax.adam(rate, b1=MU),
}


def trajectory(settings, gradient, start, steps=STEPS):
    """Parameters after each step, and the gradient's norm before clipping at each."""
    optimiser = Optimiser.create(settings, STEPS)
    parameters, m, v, found, norms = start, jnp.zeros_like(start), jnp.zeros_like(start), [], []
    for step in range(steps):
        parameters, m, v, norm = update(optimiser, parameters, gradient(parameters), m, v, jnp.asarray(step, jnp.int32))
        found.append(np.asarray(parameters))
        norms.append(float(norm))
    return np.stack(found), np.asarray(norms)


def quadratic():
    """The gradient of a random quadratic, and a start that is far from its minimum."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(SIZE, SIZE))
    hessian, centre = jnp.asarray(root @ root.T / SIZE, jnp.float32), jnp.asarray(rng.normal(size=SIZE), jnp.float32)
    gradient = jax.jit(lambda parameters: hessian @ (parameters - centre))
    return gradient, jnp.asarray(3 * rng.normal(size=SIZE), jnp.float32)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_each_kind_follows_optax(kind):
    settings = {**SETTINGS, "optimiser": kind}
    gradient, start = quadratic()
    found, norms = trajectory(settings, gradient, start)

    peer = optax.chain(
        optax.add_decayed_weights(settings["l2_decay"]),
        optax.clip_by_global_norm(settings["gradient_clip"]),
        PEERS[kind](rate(settings)),
    )
    step = jax.jit(lambda parameters, state: peer.update(gradient(parameters), state, parameters))
    parameters, state = start, peer.init(start)
    for expected in found:
        updates, state = step(parameters, state)
        parameters = optax.apply_updates(parameters, updates)
        # Float32; errors of 6e-8 relative to parameters near 5 do not grow on the way to a minimum.
        np.testing.assert_allclose(expected, parameters, rtol=1e-5, atol=1e-5)
    assert norms[0] > settings["gradient_clip"] > norms[-1]  # clipped at first, not at the end
    assert np.abs(found[-1] - start).max() > 0.1


def test_the_learning_rate_decays_exponentially_to_its_factor_over_all_steps():
    settings = {
        "optimiser": "sgd",
        "learning_rate": 0.1,
        "learning_rate_decay": 0.01,
        "gradient_clip": 100,
        "l2_decay": 0,
    }
    found, _ = trajectory(settings, jnp.ones_like, jnp.zeros(2), STEPS)
    steps = -np.diff(found[:, 0], prepend=0.0)
    np.testing.assert_allclose(steps, 0.1 * 0.01 ** (np.arange(STEPS) / STEPS), rtol=1e-4)


def test_a_cosine_schedule_is_that_of_optax():
    settings = {"optimiser": "sgd", "learning_rate": 0.1, "learning_rate_decay": 1e-3, "schedule": "cosine"}
    found, _ = trajectory({**settings, "gradient_clip": 100, "l2_decay": 0}, jnp.ones_like, jnp.zeros(2), STEPS)
    steps = -np.diff(found[:, 0], prepend=0.0)
    expected = optax.cosine_decay_schedule(0.1, STEPS, alpha=1e-3)(jnp.arange(STEPS))
    np.testing.assert_allclose(steps, expected, rtol=1e-3)


@pytest.mark.parametrize("logit", [1.0, 7.0])
def test_adams_bias_correction_makes_the_first_step_the_learning_rate(logit):
    settings = {**SETTINGS, "optimiser": "adam", "momentum_logit": logit, "l2_decay": 0.0, "learning_rate_decay": 1.0}
    gradient = jnp.asarray([3.0, -0.002, 0.5])
    found, _ = trajectory(settings, lambda parameters: gradient, jnp.zeros(3), 5)
    for step, parameters in enumerate(found, start=1):  # a constant gradient: each step is of the learning rate
        # 1 - .999^t has lost three digits of float32's seven.
        np.testing.assert_allclose(parameters, -0.2 * step * np.sign(gradient), rtol=1e-3)


def test_the_whole_gradient_is_clipped_to_its_norm_and_keeps_its_direction():
    settings = {
        "optimiser": "sgd",
        "learning_rate": 0.1,
        "learning_rate_decay": 1.0,
        "gradient_clip": 1.0,
        "l2_decay": 0,
    }
    gradient = jnp.asarray([30.0, -40.0])
    found, norms = trajectory(settings, lambda parameters: gradient, jnp.zeros(2), 1)
    np.testing.assert_allclose(found[0], [-0.06, 0.08], rtol=1e-6)
    np.testing.assert_allclose(norms, [50.0], rtol=1e-6)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_zero_gradient_moves_nothing(kind):
    settings = {**SETTINGS, "optimiser": kind, "l2_decay": 0.0}
    start = jnp.asarray([1.0, -2.0])
    found, norms = trajectory(settings, jnp.zeros_like, start, 3)
    np.testing.assert_array_equal(found, np.stack([start] * 3))
    np.testing.assert_array_equal(norms, 0.0)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf, 1e30])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad):
    _, norms = trajectory(SETTINGS, lambda parameters: jnp.asarray([bad, 1.0]), jnp.ones(2), 1)
    assert not np.isfinite(norms[0])


def test_what_is_not_given_has_its_default():
    found, given = Optimiser.create({}, 10), Optimiser.create(DEFAULTS, 10)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(given), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(found.first, 0.9, rtol=1e-6)


def test_the_space_has_the_ranges_of_the_paper_and_holds_the_defaults():
    found = {each.name: distribution(each) for each in HYPERPARAMETERS if each.tuned}
    ranges = {name: (d.low, d.high, d.log) for name, d in found.items() if name != "optimiser"}
    assert ranges == {
        "learning_rate": (1e-4, 1e-1, True),
        "learning_rate_decay": (1e-3, 1.0, True),
        "momentum_logit": (1.0, 7.0, False),
        "gradient_clip": (1.0, 100.0, True),
        "l2_decay": (1e-8, 1e-3, True),
    }
    assert found["optimiser"].choices == ("sgd", "momentum", "rmsprop", "adam")
    # The paper's schedule is exponential, and it has no preconditioner.
    assert found.keys() == DEFAULTS.keys() - {"dropout", "schedule", "preconditioner"}
    assert (DEFAULTS["schedule"], DEFAULTS["preconditioner"]) == ("exponential", "none")
    assert all(found[name]._contains(found[name].to_internal_repr(DEFAULTS[name])) for name in found)
