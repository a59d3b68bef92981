"""Pairs cut into joint units: a case made by hand, expectations against all ways to cut."""

import numpy as np

from capax.baselines import alignment
from capax.baselines.alignment import MOVES, align


def symbols(text):
    return np.array([ord(letter) - ord("a") for letter in text], int)


def shown(units, cut):
    def text(side):
        return "".join(chr(ord("a") + symbol) for symbol in side if symbol >= 0)

    return [(text(units.sources[unit]), text(units.targets[unit])) for unit in cut]


def test_letters_that_go_together_are_found():
    """Every 'x' is 'ks', every 'ph' is 'f', other letters themselves; 'e' at the end is silent."""
    random = np.random.default_rng(0)
    sources, targets = [], []
    for _ in range(400):
        source = "".join(random.choice(list("abmnrt"), size=random.integers(1, 4)))
        target = source
        place = int(random.integers(0, len(source) + 1))
        extra = [("x", "ks"), ("ph", "f"), ("", "")][random.integers(0, 3)]
        sources.append(symbols(source[:place] + extra[0] + source[place:] + "e"))
        targets.append(symbols(target[:place] + extra[1] + target[place:]))
    sources.append(symbols("maxphe"))
    targets.append(symbols("maksf"))
    units, cuts = align(sources, targets)
    assert shown(units, cuts[-1]) == [("m", "m"), ("a", "a"), ("x", "ks"), ("ph", "f"), ("e", "")]


def test_every_cut_is_its_pair():
    random = np.random.default_rng(1)
    sources = [random.integers(0, 3, random.integers(0, 6)) for _ in range(60)]
    targets = [random.integers(0, 4, random.integers(0 if len(s) else 1, 6)) for s in sources]
    units, cuts = align(sources, targets, rounds=3)
    assert len(cuts) == 60
    for source, target, cut in zip(sources, targets, cuts, strict=True):
        found = units.sources[cut].ravel(), units.targets[cut].ravel()
        np.testing.assert_array_equal(found[0][found[0] >= 0], source)
        np.testing.assert_array_equal(found[1][found[1] >= 0], target)


def ways_to_cut(source, target):
    if not len(source) and not len(target):
        yield []
    for rows, columns in MOVES:
        if len(source) >= rows and len(target) >= columns:
            first = (tuple(source[:rows]), tuple(target[:columns]))
            yield from ([first, *rest] for rest in ways_to_cut(source[rows:], target[columns:]))


def test_expected_counts_are_sums_over_all_ways_to_cut():
    source, target = np.array([0, 1, 0]), np.array([1, 1, 2])
    groups, units = alignment._groups([source], [target], 0)
    probabilities = np.random.default_rng(2).dirichlet(np.ones(len(units)))
    number = {}
    for unit in range(len(units)):
        sides = (units.sources[unit], units.targets[unit])
        number[tuple(tuple(int(symbol) for symbol in side if symbol >= 0) for side in sides)] = unit
    expected, total = np.zeros(len(units)), 0.0
    for way in ways_to_cut(tuple(source.tolist()), tuple(target.tolist())):
        cut = [number[first] for first in way]
        weight = float(np.prod(probabilities[cut]))
        np.add.at(expected, cut, weight)
        total += weight
    found, log = alignment._expected(groups[0], probabilities, 1.7, len(units))
    np.testing.assert_allclose(found, expected / total, rtol=1e-12)
    assert abs(log - np.log(total)) < 1e-12


def test_of_more_pairs_than_memory_holds_a_part_is_cut(monkeypatch):
    monkeypatch.setattr(alignment, "MOST_PLACES", 1000)
    pairs = [np.array([0, 1, 2])] * 100
    _, cuts = align(pairs, pairs)
    assert len(cuts) == 1000 // (len(MOVES) * 16)
