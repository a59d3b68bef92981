"""Encoder-decoder networks against loops in NumPy: teacher forcing, attention, greedy decoding,
padding.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.cells.contract import quickly
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.parts import count_parameters
from tests.networks.random_networks import randomise

INPUTS, OUTPUTS, UNITS, SOURCE, TARGET, BATCH = 5, 4, 6, 7, 5, 4
SOURCE_LENGTHS, TARGET_LENGTHS = np.array([7, 3, 1, 5]), np.array([5, 2, 4, 0])
ROUNDING = {"rtol": 2e-4, "atol": 2e-5}
ATTENTIONS = [None, "dot", "additive"]


def make(attention=None, cell="rnn", depth=2, **wiring):
    sizes = {"inputs": INPUTS, "outputs": OUTPUTS, "depth": depth, "units": UNITS}
    return randomise(EncoderDecoder(cells.get(cell), attention=attention, wiring=Wiring(**wiring), **sizes))


def sources():
    return np.random.default_rng(0).normal(size=(BATCH, SOURCE, INPUTS)).astype(np.float32)


def padded():
    x = sources()
    x[np.arange(SOURCE)[None] >= SOURCE_LENGTHS[:, None]] = np.nan
    return jnp.asarray(x)


def targets():
    return np.random.default_rng(1).integers(0, OUTPUTS, size=(BATCH, TARGET))


def A(array):
    return np.asarray(array, np.float64)


def advance(layers, states, x):
    """One step of a stack of plain RNNs; `states` is changed."""
    for l, cell in enumerate(layers):
        a = cell.hidden
        states[l] = x = np.tanh(A(a.recurrent) @ states[l] + A(a.input) @ x + A(a.bias))
    return x


def said(network, h, memory):
    """The logits of one step, of the decoder's output and those of the encoder."""
    attention = network.attention
    if attention is not None:
        if attention.query is None:
            scores = np.array([h @ m / np.sqrt(UNITS) for m in memory])
        else:
            W, U, v = attention.query, attention.key, attention.score
            query = A(W.weight) @ h + A(W.bias)
            scores = np.array([A(v.weight)[0] @ np.tanh(query + A(U.weight) @ m + A(U.bias)) for m in memory])
            scores = scores + A(v.bias)[0]
        weights = np.exp(scores - scores.max())
        context = (weights / weights.sum()) @ np.array(memory)
        h = np.tanh(A(attention.combine.weight) @ np.concatenate([context, h]) + A(attention.combine.bias))
    return A(network.readout.weight) @ h + A(network.readout.bias)


def encoded(network, source):
    """The encoder's outputs and its last states, of one sequence."""
    states = [A(cell.initial) for cell in network.encoder]
    return [advance(network.encoder, states, x) for x in source], states


def by_hand(network, source, target):
    """The logits of one target, teacher forced."""
    memory, states = encoded(network, source)
    logits = []
    for before in [OUTPUTS, *target[:-1]]:
        logits.append(said(network, advance(network.decoder, states, np.eye(OUTPUTS + 1)[before]), memory))
    return np.array(logits).reshape(len(logits), OUTPUTS)


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_teacher_forcing_is_a_plain_loop_and_padding_is_never_read(attention):
    network = make(attention)
    found = np.asarray(
        network(padded(), jnp.asarray(targets()), jnp.asarray(SOURCE_LENGTHS), jnp.asarray(TARGET_LENGTHS))
    )
    assert found.shape == (BATCH, TARGET, OUTPUTS)
    for b, (before, behind) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
        expected = by_hand(network, A(sources()[b, :before]), targets()[b])
        np.testing.assert_allclose(found[b, :behind], expected[:behind], **ROUNDING)
        assert np.all(found[b, behind:] == 0)
    alone = network(jnp.asarray(sources()[0]), jnp.asarray(targets()[0]))
    np.testing.assert_allclose(alone, by_hand(network, A(sources()[0]), targets()[0]), **ROUNDING)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_greedy_decoding_takes_the_likeliest_symbol_and_stops_at_the_end(attention):
    network, limit, end = make(attention), 8, 2
    symbols, lengths = network.decode(padded(), jnp.asarray(SOURCE_LENGTHS), limit=limit, end=end)
    free, _ = network.decode(padded(), jnp.asarray(SOURCE_LENGTHS), limit=limit)
    for b, length in enumerate(SOURCE_LENGTHS):
        memory, states = encoded(network, A(sources()[b, :length]))
        before, expected = OUTPUTS, []
        for _ in range(limit):
            logits = said(network, advance(network.decoder, states, np.eye(OUTPUTS + 1)[before]), memory)
            before = int(np.argmax(logits))
            expected.append(before)
        np.testing.assert_array_equal(free[b], expected)
        stop = expected.index(end) if end in expected else limit
        assert int(lengths[b]) == stop
        np.testing.assert_array_equal(symbols[b], expected[:stop] + [end] * (limit - stop))


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("cell", ["lstm", "intersection", "lru", "block-gru"])
def test_step_by_step_the_decoder_says_what_it_says_of_the_whole_target(cell):
    network = make("dot", cell=cell, between=True, norm=True)
    target, lengths = jnp.asarray(targets()), jnp.asarray(SOURCE_LENGTHS)
    whole = network(padded(), target, lengths)
    decoding = network.encode(padded(), lengths)
    before = jnp.full((BATCH,), network.start)
    for t in range(TARGET):
        decoding, logits = network.step(decoding, before)
        np.testing.assert_allclose(logits, whole[:, t], **ROUNDING)
        before = target[:, t]


