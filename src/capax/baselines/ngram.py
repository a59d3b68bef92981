"""N-gram models with interpolated modified Kneser-Ney smoothing (Chen & Goodman 1999, eq. 25 and
26), for sequences of whole numbers.

A model is a tree of the runs of symbols that occur. A node is a context; it has a link to the
context without its first symbol, and a weight by which one falls back to it. Beside `size` symbols
there may be a `begin`, which stands before a sequence and is never predicted.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

ROOT = 0
"""The node of the empty context."""

Nodes = Int[np.ndarray, " asked"]
Symbols = Int[np.ndarray, " asked"]


@dataclasses.dataclass(frozen=True, eq=False)
class Ngram:
    """A fitted model.

    `first`: of each symbol, alone, the natural logarithm of its probability. `keys`: a node times
    (`size` + 1) plus a symbol, for each symbol that was seen after a context, in order; `logs` and
    `after`: its logarithm, and the node that then holds. `back` and `weights`: of each node, that
    of the shorter context, and the logarithm of the weight to fall back to it.
    """

    size: int
    order: int
    first: Float[np.ndarray, " symbols"]
    keys: Int[np.ndarray, " arcs"]
    logs: Float[np.ndarray, " arcs"]
    after: Int[np.ndarray, " arcs"]
    back: Int[np.ndarray, " nodes"]
    weights: Float[np.ndarray, " nodes"]

    @property
    def begin(self) -> int:
        """The node before the first symbol of a sequence."""
        return 1 + self.size if self.order > 1 else ROOT

    def step(self, nodes: Nodes, symbols: Symbols) -> tuple[Nodes, Float[np.ndarray, " asked"]]:
        """The nodes after these symbols, and the natural logarithms of their probabilities."""
        logs, after = np.zeros(len(nodes)), np.empty(len(nodes), np.int64)
        left, at = np.arange(len(nodes)), nodes.astype(np.int64)
        while len(left):
            asked = at * (self.size + 1) + symbols[left]
            place = np.minimum(np.searchsorted(self.keys, asked), max(0, len(self.keys) - 1))
            known = self.keys[place] == asked if len(self.keys) else np.zeros(len(asked), bool)
            logs[left[known]] += self.logs[place[known]]
            after[left[known]] = self.after[place[known]]
            left, at = left[~known], at[~known]
            over = at == ROOT
            alone = left[over]
            logs[alone] += self.first[symbols[alone]]
            after[alone] = 1 + symbols[alone] if self.order > 1 else ROOT
            left, at = left[~over], at[~over]
            logs[left] += self.weights[at]
            at = self.back[at]
        return after, logs

    def logs_of(self, symbols: Int[np.ndarray, " time"], known: int = 0) -> Float[np.ndarray, " scored"]:
        """Natural logarithms of the probabilities of all symbols of a long sequence but the first
        `known`, each after those before it."""
        nodes = np.full(len(symbols) - known, ROOT)
        places = np.arange(known, len(symbols))
        for ago in range(self.order - 1, 0, -1):
            there = places >= ago
            nodes[there], _ = self.step(nodes[there], symbols[places[there] - ago])
        return self.step(nodes, symbols[places])[1]


def fit(symbols: Int[np.ndarray, " time"], size: int, order: int) -> Ngram:
    """A model of this order (1: symbols alone), of symbols 0 .. size - 1, in one row. `size` itself
    stands before each sequence, if there are several: nothing reaches across it.
    """
    begins = symbols == size
    depth = _depths(begins, order)
    grams = [_Level(symbols.astype(np.int64), np.flatnonzero(~begins), np.arange(size + 1), None)]
    ids = symbols.astype(np.int64)
    for k in range(2, order + 1):
        level, ids = _longer(grams[-1], ids, symbols, np.flatnonzero(~begins & (depth >= k)), size)
        grams.append(level)
    return _model(grams, symbols, depth, size, order)


@dataclasses.dataclass(frozen=True)
class _Level:
    """The runs of k symbols: `ids` of those that end at each of `places`; `keys`, of each its first
    k - 1 symbols' number times (size + 1) plus the last; `suffix`, of each the number of its last
    k - 1.
    """

    ids: np.ndarray
    places: np.ndarray
    keys: np.ndarray
    suffix: np.ndarray | None


def _depths(begins: np.ndarray, order: int) -> np.ndarray:
    """How many symbols up to and with each place belong to its sequence, its begin among them."""
    places = np.arange(len(begins))
    last = np.maximum.accumulate(np.where(begins, places, 0))
    return np.minimum(places - last + 1, order)


def _longer(below: _Level, ids: np.ndarray, symbols: np.ndarray, places: np.ndarray, size: int):
    """The runs that are one symbol longer; and the numbers of those that end at each place."""
    found = ids[places - 1] * (size + 1) + symbols[places]
    keys, first, numbers = np.unique(found, return_index=True, return_inverse=True)
    longer = np.full(len(symbols), -1)
    longer[places] = numbers
    return _Level(numbers, places, keys, ids[places[first]]), longer


def _counts(grams: list[_Level], k: int, depth: np.ndarray) -> np.ndarray:
    """Of the runs of k symbols: how often the longest occur, and of shorter ones after how many
    different symbols; of those at a sequence's begin, how often they occur.
    """
    level = grams[k - 1]
    ids = level.ids[level.places] if k == 1 else level.ids
    kinds = len(level.keys)
    often = np.bincount(ids, minlength=kinds)
    if k == len(grams):
        return often
    suffix = grams[k].suffix
    assert suffix is not None
    different = np.bincount(suffix, minlength=kinds)
    at_begin = np.bincount(ids[depth[level.places] <= k], minlength=kinds) > 0
    return np.where(at_begin | (different == 0), often, different)


def discounts(counts: Int[np.ndarray, " runs"]) -> Float[np.ndarray, "4"]:
    """What is taken of counts of 0, 1, 2, and more (Chen & Goodman 1999, eq. 26); of half of what
    there is, where there are too few runs to know."""
    n1, n2, n3, n4 = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if not n1 or not n2:
        return np.array([0.0, 0.5, 0.5, 0.5])
    y = n1 / (n1 + 2 * n2)
    two = 2 - 3 * y * n3 / n2
    more = 3 - 4 * y * n4 / n3 if n3 else two
    return np.array([0.0, 1 - 2 * y * n2 / n1, np.clip(two, 0.1, 1.9), np.clip(more, 0.1, 2.9)])


def _model(grams: list[_Level], symbols: np.ndarray, depth: np.ndarray, size: int, order: int) -> Ngram:
    kinds = [len(level.keys) for level in grams]
    offsets = 1 + np.concatenate([[0], np.cumsum(kinds)])
    nodes = int(offsets[order - 1])  # contexts are the runs of up to order - 1 symbols
    back, weights = np.zeros(nodes, np.int64), np.zeros(nodes)
    counts = _counts(grams, 1, depth)[:size]
    share, left = _shares(counts, np.zeros(size, np.int64), 1)
    below = share + left[0] / size
    first = np.log(below)
    below = np.append(below, 0.0)
    arcs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for k in range(2, order + 1):
        level = grams[k - 1]
        assert level.suffix is not None
        context, last = np.divmod(level.keys, size + 1)
        share, left = _shares(_counts(grams, k, depth), context, kinds[k - 2])
        begin = offsets[k - 2]
        weights[begin : begin + kinds[k - 2]] = np.log(left)
        below = share + left[context] * below[level.suffix]
        number = np.arange(kinds[k - 1])
        own = offsets[k - 1] + number if k < order else offsets[k - 2] + level.suffix
        if k < order:
            back[own] = offsets[k - 2] + level.suffix
        arcs.append(((begin + context) * (size + 1) + last, np.log(below), own))
    parts = [np.concatenate(part) if arcs else np.empty(0) for part in zip(*arcs, strict=True)] if arcs else None
    keys, logs, after = parts or (np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    return Ngram(size, order, first, keys, logs, after, back, weights)


def _shares(counts: np.ndarray, context: np.ndarray, contexts: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each run, its discounted share of its context; of each context, the weight that is left
    for the shorter one."""
    taken = np.minimum(discounts(counts)[np.minimum(counts, 3)], counts)
    total = np.bincount(context, counts, contexts)
    left = np.bincount(context, taken, contexts)
    known = np.maximum(total, 1e-300)
    return (counts - taken) / known[context], np.where(total > 0, left / known, 1.0)
