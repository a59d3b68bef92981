"""Pairs of sequences cut into joint units: a few symbols of a source with a few of its target
(Bisani & Ney 2008), by expectation maximisation (Dempster, Laird & Rubin 1977).

A unit has one symbol with one, one with two, two with one, or one with none. All ways to cut a pair
are summed over a grid of (source symbols + 1) x (target symbols + 1) points. Pairs of equal lengths
are done together.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

MOVES = ((1, 1), (1, 0), (0, 1), (1, 2), (2, 1))
"""Symbols of the source and of the target that a unit may have. Several with several is left out:
expectation maximisation would take such units for whole words."""

ROUNDS = 16
MOST_PLACES = 60_000_000
"""So many places of units in all pairs are kept in memory (240 MB); of more pairs a random part is
aligned."""
RARE = 1e-9
"""Least probability of a unit, so that every pair can be cut."""

Symbols = Int[np.ndarray, " _"]


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """The joint units. `sources` and `targets`: the symbols of each, -1 where it has fewer than
    two.
    """

    sources: Int[np.ndarray, "units 2"]
    targets: Int[np.ndarray, "units 2"]

    def __len__(self) -> int:
        return len(self.sources)


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """Pairs with a source of `rows` and a target of `columns` symbols; `pairs`, their numbers.
    `units[move]`, (rows + 1, columns + 1, pairs): the unit that ends at each point of the grid.
    """

    rows: int
    columns: int
    pairs: np.ndarray
    units: dict[tuple[int, int], np.ndarray]


def align(
    sources: Sequence[Symbols], targets: Sequence[Symbols], *, rounds: int = ROUNDS, seed: int = 0
) -> tuple[Units, list[Symbols]]:
    """The units, and the likeliest way to cut each pair into them.

    Of more pairs than memory holds, and of none whose both sides are empty, a random part is cut;
    the list then has those alone.
    """
    groups, units = _groups(sources, targets, seed)
    probabilities = _first(units)
    stretch = 1.0
    for _ in range(rounds):
        expected, likelihood, symbols = np.zeros(len(units)), 0.0, 0
        for group in groups:
            found, total = _expected(group, probabilities, stretch, len(units))
            expected += found
            likelihood += total
            symbols += (group.rows + group.columns) * len(group.pairs)
        stretch = float(np.exp(-likelihood / max(1, symbols)))
        probabilities = np.maximum(expected / expected.sum(), RARE)
    cuts: dict[int, np.ndarray] = {}
    for group in groups:
        cuts.update(zip(group.pairs.tolist(), _best(group, np.log(probabilities)), strict=True))
    return _occurring(units, [cuts[pair] for pair in sorted(cuts)])


def _occurring(units: Units, cuts: list[np.ndarray]) -> tuple[Units, list[np.ndarray]]:
    """The units that the cuts have, numbered anew."""
    if not cuts:
        return Units(units.sources[:0], units.targets[:0]), []
    used, numbers = np.unique(np.concatenate(cuts), return_inverse=True)
    ends = np.cumsum([len(cut) for cut in cuts])[:-1]
    return Units(units.sources[used], units.targets[used]), np.split(numbers, ends)


def _groups(sources: Sequence[Symbols], targets: Sequence[Symbols], seed: int) -> tuple[list[_Group], Units]:
    rows, columns = (np.array([len(one) for one in side], int) for side in (sources, targets))
    chosen = np.random.default_rng(seed).permutation(len(rows))
    places = np.cumsum(len(MOVES) * (rows[chosen] + 1) * (columns[chosen] + 1))
    chosen = np.sort(chosen[places <= MOST_PLACES])
    chosen = chosen[(rows + columns)[chosen] > 0]
    size = 2 + max(
        (int(max(side.max(initial=0) for side in part)) for part in (sources, targets) if len(part)), default=0
    )
    shapes = rows[chosen] * (columns.max(initial=0) + 1) + columns[chosen]
    keys = []
    for shape in np.unique(shapes):
        pairs = chosen[shapes == shape]
        source = np.stack([sources[pair] for pair in pairs]).T
        target = np.stack([targets[pair] for pair in pairs]).T
        keys.append((pairs, len(source), len(target), _keys(source, target, size)))
    known = np.unique(
        np.concatenate([np.unique(key) for *_, found in keys for key in found.values()] or [np.empty(0, np.int64)])
    ).astype(np.int64)
    groups = [
        _Group(r, c, pairs, {move: np.searchsorted(known, key).astype(np.int32) for move, key in found.items()})
        for pairs, r, c, found in keys
    ]
    return groups, _decoded(known, size)


def _keys(source: np.ndarray, target: np.ndarray, size: int) -> dict[tuple[int, int], np.ndarray]:
    """For each move, the unit that it makes at each of the points where it can end, as a number:
    four digits, base `size`, 0 for none and a symbol + 1."""
    kind = np.int32 if size**4 < 2**31 else np.int64
    source, target = source.astype(kind), target.astype(kind)

    def digits(symbols: np.ndarray, count: int) -> np.ndarray:
        if count == 0:
            return np.zeros((len(symbols) + 1, symbols.shape[1]), kind)
        if count == 1:
            return symbols + 1
        return (symbols[:-1] + 1) * size + symbols[1:] + 1

    return {
        (r, c): digits(source, r)[:, None] * size**2 + digits(target, c)[None, :]
        for r, c in MOVES
        if len(source) >= r and len(target) >= c
    }


def _decoded(keys: np.ndarray, size: int) -> Units:
    def two(numbers: np.ndarray) -> np.ndarray:
        high, low = np.divmod(numbers, size)
        pair = np.stack([np.where(high > 0, high, low), np.where(high > 0, low, 0)], axis=1)
        return pair - 1

    source, target = np.divmod(keys, size**2)
    return Units(two(source), two(target))


def _first(units: Units) -> Float[np.ndarray, " units"]:
    """Equal probabilities."""
    return np.full(len(units), 1 / max(1, len(units)))


def _expected(
    group: _Group, probabilities: np.ndarray, stretch: float, kinds: int
) -> tuple[Float[np.ndarray, " units"], float]:
    """How often each unit is expected in the pairs of a group, and their summed log-likelihood.

    Each probability is multiplied by `stretch` for each symbol: that changes no posterior, and
    keeps numbers in range."""
    p = {move: probabilities[units] * stretch ** sum(move) for move, units in group.units.items()}
    shape = (group.rows + 1, group.columns + 1, len(group.pairs))
    forward, backward = np.zeros(shape), np.zeros(shape)
    forward[0, 0] = backward[-1, -1] = 1.0
    for i in range(shape[0]):
        for j in range(shape[1]):
            for (r, c), of_move in p.items():
                if i >= r and j >= c:
                    forward[i, j] += forward[i - r, j - c] * of_move[i - r, j - c]
    for i in reversed(range(shape[0])):
        for j in reversed(range(shape[1])):
            for (r, c), of_move in p.items():
                if i + r < shape[0] and j + c < shape[1]:
                    backward[i, j] += backward[i + r, j + c] * of_move[i, j]
    total = np.maximum(forward[-1, -1], 1e-300)
    expected = np.zeros(kinds)
    for (r, c), of_move in p.items():
        ends = of_move.shape
        posterior = forward[: ends[0], : ends[1]] * of_move * backward[r : r + ends[0], c : c + ends[1]] / total
        expected += np.bincount(group.units[r, c].ravel(), posterior.ravel(), kinds)
    symbols = group.rows + group.columns
    return expected, float(np.log(total).sum() - symbols * np.log(stretch) * len(group.pairs))


def _best(group: _Group, logs: np.ndarray) -> list[np.ndarray]:
    """The likeliest cut of each pair of a group (Viterbi 1967)."""
    shape = (group.rows + 1, group.columns + 1, len(group.pairs))
    best, chosen = np.full(shape, -np.inf), np.zeros(shape, np.int8)
    best[0, 0] = 0.0
    for i in range(shape[0]):
        for j in range(shape[1]):
            for number, move in enumerate(MOVES):
                r, c = move
                if move in group.units and i >= r and j >= c:
                    through = best[i - r, j - c] + logs[group.units[move][i - r, j - c]]
                    better = through > best[i, j]
                    best[i, j] = np.where(better, through, best[i, j])
                    chosen[i, j] = np.where(better, number, chosen[i, j])
    cuts = []
    for pair in range(len(group.pairs)):
        i, j, cut = group.rows, group.columns, []
        while i or j:
            move = MOVES[chosen[i, j, pair]]
            i, j = i - move[0], j - move[1]
            cut.append(int(group.units[move][i, j, pair]))
        cuts.append(np.array(cut[::-1], np.int64))
    return cuts
