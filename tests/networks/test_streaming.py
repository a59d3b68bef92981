"""One step at a time with constant memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax.cells import registry
from capax.cells.cell import Cell
from capax.errors import CapaxError
from capax.networks.network import Network
from capax.networks.streaming import Stream
from tests.networks.random_networks import randomise

RECURRENT = [name for name, cell in registry.BUILT_IN.items() if issubclass(cell, Cell)]


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("cell", RECURRENT)
def test_a_stream_says_what_the_whole_sequence_says(cell):
    network = randomise(Network.create(cell, inputs=3, outputs=2, depth=2, units=4, key=jax.random.key(0)), seed=1)
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    stream = Stream(network)
    pushed = np.stack([stream.push(step) for step in x])
    np.testing.assert_allclose(pushed, network(jnp.asarray(x)), rtol=1e-5, atol=1e-6)
    stream.reset()
    np.testing.assert_array_equal(stream.push(x[0]), pushed[0])


def test_symbols_are_whole_numbers():
    network = Network.create("gru", inputs=5, outputs=2, units=4, key=jax.random.key(0))
    stream, symbols = Stream(network), [3, 0, 4]
    pushed = np.stack([stream.push(symbol) for symbol in symbols])
    np.testing.assert_allclose(pushed, network(jnp.asarray(symbols)), rtol=1e-5, atol=1e-6)


def test_a_network_without_steps_has_no_stream():
    network = Network.create("transformer", inputs=3, outputs=2, units=8, key=jax.random.key(0))
    with pytest.raises(CapaxError, match="has no steps and no states"):
        Stream(network)
