"""Transformer layers against a plain loop over queries, and what attention may see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax.cells.sequence import Dense, OneHot
from capax.cells.transformer import Transformer, TransformerEncoder, rotated
from capax.errors import CapaxError
from capax.networks import ways
from capax.networks.network import Network
from capax.networks.parts import count_parameters


def network(cell, **sizes):
    return Network.create(cell, **{"inputs": 5, "outputs": 3, "units": 16, "key": jax.random.key(0), **sizes})


def by_hand(cell, x):
    """One layer on one sequence (time, n), query by query, in NumPy."""
    A = lambda name: np.asarray(getattr(cell, name), np.float64)  # noqa: E731
    time, n = x.shape
    d = n // cell.heads

    def norm(part, x):
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6)
        return A("norm_scales")[part] * x + A("norm_biases")[part]

    def turn(vector, t):  # pairs (j, j + d/2) turned by t * 10000^(-2j/d)
        z = (vector[: d // 2] + 1j * vector[d // 2 :]) * np.exp(1j * t * 10_000.0 ** (-np.arange(d // 2) / (d // 2)))
        return np.concatenate([z.real, z.imag])

    q, k, v = np.split(norm(0, x) @ A("W_qkv").T, 3, axis=1)
    mixed = np.zeros_like(x)
    for t in range(time):
        seen = range(t + 1) if cell.demands.causal else range(time)
        for h in range(cell.heads):
            part = slice(h * d, (h + 1) * d)
            scores = np.array([turn(q[t, part], t) @ turn(k[s, part], s) / np.sqrt(d) for s in seen])
            weights = np.exp(scores - scores.max())
            mixed[t, part] = (weights / weights.sum()) @ np.array([v[s, part] for s in seen])
    x = x + mixed @ A("W_o").T
    hidden = np.asarray(jax.nn.gelu(jnp.asarray(norm(1, x) @ A("W_up").T + A("b_up"), jnp.float32)), np.float64)
    return x + hidden @ A("W_down").T + A("b_down")


@pytest.mark.parametrize("kind", [Transformer, TransformerEncoder])
def test_a_layer_is_attention_and_feed_forward_by_hand(kind):
    cell = network(kind).layers[0]
    x = np.random.default_rng(0).normal(size=(9, 16, 2)).astype(np.float32)
    found = np.asarray(cell.whole(jnp.asarray(x)))
    for sample in range(2):
        np.testing.assert_allclose(found[:, :, sample], by_hand(cell, x[:, :, sample]), atol=2e-5)


def test_a_causal_network_sees_no_later_input_and_an_encoder_does():
    x = jax.random.normal(jax.random.key(1), (12, 5))
    other = x.at[7].add(1.0)
    for name, seen_before in (("transformer", False), ("transformer-encoder", True)):
        made = network(name, depth=2)
        changed = np.abs(np.asarray(made(other) - made(x))).max(axis=1) > 1e-7
        assert changed[7:].all() and changed[:7].any() == seen_before


def test_scores_depend_on_distances_alone():
    x = jnp.broadcast_to(jax.random.normal(jax.random.key(2), (1, 1, 8, 1)), (20, 1, 8, 1))
    turned = np.asarray(rotated(x))[:, 0, :, 0]
    products = turned @ turned.T
    for lag in (0, 3, 11):
        np.testing.assert_allclose(np.diagonal(products, lag), products[0, lag], rtol=1e-4)


def test_its_parameters_are_counted_and_its_width_is_a_multiple_of_eight():
    # 4 n^2 of attention, 8 n^2 + 5 n of the feed-forward part, 4 n of norms; a final norm, input
    # map, and readout
    n = 16
    assert count_parameters(network("transformer")) == 12 * n * n + 9 * n + 2 * n + 6 * n + 3 * n + 3
    assert network("transformer", units=None, budget=10_000).layers[0].units % 8 == 0
    with pytest.raises(CapaxError, match="multiple of 8"):
        network("transformer", units=12)


def test_symbols_are_their_one_hot_vectors():
    made, symbols = network("transformer"), jnp.asarray([[1, 0], [4, 2], [3, 3]])
    dense = Dense(OneHot(symbols, 5).values_at_every_step())
    np.testing.assert_allclose(made.run(OneHot(symbols, 5)), made.run(dense), atol=1e-6)


def test_it_has_no_loop_to_fuse_and_goes_into_no_block():
    with pytest.raises(CapaxError, match="no loop over time"):
        network("transformer").run(Dense(jnp.zeros((4, 5, 16))), way=ways.KERNELS)
    with pytest.raises(CapaxError, match="does not go into a block"):
        network("block-transformer")
