"""Beam search against listing all targets, and against greedy decoding; where attention was."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax.errors import CapaxError
from capax.networks.beam import attended, beam_search
from capax.networks.encoder_decoder import EncoderDecoder

INPUTS, OUTPUTS, END, LIMIT = 5, 3, 2, 4


def make(attention="dot", cell="gru", seed=0):
    found = EncoderDecoder.create(
        cell, inputs=INPUTS, outputs=OUTPUTS, units=5, attention=attention, key=jax.random.key(seed)
    )
    return jax.tree.map(lambda leaf: 2.5 * leaf, found)  # so that symbols are not all alike


def sources():
    return jnp.asarray(np.random.default_rng(0).integers(0, INPUTS, (3, 4))), jnp.asarray([4, 2, 3])


def every_target(network, alpha):
    """All targets of each source with their logarithms, the best first by the normalised ones."""
    texts = [
        (*before, END)
        for size in range(LIMIT)
        for before in itertools.product([s for s in range(OUTPUTS) if s != END], repeat=size)
    ]
    texts += list(itertools.product([s for s in range(OUTPUTS) if s != END], repeat=LIMIT))
    padded = np.full((len(texts), LIMIT), END)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    lengths = np.array([len(text) for text in texts])
    for source, length in zip(*sources(), strict=True):
        repeated = jnp.broadcast_to(source[None], (len(texts), len(source)))
        logits = network(repeated, jnp.asarray(padded), jnp.full(len(texts), int(length)))
        logs = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), padded[..., None], axis=2)[..., 0]
        total = np.where(np.arange(LIMIT)[None] < lengths[:, None], logs, 0).sum(axis=1)
        scores = total / ((5 + lengths) / 6) ** alpha
        order = np.argsort(-scores)
        yield padded[order], total[order], scores[order]


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize(
    ("attention", "cell", "alpha"), [("dot", "gru", 0.6), (None, "lstm", 0.0), ("additive", "rnn", 1.5)]
)
def test_a_wide_beam_finds_what_listing_all_targets_finds(attention, cell, alpha):
    network = make(attention, cell)
    found = beam_search(network, *sources(), width=OUTPUTS**LIMIT, limit=LIMIT, end=END, best=6, alpha=alpha)
    for b, (symbols, logs, scores) in enumerate(every_target(network, alpha)):
        np.testing.assert_allclose(found.scores[b], scores[:6], rtol=2e-5)
        np.testing.assert_allclose(found.logs[b], logs[:6], rtol=2e-5)
        np.testing.assert_array_equal(found.symbols[b], symbols[:6])
        np.testing.assert_array_equal(found.lengths[b], (np.cumsum(symbols[:6] == END, axis=1) == 0).sum(axis=1))


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("seed", range(4))
def test_a_width_of_1_is_greedy_decoding(seed):
    network = make(seed=seed)
    source = jnp.asarray(np.random.default_rng(seed).integers(0, INPUTS, (16, 6)))
    symbols, lengths = network.decode(source, limit=8, end=END)
    found = beam_search(network, source, width=1, limit=8, end=END)
    np.testing.assert_array_equal(found.symbols[:, 0], symbols)
    np.testing.assert_array_equal(found.lengths[:, 0], lengths)


@pytest.mark.slow
def test_without_normalisation_a_wider_beam_is_no_worse_and_the_best_come_first():
    network, (source, lengths) = make(seed=3), sources()
    widths = [beam_search(network, source, lengths, width=w, limit=8, end=END, alpha=0.0).logs[:, 0] for w in (1, 200)]
    assert np.all(widths[1] >= widths[0] - 1e-5)
    found = beam_search(network, source, lengths, width=5, limit=8, end=END, best=5)
    assert np.all(np.diff(found.scores, axis=1) <= 0)
    assert all(len({tuple(row.tolist()) for row in each}) == 5 for each in np.asarray(found.symbols))


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("score", ["dot", "additive"])
def test_attention_of_a_pair_makes_the_contexts_that_the_network_reads(score, cell):
    network = make(score, cell)
    source, target = jnp.asarray([1, 4, 0, 2]), jnp.asarray([0, 1, 2])
    weights = attended(network, source, target)
    assert weights.shape == (3, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    decoding, before = network.encode(source[None]), jnp.asarray([network.start])
    attention = network.attention
    for t in range(3):
        decoding, said = network.step(decoding, before)
        top = jax.tree.leaves(decoding.states[-1])
        context = jnp.einsum("s,sn->n", weights[t], decoding.memory[..., 0])
        # Of an LSTM's two states one is its output: that one must lead to the network's logits.
        reads = [jnp.tanh(attention.combine(jnp.concatenate([context, state[:, 0]]))) for state in top]
        assert any(np.allclose(network.readout(read), said[0], rtol=1e-4, atol=1e-5) for read in reads)
        before = target[t : t + 1]


def test_what_cannot_be_searched_is_one_line():
    network, (source, lengths) = make(None), sources()
    for arguments, line in [
        ({"width": 0, "limit": 3}, "at least 1"),
        ({"width": 2, "limit": 3, "best": 3}, "best must be from 1"),
        ({"width": 2, "limit": 3, "end": 3}, "end must be one of"),
    ]:
        with pytest.raises(CapaxError, match=line):
            beam_search(network, source, lengths, **{"end": END, **arguments})
    with pytest.raises(CapaxError, match="no attention"):
        attended(network, source[0], jnp.asarray([0]))
    with pytest.raises(CapaxError, match="one source"):
        attended(make(), source, jnp.asarray([0]))
