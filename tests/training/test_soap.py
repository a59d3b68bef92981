"""The bases are those of a plain loop over matrices, and an optimiser that keeps its second moments
in them is SOAP as the paper has it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax.training import soap
from capax.training.optimiser import Optimiser
from capax.training.soap import DECAY, EVERY, Bases

SHAPES = ((3,), (4, 3), (2, 2, 5), (1, 6), ())
PARTS = {"vector": slice(0, 3), "matrix": slice(3, 15), "stack": slice(15, 35), "row": slice(35, 41)}
NUMBER = 42


def gradients(steps: int) -> np.ndarray:
    """Gradients whose matrices have strong directions, so that a basis has something to find."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(NUMBER, NUMBER)) * 2.0 ** -np.arange(NUMBER)
    return (rng.normal(size=(steps, NUMBER)) @ mixing.T).astype(np.float32)


def plain(steps: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The two bases of one matrix after these gradients, in float64."""
    moments, bases = [np.zeros((side, side)) for side in shape], [np.eye(side) for side in shape]
    for number, step in enumerate(steps.astype(np.float64), start=1):
        G = step.reshape(shape)
        for side, product in enumerate((G @ G.T, G.T @ G)):
            moments[side] = DECAY * moments[side] + (1 - DECAY) * product
            if number % EVERY == 0:
                bases[side] = np.linalg.qr(moments[side] @ bases[side])[0]
    return bases[0], bases[1]


@functools.cache
def followed(steps: int) -> tuple[Bases, jax.Array]:
    bases = Bases(SHAPES)
    after = jax.jit(bases.after)
    state = bases.start()
    for number, gradient in enumerate(gradients(steps)):
        state = after(state, jnp.asarray(gradient), jnp.asarray(number))
    return bases, state


@pytest.mark.parametrize(("name", "shape"), [("matrix", (4, 3)), ("stack", (4, 5))])
def test_each_matrix_is_seen_in_the_eigenvectors_of_its_own_gradients(name, shape):
    bases, state = followed(3 * EVERY)
    flat = np.random.default_rng(1).normal(size=NUMBER).astype(np.float32)
    found = np.asarray(bases.seen(state, jnp.asarray(flat)))
    left, right = plain(gradients(3 * EVERY)[:, PARTS[name]], shape)
    expected = left.T @ flat[PARTS[name]].reshape(shape) @ right
    np.testing.assert_allclose(found[PARTS[name]].reshape(shape), expected, atol=2e-4)
    assert np.abs(found[PARTS[name]] - flat[PARTS[name]]).max() > 0.1


def test_vectors_keep_their_axes_and_the_way_back_is_the_inverse():
    bases, state = followed(3 * EVERY)
    flat = jnp.asarray(np.random.default_rng(1).normal(size=NUMBER), jnp.float32)
    seen = bases.seen(state, flat)
    for name in ("vector", "row"):
        np.testing.assert_array_equal(seen[PARTS[name]], flat[PARTS[name]])
    np.testing.assert_allclose(bases.back(state, seen), flat, atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(seen), jnp.linalg.norm(flat), rtol=1e-5)


def test_before_the_first_turn_nothing_is_changed():
    bases, state = followed(EVERY - 1)
    flat = jnp.arange(NUMBER, dtype=jnp.float32)
    np.testing.assert_array_equal(bases.seen(state, flat), flat)


def test_without_any_gradient_a_basis_stays_one():
    bases = Bases(SHAPES)
    state, after = bases.start(), jax.jit(bases.after)
    for number in range(2 * EVERY):
        state = after(state, jnp.zeros(NUMBER), jnp.asarray(number))
    flat = jnp.arange(NUMBER, dtype=jnp.float32)
    np.testing.assert_allclose(jnp.linalg.norm(bases.seen(state, flat)), jnp.linalg.norm(flat), rtol=1e-6)


def test_a_long_side_gets_no_basis(monkeypatch):
    monkeypatch.setattr(soap, "MOST", 3)
    assert Bases([(4, 3)]).size == 2 * 3 * 3
    assert Bases([(4, 5)]).size == 0
    assert Bases([(4, 5)]).after(jnp.zeros(0), jnp.zeros(20), jnp.asarray(EVERY - 1)).shape == (0,)


def trained(kind: str, with_basis: bool, steps: int = 3 * EVERY) -> np.ndarray:
    """Parameters after these steps on the gradients above, from zero."""
    bases, given = Bases(SHAPES), jnp.asarray(gradients(steps))
    settings = {"optimiser": kind, "learning_rate": 0.1, "learning_rate_decay": 1.0, "gradient_clip": 100.0}
    optimiser = Optimiser.create({**settings, "l2_decay": 0.0}, steps)

    def step(number, carried):
        flat, m, v, state = carried
        flat, m, v, _ = optimiser.update(flat, given[number], m, v, number, bases.at(state) if with_basis else None)
        return flat, m, v, bases.after(state, given[number], number)

    nothing = jnp.zeros(NUMBER)
    begun = (nothing, nothing, nothing, bases.start())
    return np.asarray(jax.jit(lambda carried: jax.lax.fori_loop(0, steps, step, carried))(begun)[0])


def test_adam_in_the_bases_is_soap_as_a_plain_loop_has_it():
    given = gradients(3 * EVERY).astype(np.float64)[:, PARTS["matrix"]].reshape(-1, 4, 3)
    W, m, v = np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((4, 3))
    for t, G in enumerate(given, start=1):
        left, right = plain(given[: t - 1], (4, 3))
        m, v = 0.9 * m + 0.1 * G, 0.999 * v + 0.001 * (left.T @ G @ right) ** 2
        direction = (left.T @ m @ right / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        W = W - 0.1 * left @ direction @ right.T
    found, without = trained("adam", True)[PARTS["matrix"]], trained("adam", False)[PARTS["matrix"]]
    np.testing.assert_allclose(found, W.ravel(), atol=5e-3)
    assert np.abs(found - without).max() > 0.1


def test_a_rule_without_second_moments_is_the_same_in_any_basis():
    np.testing.assert_allclose(trained("momentum", True), trained("momentum", False), rtol=1e-4, atol=1e-4)
