"""The joint n-gram: learns rules from pairs, its search finds what listing all finds."""

import itertools

import numpy as np
import pytest

from capax.baselines import joint_ngram
from capax.baselines.joint_ngram import JointNgram, chosen

RULES = {0: [0], 1: [1, 1], 2: [], 3: [2]}
"""What each source symbol becomes; but 3 before 0 becomes 3."""


def translated(source):
    found = []
    for place, symbol in enumerate(source):
        before_0 = place + 1 < len(source) and source[place + 1] == 0
        found += [3] if symbol == 3 and before_0 else RULES[int(symbol)]
    return np.array(found, int)


def pairs(count, seed=0):
    random = np.random.default_rng(seed)
    sources = [random.integers(0, 4, random.integers(1, 8)) for _ in range(count)]
    return sources, [translated(source) for source in sources]


def test_rules_that_need_a_neighbour_are_learned():
    fitted = JointNgram.fit(*pairs(600), order=4)
    sources, targets = pairs(200, seed=1)
    found = fitted.answers(sources)
    right = [answers[0][0].tolist() == target.tolist() for answers, target in zip(found, targets, strict=True)]
    assert np.mean(right) > 0.97


def test_answers_are_those_of_all_targets_with_the_most_probability():
    sources, targets = pairs(60, seed=2)
    fitted = JointNgram.fit(sources, targets, order=3)
    source = np.array([1, 3, 0])

    def log(units):
        node, total = np.array([fitted.model.begin]), 0.0
        for unit in (*units, len(fitted.units)):
            node, more = fitted.model.step(node, np.array([unit]))
            total += float(more[0])
        return total

    def cuts(rest):
        """All ways to make the source of units; at most `INSERTED` without a source in a row."""
        for inserted in range(joint_ngram.INSERTED + 1):
            for first in itertools.product(empty, repeat=inserted):
                if not rest:
                    yield first
                for unit, side in enumerate(sides):
                    if side and rest[: len(side)] == side:
                        yield from ((*first, unit, *more) for more in cuts(rest[len(side) :]))

    sides = [tuple(int(s) for s in side if s >= 0) for side in fitted.units.sources]
    empty = [unit for unit, side in enumerate(sides) if not side]
    totals = {}
    for units in cuts(tuple(source.tolist())):
        target = fitted.units.targets[list(units)].ravel()
        key = tuple(target[target >= 0].tolist())
        totals[key] = np.logaddexp(totals.get(key, -np.inf), log(units))
    expected = sorted(totals.items(), key=lambda item: -item[1])[:3]
    found = fitted.answers([source], beam=2000, best=3)[0]
    assert [tuple(answer.tolist()) for answer, _ in found] == [target for target, _ in expected]
    # What lies far behind the best is dropped on the way: sums are a little less than all.
    np.testing.assert_allclose([log for _, log in found], [log for _, log in expected], atol=1e-3)


def test_symbols_that_never_occurred_are_left_out():
    fitted = JointNgram.fit(*pairs(300), order=3)
    known, unknown = fitted.answers([np.array([0, 1]), np.array([0, 99, 1])])
    assert known[0][0].tolist() == unknown[0][0].tolist() == [0, 1, 1]
    assert len(fitted.answers([np.array([99])])[0][0][0]) <= joint_ngram.INSERTED
    assert fitted.answers([np.array([], int)])[0]


@pytest.mark.parametrize("together", [1, 7])
def test_sources_are_decoded_alike_alone_and_together(monkeypatch, together):
    fitted = JointNgram.fit(*pairs(200), order=3)
    sources, _ = pairs(20, seed=3)
    expected = fitted.answers(sources, best=2)
    monkeypatch.setattr(joint_ngram, "TOGETHER", together)
    for one, other in zip(fitted.answers(sources, best=2), expected, strict=True):
        assert [answer.tolist() for answer, _ in one] == [answer.tolist() for answer, _ in other]
        np.testing.assert_allclose([log for _, log in one], [log for _, log in other], rtol=1e-12)


def test_the_order_with_the_least_error_is_chosen():
    asked = {2: 0.5, 3: 0.2, 4: 0.3, 5: 0.3, 6: 0.0}
    model, errors = chosen(*pairs(100), error=lambda fitted: asked[fitted.model.order])
    assert model.model.order == 3 and errors == {2: 0.5, 3: 0.2, 4: 0.3, 5: 0.3}
