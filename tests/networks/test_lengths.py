"""Padding never changes a result: every layer, by every way to run, with states, and step by
step.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.cells.cell import Cell, LinearCell
from capax.cells.contract import quickly
from capax.cells.sequence import Dense, Held, MultiHot, OneHot
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.fused import library
from capax.networks import ways
from capax.networks.network import Network
from capax.networks.parts import trainable
from capax.networks.ways import Way
from tests.networks.random_networks import randomise

INPUTS, OUTPUTS, UNITS, STEPS, BATCH = 3, 2, 8, 7, 16
LENGTHS = np.array([0, 1, 3, 7] * 4)
ROUNDING = {"rtol": 2e-4, "atol": 2e-5}  # float32, sums in another order over 7 steps and 16 sequences
NAMES = [*cells.BUILT_IN, "heads-2", "system-lru", "block-gru", "block-lru", "tests.cells.examples:Plain"]
WAYS = {
    "unrolled": ways.UNROLLED,
    "blocks": Way("blocks", 4, again=True),
    "blocks, all kept": Way("blocks", 3),
    "kernels": ways.KERNELS,
    "at once": ways.AT_ONCE,
    "layers": ways.LAYERS,
}


def make(name):
    return randomise(Network(cells.get(name), inputs=INPUTS, outputs=OUTPUTS, depth=2, units=UNITS), scale=0.3)


def values():
    return np.random.default_rng(0).normal(size=(STEPS, INPUTS, BATCH)).astype(np.float32)


def padded(filling):
    """The sequences with something else behind their lengths."""
    behind = np.arange(STEPS)[:, None] >= LENGTHS[None]
    return jnp.asarray(np.where(behind[:, None], filling, values()))


def score(outputs, states):
    return jnp.sum(jnp.sin(outputs)) + sum(jnp.sum(jnp.cos(leaf) - 1) for leaf in jax.tree.leaves(states))


def with_gradient(network, run, compiled=quickly):
    """Outputs and states of a run, and the gradient of a score of both."""
    trained, rest = eqx.partition(network, trainable(network))

    def loss(trained):
        outputs, states = run(eqx.combine(trained, rest))
        return score(outputs, states), (outputs, states)

    (_, (outputs, states)), gradient = compiled(jax.value_and_grad(loss, has_aux=True))(trained)
    return outputs, states, gradient


_ALONE = {}


def alone(name, network):
    """Each sequence cut to its length, those of one length together; zeros behind a length."""
    if name in _ALONE:
        return _ALONE[name]

    def run(network):
        outputs = jnp.zeros((OUTPUTS, STEPS, BATCH))
        states = ways.first_states(network.layers, BATCH)
        for length in (1, 3, 7):
            members = np.flatnonzero(length == LENGTHS)
            x = Dense(jnp.asarray(values()[:length, :, members]))
            found, after = network.run(x, way=ways.LAYERS, return_states=True)
            outputs = outputs.at[:, :length, members].set(found)
            states = jax.tree.map(lambda all_, new: all_.at[:, members].set(new), states, after)  # noqa: B023
        return outputs, states

    _ALONE[name] = with_gradient(network, run)
    return _ALONE[name]


def can(way, network):
    if way.kind == "layers":
        return True
    if not network.recurrent or (way.kind == "kernels" and library.compiler() is None):
        return False
    return way.kind != "at once" or isinstance(network.layers[0], LinearCell)


@pytest.mark.grid(keep=7)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_padded_batch_gives_what_its_sequences_give_alone(name, way):
    network = make(name)
    if not can(WAYS[way], network):
        pytest.skip("not a way of this layer, or of this machine")

    def run(network):
        x = Dense(padded(np.nan))
        return network.run(x, way=WAYS[way], lengths=jnp.asarray(LENGTHS), return_states=True)

    try:
        found = with_gradient(network, run)
    except CapaxError:  # a cell that has no kernels without lengths has none with them
        with pytest.raises(CapaxError, match="No kernels"):
            x = Dense(jnp.asarray(values()))
            with_gradient(network, lambda network: network.run(x, way=WAYS[way], return_states=True))
        return
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(alone(name, network)), strict=True):
        np.testing.assert_allclose(one, other, **ROUNDING)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("filling", [np.nan, np.inf, 1e30])
def test_what_is_behind_a_length_changes_no_bit(filling):
    network, lengths = make("lstm"), jnp.asarray(LENGTHS)
    run = lambda x: lambda n: n.run(Dense(x), lengths=lengths, return_states=True)  # noqa: E731
    call = quickly(lambda x: with_gradient(network, run(x), compiled=lambda function: function))
    for one, other in zip(jax.tree.leaves(call(padded(filling))), jax.tree.leaves(call(padded(0.0))), strict=True):
        np.testing.assert_array_equal(one, other)


SYMBOLS = np.random.default_rng(1).integers(0, 5, size=(STEPS, 2, BATCH))
SEQUENCES = {
    "one-hot": (OneHot(jnp.asarray(SYMBOLS[:, 0]), 5), 5),
    "multi-hot": (MultiHot(jnp.asarray(SYMBOLS), 5), 10),
    "held": (Held(jnp.asarray(values()[0]), jnp.asarray(True), STEPS), INPUTS),
}


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("way", ["unrolled", "blocks", "kernels"])
@pytest.mark.parametrize("kind", SEQUENCES)
def test_lengths_of_symbols_and_held_vectors_are_those_of_the_dense_sequence(kind, way):
    sequence, inputs = SEQUENCES[kind]
    network = randomise(Network(cells.get("gru"), inputs=inputs, outputs=OUTPUTS, depth=2, units=UNITS), scale=0.3)
    if not can(WAYS[way], network):
        pytest.skip("no compiler")
    lengths = jnp.asarray(LENGTHS)

    @quickly
    def both():
        found = network.run(sequence, 2, WAYS[way], lengths=lengths)
        dense = Dense(sequence.values_at_every_step())
        return found, network.run(dense, 2, ways.LAYERS, lengths=lengths)

    found, expected = both()
    assert found.shape == (OUTPUTS, STEPS - 2, BATCH)
    np.testing.assert_allclose(found, expected, **ROUNDING)


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("name", [name for name in NAMES if issubclass(cells.get(name), Cell)])
def test_step_by_step_is_the_whole_call(name):
    network, x = make(name), jnp.asarray(np.moveaxis(values(), 2, 0))
    whole, last = eqx.filter_jit(lambda n, x: n(x, return_states=True))(network, x)
    step, states = eqx.filter_jit(Network.step), network.initial(BATCH)
    for t in range(STEPS):
        states, outputs = step(network, states, x[:, t])
        np.testing.assert_allclose(outputs, whole[:, t], **ROUNDING)
    for one, other in zip(jax.tree.leaves(states), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(one, other, **ROUNDING)


def test_one_sequence_step_by_step_and_in_parts_is_the_whole_call():
    network, x = make("lstm"), jnp.asarray(values()[:, :, 0])
    whole, last = network(x, return_states=True)
    assert whole.shape == (STEPS, OUTPUTS) and jax.tree.map(jnp.shape, last) == (((UNITS,), (UNITS,)),) * 2
    first, states = network(x[:4], return_states=True)
    rest, again = network(x[4:], states=states, return_states=True)
    np.testing.assert_allclose(jnp.concatenate([first, rest]), whole, **ROUNDING)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(one, other, **ROUNDING)
    states, outputs = network.step(network.initial(), x[0])
    np.testing.assert_allclose(outputs, whole[0], **ROUNDING)


def test_a_batch_a_mapped_call_and_lengths_agree():
    network, x = make("gru"), jnp.moveaxis(padded(np.nan), 2, 0)
    lengths = jnp.asarray(LENGTHS)
    batch, states = network(x, lengths, return_states=True)
    assert batch.shape == (BATCH, STEPS, OUTPUTS)
    mapped, of_each = jax.vmap(lambda x, length: network(x, length, return_states=True))(x, lengths)
    np.testing.assert_allclose(batch, mapped, **ROUNDING)
    for one, other in zip(jax.tree.leaves(states), jax.tree.leaves(of_each), strict=True):
        np.testing.assert_allclose(one.T, other, **ROUNDING)
    behind = np.arange(STEPS)[None] >= LENGTHS[:, None]
    assert np.all(np.asarray(batch)[behind] == 0)
    np.testing.assert_allclose(network(x[2], 3)[:3], network(x[2, :3]), **ROUNDING)


def test_a_direct_part_and_a_norm_before_the_readout_are_in_a_step_and_in_a_padded_call():
    made = Network(
        cells.get("rnn"),
        inputs=INPUTS, outputs=OUTPUTS, depth=1, units=UNITS,
        wiring=Wiring(direct=True, norm=True),
    )  # fmt: skip
    network, x = randomise(made), np.moveaxis(np.asarray(padded(np.nan)), 2, 0)
    found = np.asarray(network(jnp.asarray(x), jnp.asarray(LENGTHS)))
    cell, A = network.layers[0], lambda part: np.asarray(part, np.float64)
    h, states = A(cell.initial), network.initial()
    for t in range(3):
        h = np.tanh(A(cell.hidden.recurrent) @ h + A(cell.hidden.input) @ x[2, t] + A(cell.hidden.bias))
        z = (h - h.mean()) / np.sqrt(h.var() + 1e-6) * A(network.norm.scale) + A(network.norm.bias)
        expected = A(network.readout.weight) @ z + A(network.readout.bias) + A(network.direct) @ x[2, t]
        np.testing.assert_allclose(found[2, t], expected, **ROUNDING)
        states, outputs = network.step(states, jnp.asarray(x[2, t]))
        np.testing.assert_allclose(outputs, expected, **ROUNDING)


@pytest.mark.parametrize(
    "call",
    [
        lambda network, x: network.step((), x[0]),
        lambda network, x: network.initial(),
        lambda network, x: network(x, return_states=True),
        lambda network, x: network(x, states=((), ())),
    ],
)
def test_a_transformer_is_refused_steps_and_states_in_one_line(call):
    with pytest.raises(CapaxError, match=r"Transformer layers sees whole sequences: it has no steps and no states\.$"):
        call(make("transformer"), jnp.asarray(values()[:, :, 0]))


@pytest.mark.parametrize(
    ("lengths", "said"), [([12], "from 0 to the 7 steps"), ([-1], "from 0 to"), ([1.5], "whole numbers")]
)
def test_lengths_that_are_no_steps_are_refused(lengths, said):
    with pytest.raises(CapaxError, match=said):
        make("rnn")(jnp.asarray(values()[None, :, :, 0]), jnp.asarray(lengths))
