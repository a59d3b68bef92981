"""Bidirectional networks against loops in both directions, with and without lengths, by every way
to run.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.cells.cell import Cell, LinearCell
from capax.cells.contract import quickly
from capax.cells.sequence import Dense
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.fused import library
from capax.networks import ways
from capax.networks.bidirectional import Bidirectional, backwards
from capax.networks.parts import count_parameters
from capax.networks.ways import Way
from tests.networks.random_networks import randomise

INPUTS, OUTPUTS, UNITS, STEPS, BATCH = 3, 2, 4, 6, 16
LENGTHS = np.array([0, 1, 3, 6] * 4)
ROUNDING = {"rtol": 2e-4, "atol": 2e-5}
WAYS = [ways.UNROLLED, Way("blocks", 4, again=True), ways.KERNELS, ways.AT_ONCE]
NAMES = [
    name for name, cell in cells.BUILT_IN.items() if issubclass(cell, Cell) and not cell.demands.square
]  # all that make one


def make(cell="rnn", **wiring):
    sizes = {"inputs": INPUTS, "outputs": OUTPUTS, "depth": 2, "units": UNITS}
    return randomise(Bidirectional(cells.get(cell), wiring=Wiring(**wiring), **sizes), scale=0.4)


def values(filling=None):
    x = np.random.default_rng(0).normal(size=(BATCH, STEPS, INPUTS)).astype(np.float32)
    if filling is not None:
        x[np.arange(STEPS)[None] >= LENGTHS[:, None]] = filling
    return x


def A(array):
    return np.asarray(array, np.float64)


def one_way(cell, x):
    """A plain RNN over (time, features), in NumPy."""
    h, found, a = A(cell.initial), [], cell.hidden
    for x_t in x:
        h = np.tanh(A(a.recurrent) @ h + A(a.input) @ x_t + A(a.bias))
        found.append(h)
    return np.array(found).reshape(len(x), UNITS)


def by_hand(network, x):
    """The outputs of one sequence, (time, outputs)."""
    for l, (forward, backward) in enumerate(zip(network.forwards, network.backwards, strict=True)):
        x = np.concatenate([one_way(forward, x), one_way(backward, x[::-1])[::-1]], axis=1)
        if l < len(network.norms):
            x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
            x = x * A(network.norms[l].scale) + A(network.norms[l].bias)
    return x @ A(network.readout.weight).T + A(network.readout.bias)


@pytest.mark.parametrize("between", [False, True])
def test_both_directions_are_plain_loops_and_padding_is_never_read(between):
    network, x = make(between=between), values(np.nan)
    found = np.asarray(network(jnp.asarray(x), jnp.asarray(LENGTHS)))
    assert found.shape == (BATCH, STEPS, OUTPUTS)
    for sample, length in enumerate(LENGTHS):
        np.testing.assert_allclose(found[sample, :length], by_hand(network, A(x[sample, :length])), **ROUNDING)
        assert np.all(found[sample, length:] == 0)
    alone = jnp.asarray(values()[0])
    np.testing.assert_allclose(network(alone), by_hand(network, A(alone)), **ROUNDING)


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_gives_a_padded_batch_what_its_sequences_have_alone(name):
    """By the plain way; test_lengths.py has every way of every cell."""
    check(name, ways.LAYERS)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.kind} {way.steps}")
@pytest.mark.parametrize("name", ["lstm", "lru"])
def test_every_way_gives_a_padded_batch_what_its_sequences_have_alone(name, way):
    check(name, way)


def check(name, way):
    network = make(name)
    if way == ways.AT_ONCE and not isinstance(network.forwards[0], LinearCell):
        pytest.skip("not a way of this cell")
    if way == ways.KERNELS and library.compiler() is None:
        pytest.skip("no compiler")
    x = jnp.moveaxis(jnp.asarray(values(np.nan)), 0, 2)
    found = quickly(lambda x: network.run(Dense(x), 0, way, lengths=jnp.asarray(LENGTHS)))(x)
    for length in (1, 3, 6):
        members = np.flatnonzero(length == LENGTHS)
        alone = quickly(lambda x: network.run(Dense(x), way=ways.LAYERS))(x[:length, :, members])
        np.testing.assert_allclose(found[:, :length, members], alone, **ROUNDING)


def test_what_is_behind_a_length_has_no_gradient():
    network, lengths = make("lstm"), jnp.asarray(LENGTHS)
    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(network(x, lengths))))
    for filling in (np.nan, np.inf):
        slope = np.asarray(gradient(jnp.asarray(values(filling))))
        behind = np.arange(STEPS)[None] >= LENGTHS[:, None]
        assert np.all(slope[behind] == 0) and np.all(np.abs(slope[~behind]).max(axis=-1) > 0)
        np.testing.assert_array_equal(slope, gradient(jnp.asarray(values(0.0))))


def test_sequences_are_reversed_within_their_lengths():
    x = jnp.arange(8.0).reshape(4, 1, 2)
    found = backwards(x, jnp.asarray([3, 1]))
    np.testing.assert_array_equal(found[:, 0, 0], [4, 2, 0, 6])
    np.testing.assert_array_equal(found[:, 0, 1], [1, 3, 5, 7])
    np.testing.assert_array_equal(backwards(backwards(x, jnp.asarray([3, 1])), jnp.asarray([3, 1])), x)


def test_it_is_initialised_and_sized_to_a_budget():
    network = Bidirectional.create("gru", inputs=3, outputs=2, depth=2, budget=2000, key=jax.random.key(0))
    n = network.forwards[0].units

    def parameters(n):
        return 2 * (3 * n * (3 + n + 1) + n) + 2 * (3 * n * (2 * n + n + 1) + n) + 2 * 2 * n + 2

    assert count_parameters(network) == parameters(n) <= 2000 < parameters(n + 1)
    one, other = network.forwards[0].gates.recurrent, network.backwards[0].gates.recurrent
    np.testing.assert_allclose(one[:n] @ one[:n].T, np.eye(n), atol=1e-5)  # orthogonal, as those of any network
    assert np.abs(one - other).max() > 0.1
    assert np.std(network.readout.weight) > 0.05


def test_dropout_and_embedding_are_those_of_other_networks():
    network = make(dropout=0.5, embedding=6)
    symbols = jnp.asarray([0, 2, 1])
    assert network.forwards[0].inputs == 6
    plain = network(symbols)
    assert np.abs(network(symbols, key=jax.random.key(0), training=True) - plain).max() > 0.01
    with pytest.raises(CapaxError, match="needs a key"):
        network(symbols, training=True)


@pytest.mark.parametrize("name", ["transformer", "intersection", "heads-2", "system-lru", "block-gru"])
def test_layers_that_make_none_are_refused_in_one_line(name):
    with pytest.raises(CapaxError, match="makes no bidirectional network"):
        Bidirectional.create(name, inputs=3, outputs=2, depth=2, units=8, key=jax.random.key(0))
