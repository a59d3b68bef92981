"""Generation: symbols are drawn as softmax, temperature, top-k, and top-p say, and never others."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from capax.errors import CapaxError
from capax.networks import sampling
from capax.networks.network import Network
from capax.networks.sampling import Sampling, generate

SYMBOLS = 6


def make(cell="gru", seed=0, symbols=SYMBOLS):
    return Network.create(cell, inputs=symbols, outputs=symbols, units=8, depth=2, key=jax.random.key(seed))


def expected(logits, temperature, top_k, top_p):
    """The probabilities, by a loop over symbols from the likeliest on."""
    logits = np.asarray(logits, np.float64)
    p = np.exp(logits / temperature - np.max(logits / temperature))
    order = np.argsort(-p, kind="stable")
    kept = order[: top_k or len(p)]
    shares = p[kept] / p[kept].sum()
    nucleus, total = [], 0.0
    for symbol, share in zip(kept, shares, strict=True):
        nucleus.append(symbol)
        total += share
        if total >= top_p:
            break
    found = np.zeros(len(p))
    found[nucleus] = p[nucleus] / p[nucleus].sum()
    return found


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 3, 20])
@pytest.mark.parametrize("top_p", [1.0, 0.83, 0.4, 0.01])
def test_probabilities_are_softmax_of_the_likeliest(temperature, top_k, top_p):
    logits = np.random.default_rng(0).normal(size=9).astype(np.float32) * 2
    found = Sampling.of(temperature, top_k, top_p).log_probabilities(jnp.asarray(logits))
    np.testing.assert_allclose(np.exp(found), expected(logits, temperature, top_k, top_p), atol=2e-6)


def test_a_temperature_of_0_takes_the_likeliest_symbol():
    logits = jnp.asarray([0.0, 2.0, 2.0, 1.0])
    found = np.exp(Sampling.of(0.0, 3, 0.5).log_probabilities(logits))
    np.testing.assert_array_equal(found, [0, 1, 0, 0])


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5}, {"top_k": 3}, {"temperature": 1.5, "top_p": 0.6}])
def test_drawn_symbols_have_these_probabilities(settings):
    """Each symbol follows its context with the probabilities that the network says of it: a test of
    chi squared over the first symbol, of 3,000 seeds."""
    network, prompt = jax.tree.map(lambda leaf: 3 * leaf, make()), [1, 2, 3]
    standing, never = sampling.read(network, np.array(prompt, np.int32)), jnp.zeros(SYMBOLS)
    logits = np.asarray(network(jnp.asarray(prompt)))[-1]
    np.testing.assert_allclose(standing.logits, logits, rtol=1e-5, atol=1e-6)
    p = expected(logits, settings.get("temperature", 1.0), settings.get("top_k", 0), settings.get("top_p", 1.0))
    keys = jax.vmap(jax.random.key)(jnp.arange(3000))
    draw = jax.jit(jax.vmap(lambda key: sampling._chunk(network, standing, Sampling.of(**settings), key, never)[1][0]))
    counts = np.bincount(np.asarray(draw(keys)), minlength=SYMBOLS)
    assert counts[p == 0].sum() == 0
    assert scipy.stats.chisquare(counts[p > 0], 3000 * p[p > 0]).pvalue > 1e-4


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("cell", ["gru", "lstm", "lru"])
def test_what_is_generated_is_what_the_network_says_of_the_whole(cell):
    network, prompt = make(cell), np.random.default_rng(1).integers(0, SYMBOLS, 150)
    found = list(generate(network, prompt, length=100, sampling=Sampling.of(0)))
    whole = np.concatenate([prompt, found])
    logits = np.asarray(network(jnp.asarray(whole)))
    np.testing.assert_array_equal(np.argmax(logits[149:-1], axis=1), found)


def test_the_same_seed_draws_the_same_symbols_whatever_the_length():
    network = make()
    whole = list(generate(network, [0], length=150, seed=5))
    assert len(whole) == 150 and list(generate(network, [0], length=70, seed=5)) == whole[:70]
    assert list(itertools.islice(generate(network, [0], seed=5), 130)) == whole[:130]
    assert list(generate(network, [0], length=150, seed=6)) != whole
    assert list(generate(network, [0], length=0)) == []


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_symbols_that_are_left_out_are_never_drawn(temperature):
    network = make()
    found = list(generate(network, [0], length=400, sampling=Sampling.of(temperature), never=[0, 2, 5]))
    assert set(found) <= {1, 3, 4}
    if temperature:
        assert set(found) == {1, 3, 4}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"prompt": []}, "at least one symbol"),
        ({"prompt": [SYMBOLS]}, "from 0 to 5"),
        ({"length": -1}, "length must be"),
        ({"never": range(SYMBOLS)}, "no symbol is left"),
        ({"sampling": {"temperature": -1.0}}, "temperature must be"),
        ({"sampling": {"temperature": float("nan")}}, "temperature must be"),
        ({"sampling": {"top_k": -1}}, "top-k must be"),
        ({"sampling": {"top_p": 0.0}}, "top-p must be"),
        ({"sampling": {"top_p": 1.1}}, "top-p must be"),
    ],
)
def test_what_cannot_be_generated_is_one_line(arguments, line):
    given = {"prompt": [0], **arguments}
    with pytest.raises(CapaxError, match=line):
        if "sampling" in given:
            given["sampling"] = Sampling.of(**given["sampling"])
        generate(make(), given.pop("prompt"), **given)
