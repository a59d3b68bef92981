"""A sequence step by step, or in parts, gives what a call gives for the whole, to 1e-6: every
recurrent cell, with what it is initialised to and with first states that are not zero.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.cells.cell import Cell
from capax.networks.network import Network

INPUTS, BATCH, UNITS = 3, 4, 8
CELLS = [name for name in cells.BUILT_IN if issubclass(cells.get(name), Cell)]
CELLS += ["heads-2", "system-lru", "block-gru", "block-lru"]
STEPS = {"unrolled": 5, "in blocks": 100}
TOLERANCE = 1e-6
"""Of the largest output, if that is above 1. Float32 resolves 6e-8 of it."""


def network(name):
    made = Network.create(name, inputs=INPUTS, outputs=2, units=UNITS, depth=2, key=jax.random.key(0))
    drawn = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(1), leaf.shape), made.initial())
    return eqx.tree_at(lambda net: [layer.initial for layer in net.layers], made, list(drawn))


def sequences(steps):
    return jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, steps, INPUTS)), jnp.float32)


def assert_equal(found, whole):
    assert np.abs(whole).max() > 0.01
    assert np.abs(found - whole).max() <= TOLERANCE * max(1.0, np.abs(whole).max())


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("name", CELLS)
def test_step_by_step_is_the_whole_sequence_to_a_millionth(name, steps):
    net, x = network(name), sequences(steps)
    whole = np.asarray(eqx.filter_jit(Network.__call__)(net, x))
    step, states, outputs = eqx.filter_jit(Network.step), net.initial(BATCH), []
    for t in range(steps):
        states, output = step(net, states, x[:, t])
        outputs.append(np.asarray(output))
    assert_equal(np.stack(outputs, axis=1), whole)


@pytest.mark.grid(keep=4)
@pytest.mark.parametrize("name", CELLS)
def test_in_parts_it_is_the_whole_sequence_to_a_millionth(name):
    net, x = network(name), sequences(60)
    call = eqx.filter_jit(lambda net, x, states: net(x, states=states, return_states=True))
    whole, after = call(net, x, net.initial(BATCH))
    states, outputs = net.initial(BATCH), []
    for begin in range(0, 60, 20):
        part, states = call(net, x[:, begin : begin + 20], states)
        outputs.append(np.asarray(part))
    assert_equal(np.concatenate(outputs, axis=1), np.asarray(whole))
    for one, other in zip(jax.tree.leaves(states), jax.tree.leaves(after), strict=True):
        assert_equal(np.asarray(one), np.asarray(other))
