"""Embedding, norms between layers, and dropout, against plain loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.cells.sequence import Dense
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.fused import library
from capax.networks import ways
from capax.networks.network import Network
from capax.networks.parts import Dropout, count_parameters, dropped
from capax.networks.ways import Way
from tests.networks.random_networks import randomise

INPUTS, OUTPUTS, UNITS, STEPS, BATCH = 5, 2, 4, 9, 16
ROUNDING = {"rtol": 2e-4, "atol": 2e-5}
WAYS = [ways.UNROLLED, Way("blocks", 4, again=True), Way("blocks", 3), ways.KERNELS, ways.LAYERS]


def make(depth=2, cell="rnn", **wiring):
    sizes = {"inputs": INPUTS, "outputs": OUTPUTS, "depth": depth, "units": UNITS}
    return randomise(Network(cells.get(cell), wiring=Wiring(**wiring), **sizes))


def values():
    return np.random.default_rng(0).normal(size=(STEPS, INPUTS, BATCH)).astype(np.float32)


def A(array):
    return np.asarray(array, np.float64)


def by_hand(network, x, handed):
    """The outputs of a stack of plain RNNs, (outputs, time, batch): `handed(layer, t, h)` is what
    goes upwards.
    """
    states, outputs = [np.tile(A(cell.initial)[:, None], (1, x.shape[2])) for cell in network.layers], []
    for t, above in enumerate(A(x)):
        for l, cell in enumerate(network.layers):
            a = cell.hidden
            states[l] = np.tanh(A(a.recurrent) @ states[l] + A(a.input) @ above + A(a.bias)[:, None])
            above = handed(l, t, states[l])
        outputs.append(A(network.readout.weight) @ above + A(network.readout.bias)[:, None])
    return np.stack(outputs, axis=1)


def normed(norm, h):
    h = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-6)
    return A(norm.scale)[:, None] * h + A(norm.bias)[:, None]


def can(way):
    return way != ways.KERNELS or library.compiler() is not None


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_norms_between_layers_are_those_of_a_plain_loop(way):
    if not can(way):
        pytest.skip("no compiler")
    network, x = make(depth=3, between=True), values()
    assert len(network.norms) == 2
    expected = by_hand(network, x, lambda l, t, h: normed(network.norms[l], h) if l < 2 else h)
    found = jax.jit(lambda x: network.run(Dense(x), 2, way))(jnp.asarray(x))
    np.testing.assert_allclose(found, expected[:, 2:], **ROUNDING)


def test_a_step_goes_through_the_norms_between_layers():
    network, x = make(between=True), jnp.moveaxis(jnp.asarray(values()), 2, 0)
    states = network.initial(BATCH)
    for t, expected in enumerate(jnp.moveaxis(network(x), 1, 0)):
        states, outputs = network.step(states, x[:, t])
        np.testing.assert_allclose(outputs, expected, **ROUNDING)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_dropout_is_of_what_goes_upwards_alone_and_the_same_by_every_way(way):
    if not can(way):
        pytest.skip("no compiler")
    network, x, key = make(dropout=0.4), values(), jax.random.key(3)

    def handed(l, t, h):
        kept = jax.random.bernoulli(jax.random.fold_in(jax.random.fold_in(key, l), t), 0.6, h.shape)
        return np.where(kept, h / 0.6, 0.0)

    found = jax.jit(lambda x: network.run(Dense(x), 1, way, dropout=Dropout(network.wiring.dropout, key)))(
        jnp.asarray(x)
    )
    np.testing.assert_allclose(found, by_hand(network, x, handed)[:, 1:], **ROUNDING)


def test_without_training_nothing_is_dropped_and_with_it_a_key_is_needed():
    network, x = make(dropout=0.5), jnp.asarray(values()[:, :, 0])
    plain = make()
    np.testing.assert_array_equal(network(x), plain(x))
    np.testing.assert_array_equal(network(x, key=jax.random.key(0)), plain(x))
    np.testing.assert_array_equal(plain(x, training=True), plain(x))
    one, other = (network(x, key=jax.random.key(k), training=True) for k in (0, 1))
    assert np.abs(one - other).max() > 0.01 and np.abs(one - plain(x)).max() > 0.01
    with pytest.raises(CapaxError, match=r"needs a key: net\(x, key="):
        network(x, training=True)


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = jnp.ones((200, 50, 20))
    found = np.asarray(dropped(0.3, jax.random.key(0), x, jnp.arange(200)))
    assert set(np.unique(found)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    deviation = (0.3 * 0.7 / found.size) ** 0.5
    assert abs(np.mean(found == 0) - 0.3) < 5 * deviation
    assert abs(found.mean() - 1) < 5 * deviation / 0.7


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 2.0])
def test_a_dropout_that_is_no_probability_below_one_is_refused(dropout):
    with pytest.raises(CapaxError, match="dropout must be at least 0 and below 1"):
        Wiring(dropout=dropout)


def test_symbols_are_read_through_their_embedding():
    network = make(depth=1, embedding=3)
    symbols = np.random.default_rng(0).integers(0, INPUTS, size=(BATCH, STEPS))
    assert network.layers[0].inputs == 3 and network.entry.weight.shape == (3, INPUTS)
    vectors = A(network.entry.weight)[:, symbols.T] + A(network.entry.bias)[:, None, None]
    expected = by_hand(network, np.moveaxis(vectors, 0, 1), lambda l, t, h: h)
    np.testing.assert_allclose(network(jnp.asarray(symbols)), expected.T, **ROUNDING)
    np.testing.assert_allclose(network(jnp.asarray(symbols[0])), expected.T[0], **ROUNDING)


def test_a_wired_network_is_initialised_counted_and_sized():
    wiring = Wiring(embedding=3, between=True, norm=True, direct=True)
    network = Network.create(
        "gru", inputs=50, outputs=2, depth=2, budget=1500, key=jax.random.key(0), wiring=wiring, entry_scale=2.0
    )
    n = network.layers[0].units

    def parameters(n):
        cells_ = 3 * n * (3 + n + 1) + n + 3 * n * (n + n + 1) + n
        return (50 * 3 + 3) + cells_ + 2 * n + 2 * n + 2 * n + 2 + 2 * 50

    assert count_parameters(network) == parameters(n) <= 1500 < parameters(n + 1)
    # 150 normals of deviation 2 / sqrt(50)
    assert abs(np.std(network.entry.weight) / (2 / 50**0.5) - 1) < 5 / (2 * 150) ** 0.5
    with pytest.raises(CapaxError, match="no hyperparameter 'entry_scale'"):
        Network.create("gru", inputs=5, outputs=2, units=3, key=jax.random.key(0), entry_scale=2.0)


def test_an_embedding_of_another_size_than_a_square_layer_is_refused():
    with pytest.raises(CapaxError, match="as many features as it has units, 8, not 3"):
        Network(cells.get("transformer"), inputs=5, outputs=2, depth=1, units=8, wiring=Wiring(embedding=3))


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 2, 2, 5)])
def test_inputs_of_another_shape_are_refused_in_one_line(shape):
    with pytest.raises(CapaxError, match="reads arrays of shape"):
        make()(jnp.zeros(shape))
