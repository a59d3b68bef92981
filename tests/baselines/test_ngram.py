"""N-gram models against a slow dictionary of the same equations; probabilities add up to 1."""

import collections
import itertools

import numpy as np
import pytest

from capax.baselines import ngram

SIZE = 4


def sequences(count=40, longest=7, seed=0):
    random = np.random.default_rng(seed)
    return [random.choice(SIZE, size=random.integers(0, longest), p=[0.5, 0.3, 0.15, 0.05]) for _ in range(count)]


def in_a_row(parts):
    """Each sequence behind its begin, and with the end, symbol SIZE, at its end."""
    return np.concatenate([np.concatenate([[SIZE + 1], part, [SIZE]]) for part in parts])


class Slow:
    """Interpolated modified Kneser-Ney by dictionaries, one probability at a time."""

    def __init__(self, parts, size, order):
        self.size, self.order = size, order
        raw = [collections.Counter() for _ in range(order + 1)]
        for part in parts:
            for end in range(len(part)):
                for k in range(1, min(order, end + 1) + 1):
                    if part[end] != size:
                        raw[k][tuple(part[end - k + 1 : end + 1])] += 1
        self.counts = raw
        for k in range(1, order):
            left = collections.Counter(gram[1:] for gram in raw[k + 1])
            self.counts[k] = {
                gram: n if gram[0] == size or not left[gram] else left[gram] for gram, n in raw[k].items()
            }
        self.taken = [None, *(ngram.discounts(np.array(list(self.counts[k].values()))) for k in range(1, order + 1))]

    def probability(self, context, symbol):
        context = tuple(context[-(self.order - 1) :]) if self.order > 1 else ()
        return self._level(context, symbol)

    def _level(self, context, symbol):
        k = len(context) + 1
        below = self._level(context[1:], symbol) if context else 1 / self.size
        followed = {gram[-1]: n for gram, n in self.counts[k].items() if gram[:-1] == context}
        if not followed:
            return below
        total = sum(followed.values())
        taken = {s: min(n, self.taken[k][min(n, 3)]) for s, n in followed.items()}
        own = followed.get(symbol, 0) - taken.get(symbol, 0)
        return (own + sum(taken.values()) * below) / total


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_slow_dictionaries(order):
    row = in_a_row(sequences())
    model = ngram.fit(row, SIZE + 1, order)
    parts = [[SIZE + 1, *part.tolist(), SIZE] for part in sequences()]
    slow = Slow(parts, SIZE + 1, order)
    for given in [(), (0,), (1, 0), (3, 3, 2), (0, 0, 0, 0, 1)]:
        node = np.array([model.begin])
        for symbol in given:
            node, _ = model.step(node, np.array([symbol]))
        for symbol in range(SIZE + 1):
            expected = slow.probability((SIZE + 1, *given), symbol)
            assert np.exp(model.step(node, np.array([symbol]))[1][0]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 4, 7])
@pytest.mark.parametrize("count", [1, 3, 60])
def test_probabilities_add_up_to_1_after_whatever_context(order, count):
    model = ngram.fit(in_a_row(sequences(count)), SIZE + 1, order)
    for begin in (model.begin, ngram.ROOT):
        for given in itertools.product(range(SIZE + 1), repeat=3):
            node = np.array([begin])
            for symbol in given:
                node, _ = model.step(node, np.array([symbol]))
            _, logs = model.step(np.repeat(node, SIZE + 1), np.arange(SIZE + 1))
            assert np.exp(logs).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", [1, 3, 6])
def test_a_long_sequence_is_scored_as_symbol_after_symbol(order):
    random = np.random.default_rng(1)
    training, other = random.integers(0, 3, 500), random.integers(0, 3, 60)
    model = ngram.fit(training, 3, order)
    node, expected = np.array([ngram.ROOT]), []
    for symbol in other:
        node, log = model.step(node, np.array([symbol]))
        expected.append(log[0])
    np.testing.assert_allclose(model.logs_of(other), expected, rtol=1e-12)
    np.testing.assert_allclose(model.logs_of(other, known=7), expected[7:], rtol=1e-12)


def test_a_text_that_repeats_itself_is_known_by_heart():
    text = np.tile([0, 1, 2, 0, 2], 200)
    scored = ngram.fit(text, 3, 4).logs_of(np.tile([0, 1, 2, 0, 2], 10), known=5)
    assert -scored.mean() < 0.02
