"""Connectionist temporal classification: a target has the probability of all ways to say it."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from capax.errors import CapaxError
from capax.scoring import ctc

PLACES, SYMBOLS = 4, 3  # two symbols and the blank
BLANK = SYMBOLS - 1


def probabilities(seed, places=PLACES):
    found = np.random.default_rng(seed).gamma(0.5, size=(places, SYMBOLS)) + 0.01
    return found / found.sum(axis=1, keepdims=True)


def said(way):
    merged = [symbol for number, symbol in enumerate(way) if number == 0 or way[number - 1] != symbol]
    return tuple(symbol for symbol in merged if symbol != BLANK)


def by_hand(p):
    """The probability of each target, by all ways to say it."""
    found = {}
    for way in itertools.product(range(SYMBOLS), repeat=len(p)):
        found[said(way)] = found.get(said(way), 0.0) + math.prod(p[place, symbol] for place, symbol in enumerate(way))
    return found


def losses(p, targets, places=None):
    logits = jnp.log(jnp.asarray(np.repeat(p[None], len(targets), axis=0), jnp.float32))
    padded = np.zeros((len(targets), PLACES), np.int32)
    for row, target in zip(padded, targets, strict=True):
        row[: len(target)] = target
    sizes = jnp.asarray([len(target) for target in targets])
    return np.asarray(ctc.losses(logits, jnp.full(len(targets), places or len(p)), jnp.asarray(padded), sizes))


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_all_ways_to_say_a_target(seed):
    p = probabilities(seed)
    expected = by_hand(p)
    assert sum(expected.values()) == pytest.approx(1)
    found = losses(p, list(expected))
    np.testing.assert_allclose(np.exp(-found), list(expected.values()), rtol=1e-4)


def test_places_behind_a_length_do_not_count():
    p = probabilities(5)
    shorter = by_hand(p[:3])
    np.testing.assert_allclose(np.exp(-losses(p, list(shorter), places=3)), list(shorter.values()), rtol=1e-4)


def test_a_target_that_does_not_fit_counts_as_guessed():
    fits, too_long = losses(probabilities(0), [(0, 1, 0, 1), (0, 0, 0)])
    assert too_long == pytest.approx(4 * math.log(SYMBOLS)) and fits != pytest.approx(5 * math.log(SYMBOLS))


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_search_finds_the_likeliest_targets_in_order(seed):
    p = probabilities(seed)
    expected = by_hand(p)
    ordered = sorted(expected, key=lambda target: -expected[target])
    (found,) = ctc.search(np.log(p)[None], np.array([PLACES]), width=40, best=5)
    assert found == ordered[:5]


def test_the_likeliest_target_is_not_that_of_the_likeliest_way():
    p = np.array([[0.4, 0.0, 0.6], [0.4, 0.0, 0.6]]) + 1e-9
    (found,) = ctc.search(np.log(p)[None], np.array([2]), width=4)
    assert said(p.argmax(axis=1)) == () and found == [(0,)]  # .64 against .36


def test_sequences_of_different_lengths_are_searched_apart():
    one, other = probabilities(1), probabilities(2)
    both = ctc.search(np.log(np.stack([one, other])), np.array([2, 4]), width=8)
    assert both == [
        ctc.search(np.log(one[None, :2]), np.array([2]), width=8)[0],
        ctc.search(np.log(other[None]), np.array([4]), width=8)[0],
    ]
    assert ctc.search(np.log(one[None]), np.array([0]), width=8) == [[()]]


def test_outputs_are_places_step_by_step():
    outputs = jnp.arange(2.0 * SYMBOLS * 5 * 3).reshape(2 * SYMBOLS, 5, 3)
    found = ctc.places(outputs, 2)
    assert found.shape == (3, 10, SYMBOLS)
    for step, slot in itertools.product(range(5), range(2)):
        due = outputs[slot * SYMBOLS : (slot + 1) * SYMBOLS, step].T
        np.testing.assert_array_equal(found[:, 2 * step + slot], due)


@pytest.mark.parametrize(("width", "best", "line"), [(0, 1, "at least 1"), (2, 3, "best must be from 1")])
def test_a_search_that_cannot_be_is_one_line(width, best, line):
    with pytest.raises(CapaxError, match=line):
        ctc.search(np.zeros((1, 2, 3)), np.array([2]), width=width, best=best)