def test_members_of_a_batch_can_be_chosen_again_as_a_beam_does():
    network = make("additive", cell="lstm")
    decoding = network.encode(jnp.asarray(sources()))
    members = jnp.asarray([2, 2, 0])
    _, logits = network.step(decoding.chosen(members), jnp.asarray([1, 3, 1]))
    one, other = (network.step(decoding, jnp.full((BATCH,), symbol))[1] for symbol in (1, 3))
    np.testing.assert_allclose(logits, jnp.stack([one[2], other[2], one[0]]), **ROUNDING)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_gradients_reach_all_parameters_and_no_padding(attention):
    network = make(attention, cell="gru", embedding=3)
    symbols = np.random.default_rng(2).integers(0, INPUTS, size=(BATCH, SOURCE))
    lengths = jnp.asarray(SOURCE_LENGTHS), jnp.asarray(TARGET_LENGTHS)

    def loss(network, symbols, target):
        return jnp.sum(jnp.sin(network(symbols, target, *lengths)))

    other = np.where(np.arange(SOURCE)[None] >= SOURCE_LENGTHS[:, None], 0, symbols)
    beyond = np.where(np.arange(TARGET)[None] >= TARGET_LENGTHS[:, None], 0, targets())
    gradient = quickly(jax.grad(loss, allow_int=True))
    found = gradient(network, jnp.asarray(symbols), jnp.asarray(targets()))
    again = gradient(network, jnp.asarray(other), jnp.asarray(beyond))
    scalars = {"forget_bias"}
    for (path, leaf), same in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(again), strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        np.testing.assert_array_equal(leaf, same, err_msg=name)
        unused = name.startswith("decoder") and name.endswith("initial")  # the encoder's last states take their place
        if name == "attention.score.bias" or unused:  # what is added to all scores changes no weight
            assert np.abs(leaf).max() < 1e-5, name
        elif name.rpartition(".")[2] not in scalars:
            assert np.any(leaf != 0), name


def test_it_is_initialised_and_sized_to_a_budget():
    network = EncoderDecoder.create(
        "rnn", inputs=5, outputs=3, budget=2000, attention="additive", key=jax.random.key(0), wiring=Wiring(embedding=4)
    )
    n = network.encoder[0].units

    def parameters(n):
        cell = n * (4 + n + 1) + n
        attention = (2 * n * n + n) + 2 * (n * n + n) + (n + 1)
        return (5 * 4 + 4) + (4 * 4 + 4) + 2 * cell + attention + 3 * n + 3

    assert count_parameters(network) == parameters(n) <= 2000 < parameters(n + 1)
    for part in network.maps:  # normal, with deviation 1 / sqrt(inputs)
        size = part.weight.size
        assert abs(float(np.sqrt(np.mean(part.weight**2)) * part.weight.shape[1] ** 0.5) - 1) < 5 / (2 * size) ** 0.5
    assert np.abs(network.encoder[0].hidden.recurrent - network.decoder[0].hidden.recurrent).max() > 0.1


def test_dropout_needs_a_key_and_differs_between_keys():
    network, source, target = make("dot", dropout=0.3), jnp.asarray(sources()), jnp.asarray(targets())
    one, other = (network(source, target, key=jax.random.key(k), training=True) for k in (0, 1))
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_array_equal(network(source, target, key=jax.random.key(0)), network(source, target))
    with pytest.raises(CapaxError, match="needs a key"):
        network(source, target, training=True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"attention": "dott"}, r"unknown attention 'dott' \(did you mean 'dot'\?\); choose of dot, additive"),
        ({"cell": "transformer", "units": 8}, "takes a recurrence"),
        ({"cell": "system-lru", "units": 8}, "without a direct part"),
        ({"units": 0}, "units must be at least 1"),
    ],
)
def test_what_cannot_be_made_is_one_line(arguments, line):
    given = {"cell": "gru", "inputs": 3, "outputs": 2, "units": 4, "key": jax.random.key(0), **arguments}
    with pytest.raises(CapaxError, match=line):
        EncoderDecoder.create(given.pop("cell"), **given)


def test_decoding_takes_a_batch():
    with pytest.raises(CapaxError, match=r"source\[None\]"):
        make().decode(jnp.asarray(sources()[0]), limit=3)
