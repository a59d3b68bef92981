"""Sequence to sequence without a network: an n-gram model over joint units (Bisani & Ney 2008).

Pairs are cut into joint units (`baselines.alignment`); a modified Kneser-Ney model of them
(`baselines.ngram`) gives the probability of a source and a target together. A source is answered
with the targets that make it likeliest, found by a beam search that sums over ways to cut.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from capax.baselines import ngram
from capax.baselines.alignment import Units, align
from capax.baselines.ngram import Ngram

Symbols = Int[np.ndarray, " _"]
Answer = tuple[Symbols, float]
"""A target, and the natural logarithm of its probability together with the source."""

ORDERS = (2, 3, 4, 5, 6, 7, 8)
BEAM = 16
"""Beginnings of targets that are kept for each source and each of its places."""
BEHIND = 12.0
"""Beginnings whose logarithm is so far behind the best are dropped."""
INSERTED = 2
"""Units without a source that may follow one another."""
SKIPPED = -14.0
"""The logarithm of the probability to leave out a symbol of the source that no unit explains."""
TOGETHER = 512
"""Sources that are decoded at once."""
_HASH = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True, eq=False)
class JointNgram:
    """A fitted model. The symbol after the last unit, `len(units)`, ends a pair."""

    units: Units
    model: Ngram

    @staticmethod
    def fit(sources: Sequence[Symbols], targets: Sequence[Symbols], order: int) -> "JointNgram":
        """A model of this order, of pairs of symbols from 0."""
        units, cuts = align(sources, targets)
        return JointNgram.of(units, cuts, order)

    @staticmethod
    def of(units: Units, cuts: Sequence[Symbols], order: int) -> "JointNgram":
        """A model of pairs that are cut into units already."""
        end = len(units)
        row = np.concatenate([np.concatenate([[end + 1], cut, [end]]) for cut in cuts])
        return JointNgram(units, ngram.fit(row, end + 1, order))

    def answers(self, sources: Sequence[Symbols], *, beam: int = BEAM, best: int = 1) -> list[list[Answer]]:
        """For each source, the `best` likeliest targets that were found, the likeliest first.

        Symbols of a source that never occurred are left out."""
        table, found = _Table.of(self.units), []
        for begin in range(0, len(sources), TOGETHER):
            search = _Search(self, table, sources[begin : begin + TOGETHER], beam)
            found += search.run(best)
        return found


def chosen(
    sources: Sequence[Symbols],
    targets: Sequence[Symbols],
    error: Callable[[JointNgram], float],
    orders: Sequence[int] = ORDERS,
) -> tuple[JointNgram, dict[int, float]]:
    """The model of the order with the least error, and the errors of all orders that were tried.

    `error`: of a model, on the validation part. Higher orders are tried as long as they are better.
    """
    units, cuts = align(sources, targets)
    errors: dict[int, float] = {}
    models: dict[int, JointNgram] = {}
    for order in orders:
        models[order] = JointNgram.of(units, cuts, order)
        errors[order] = error(models[order])
        if len(errors) > 2 and min(errors, key=lambda o: errors[o]) < order - 1:
            break
    best = min(errors, key=lambda o: errors[o])
    return models[best], errors


class _Table(NamedTuple):
    """Units by their source: `order` lists units; those of the source with number `key` among
    `keys` are from `starts` on, `counts` of them. `hashes`, `factors`: what a unit's target does to
    the hash of a target.
    """

    size: int
    keys: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    order: np.ndarray
    hashes: np.ndarray
    factors: np.ndarray

    @staticmethod
    def of(units: Units) -> "_Table":
        size = 2 + int(units.sources.max(initial=0))
        key = (units.sources[:, 0] + 1) * size + units.sources[:, 1] + 1
        order = np.argsort(key, kind="stable")
        keys, starts, counts = np.unique(key[order], return_index=True, return_counts=True)
        hashes, factors = np.zeros(len(units), np.uint64), np.ones(len(units), np.uint64)
        for column in units.targets.T:
            there = column >= 0
            hashes[there] = hashes[there] * _HASH + (column[there] + 1).astype(np.uint64)
            factors[there] *= _HASH
        return _Table(size, keys, starts, counts, order, hashes, factors)

    def with_source(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each asked source, of one or two symbols (-1: none): its place in the question, and a
        unit, a row for every unit that it has."""
        inside = (first < self.size - 1) & (second < self.size - 1)
        asked = np.where(inside, (first + 1) * self.size + second + 1, -1)
        place = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        counts = np.where(self.keys[place] == asked, self.counts[place], 0)
        rows = np.repeat(np.arange(len(asked)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self.order[self.starts[place][rows] + within]


class _Beam(NamedTuple):
    """Beginnings of targets, a row each: of which word; its node of the model; its logarithm; the
    hash of its target; its number in the search's history."""

    word: np.ndarray
    node: np.ndarray
    log: np.ndarray
    hash: np.ndarray
    number: np.ndarray

    def at(self, rows: np.ndarray) -> "_Beam":
        return _Beam(*(column[rows] for column in self))


class _Search:
    """The beam search over a batch of sources, by places of the source from left to right."""

    def __init__(self, fitted: JointNgram, table: _Table, sources: Sequence[Symbols], beam: int):
        self.fitted, self.table, self.beam = fitted, table, beam
        self.lengths = np.array([len(source) for source in sources], int)
        longest = int(self.lengths.max(initial=0))
        self.sources = np.full((len(sources), longest + 2), -1)
        for row, source in zip(self.sources, sources, strict=True):
            row[: len(source)] = source
        words = np.arange(len(sources))
        node = np.full(len(words), fitted.model.begin)
        start = _Beam(words, node, np.zeros(len(words)), np.zeros(len(words), np.uint64), np.full(len(words), -1))
        self.waiting: list[list[_Beam]] = [[] for _ in range(longest + 3)]
        self.waiting[0].append(start)
        self.parents: list[np.ndarray] = [np.empty(0, np.int64)]
        self.said: list[np.ndarray] = [np.empty(0, np.int64)]
        self.numbered = 0
        self.ended: list[_Beam] = []

    def run(self, best: int) -> list[list[Answer]]:
        for place in range(self.sources.shape[1] - 1):
            if not self.waiting[place]:
                continue
            now = self._pruned(self.waiting[place])
            self.waiting[place] = []
            now = self._with_insertions(now)
            over = self.lengths[now.word] == place
            self._end(now.at(over))
            self._consume(now.at(~over), place)
        return self._answers(best)

    def _with_insertions(self, now: _Beam) -> _Beam:
        none = np.array([-1])
        if not len(self.table.with_source(none, none)[0]):
            return now
        newest = now
        for _ in range(INSERTED):
            nothing = np.full(len(newest.word), -1)
            newest = self._extended(newest, *self.table.with_source(nothing, nothing))
            # Those that stay are inserted ones of this round, and all before.
            newest = self._pruned([newest])
            now = self._pruned([now, newest])
        return now

    def _consume(self, now: _Beam, place: int) -> None:
        first, second = self.sources[now.word, place], self.sources[now.word, place + 1]
        rows, units = self.table.with_source(first, np.full(len(first), -1))
        self.waiting[place + 1].append(self._extended(now, rows, units))
        explained = np.zeros(len(first), bool)
        explained[rows] = True
        skipped = now.at(~explained)
        self.waiting[place + 1].append(skipped._replace(log=skipped.log + SKIPPED))
        pairs = np.flatnonzero(second >= 0)
        rows, units = self.table.with_source(first[pairs], second[pairs])
        self.waiting[place + 2].append(self._extended(now, pairs[rows], units))

    def _extended(self, now: _Beam, rows: np.ndarray, units: np.ndarray) -> _Beam:
        """What comes of rows of a beam with these units."""
        before = now.at(rows)
        node, log = self.fitted.model.step(before.node, units)
        code = before.hash * self.table.factors[units] + self.table.hashes[units]
        number = self.numbered + np.arange(len(rows))
        self.numbered += len(rows)
        self.parents.append(before.number)
        self.said.append(units)
        return _Beam(before.word, node, before.log + log, code, number)

    def _pruned(self, parts: list[_Beam]) -> _Beam:
        """One row for the same target and node, with their sum; of each word, the best rows."""
        found = _Beam(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        best = np.full(len(self.lengths), -np.inf)
        np.maximum.at(best, found.word, found.log)
        found = _together(found.at(found.log > best[found.word] - BEHIND), by_node=True)
        order = np.lexsort((-found.log, found.word))
        found = found.at(order)
        _, starts, counts = np.unique(found.word, return_index=True, return_counts=True)
        rank = np.arange(len(order)) - np.repeat(starts, counts)
        return found.at(rank < self.beam)

    def _end(self, now: _Beam) -> None:
        ends = np.full(len(now.word), len(self.fitted.units))
        _, log = self.fitted.model.step(now.node, ends)
        self.ended.append(now._replace(log=now.log + log))

    def _answers(self, best: int) -> list[list[Answer]]:
        ended = _together(_Beam(*(np.concatenate(column) for column in zip(*self.ended, strict=True))), by_node=False)
        ended = ended.at(np.lexsort((-ended.log, ended.word)))
        parents, said = np.concatenate(self.parents), np.concatenate(self.said)
        starts = np.searchsorted(ended.word, np.arange(len(self.lengths) + 1))
        return [
            [
                (self._target(int(ended.number[row]), parents, said), float(ended.log[row]))
                for row in range(low, min(high, low + best))
            ]
            for low, high in itertools.pairwise(starts.tolist())
        ]

    def _target(self, number: int, parents: np.ndarray, said: np.ndarray) -> Symbols:
        """What a row of the search says, followed back to its begin."""
        units = []
        while number >= 0:
            units.append(int(said[number]))
            number = int(parents[number])
        symbols = self.fitted.units.targets[units[::-1]].ravel()
        return symbols[symbols >= 0]


def _together(rows: _Beam, by_node: bool) -> _Beam:
    """Rows of the same word and target (and node) as one: the likeliest, with the sum of all."""
    if not len(rows.word):
        return rows
    keys = (rows.hash, rows.node, rows.word) if by_node else (rows.hash, rows.word)
    order = np.lexsort((-rows.log, *keys))
    rows = rows.at(order)
    keys = (rows.hash, rows.node, rows.word) if by_node else (rows.hash, rows.word)
    new = np.ones(len(order), bool)
    new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    starts = np.flatnonzero(new)
    return rows.at(starts)._replace(log=np.logaddexp.reduceat(rows.log, starts))
