"""One-hot and held sequences give what the dense sequence of the same values gives, and the same
gradients.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.cells.cell import Affine, Cell, affine
from capax.cells.sequence import Dense, Held, MultiHot, OneHot
from capax.networks.network import Network
from capax.networks.parts import trainable
from tests.networks.random_networks import randomise

STEPS, SIZE, BATCH = 3, 4, 3


def make(cell, inputs=SIZE):
    depth = 2 if cell == "intersection" else 1
    return randomise(Network(cells.get(cell), inputs=inputs, outputs=2, depth=depth, units=5))


def make_run():
    """A compiled function from a network and a sequence to outputs and gradients."""

    @eqx.filter_jit
    def run(network, sequence):
        trained, rest = eqx.partition(network, trainable(network))

        def loss(trained):
            outputs = eqx.combine(trained, rest).run(sequence)
            return jnp.sum(jnp.sin(outputs)), outputs

        return jax.grad(loss, has_aux=True)(trained)

    return run


def assert_same(network, *sequences):
    """Each sequence gives the same as the dense one of its values."""
    run = make_run()
    for sequence in sequences:
        results = run(network, sequence), run(network, Dense(sequence.values_at_every_step()))
        for a, b in zip(*map(jax.tree.leaves, results), strict=True):
            # Sums in another order, in float32.
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_one_hot_sequence_has_a_one_at_each_symbol():
    symbols = np.asarray([[0, 3], [2, 2], [1, 0]])
    values = OneHot(jnp.asarray(symbols), SIZE).values_at_every_step()
    assert values.shape == (3, SIZE, 2)
    np.testing.assert_array_equal(values, np.eye(SIZE)[symbols].transpose(0, 2, 1))


def multi_hot():
    return MultiHot(jnp.asarray(np.random.default_rng(0).integers(SIZE, size=(STEPS, 2, BATCH))), SIZE)


def test_a_multi_hot_sequence_has_a_one_in_each_stream():
    symbols = np.asarray([[[0, 3], [1, 1]], [[2, 2], [0, 3]]])
    values = MultiHot(jnp.asarray(symbols), SIZE).values_at_every_step()
    assert values.shape == (2, 2 * SIZE, 2)
    expected = np.concatenate([np.eye(SIZE)[symbols[:, stream]] for stream in range(2)], axis=2)
    np.testing.assert_array_equal(values, expected.transpose(0, 2, 1))


class Squashed(Cell):
    """A cell whose projection is not affine."""

    affine: Affine = affine("h")

    def project(self, x):
        return self.s(self.affine.project(x))

    def step(self, state, projected):
        h = jnp.tanh(self.affine.recur(state, projected))
        return h, h


@pytest.mark.grid(keep=1)
# Cells without and with an entry map, with one projection and with two; and one that is not a sum
# of columns.
@pytest.mark.parametrize(("cell", "unroll_up_to"), [("gru", 16), ("intersection", 0), (f"{__name__}:Squashed", 0)])
def test_a_multi_hot_sequence_gives_the_same_as_the_dense_one(cell, unroll_up_to, monkeypatch):
    monkeypatch.setattr("capax.networks.ways.UNROLL_UP_TO", unroll_up_to)
    assert_same(make(cell, 2 * SIZE), multi_hot())


def test_only_affine_projections_are_sums_of_columns():
    gathered, dense = (make(cell, 2 * SIZE).layers[0].project for cell in ("lstm", f"{__name__}:Squashed"))
    assert multi_hot().project(gathered).xs.shape == (STEPS, 2, BATCH)
    assert multi_hot().project(dense).xs.shape == (STEPS, 5, BATCH)


def test_a_held_sequence_shows_its_vector_first_or_always():
    shown = jnp.arange(6.0).reshape(2, 3) + 1
    first, always = (Held(shown, jnp.asarray(flag), 4).values_at_every_step() for flag in (False, True))
    np.testing.assert_array_equal(always, np.stack([shown] * 4))
    np.testing.assert_array_equal(first, np.stack([shown] + [np.zeros((2, 3))] * 3))


@pytest.mark.grid(keep=1)
# Cells without and with an entry map, unrolled and scanned.
@pytest.mark.parametrize(("cell", "unroll_up_to"), [("gru", 16), ("intersection", 0)])
def test_a_one_hot_sequence_gives_the_same_as_the_dense_one(cell, unroll_up_to, monkeypatch):
    monkeypatch.setattr("capax.networks.ways.UNROLL_UP_TO", unroll_up_to)
    sequence = OneHot(jnp.asarray(np.random.default_rng(0).integers(SIZE, size=(STEPS, BATCH))), SIZE)
    assert_same(make(cell), sequence)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize(("cell", "unroll_up_to"), [("lstm", 0), ("intersection", 16)])
def test_a_held_sequence_gives_the_same_as_the_dense_one(cell, unroll_up_to, monkeypatch):
    monkeypatch.setattr("capax.networks.ways.UNROLL_UP_TO", unroll_up_to)
    network, shown = make(cell), jnp.asarray(np.random.default_rng(0).normal(size=(SIZE, BATCH)), jnp.float32)
    assert_same(network, *(Held(shown, jnp.asarray(flag), STEPS) for flag in (True, False)))


def test_the_length_of_each_kind_of_sequence_is_its_number_of_steps():
    assert Dense(jnp.zeros((STEPS, SIZE, BATCH))).length == STEPS
    assert OneHot(jnp.zeros((STEPS, BATCH), int), SIZE).length == STEPS
    assert multi_hot().length == STEPS
    assert Held(jnp.zeros((SIZE, BATCH)), jnp.asarray(True), STEPS).length == STEPS
