"""Scores of sequences of symbols against what they should be."""

from collections.abc import Sequence

import numpy as np

from capax.scoring.resampling import Estimate, estimate


def edit_distance(truth: Sequence[object], found: Sequence[object]) -> int:
    """How many symbols must be put in, taken out, or replaced to make one sequence of the other
    (Levenshtein 1966).
    """
    row = np.arange(len(found) + 1)
    for place, symbol in enumerate(truth, start=1):
        replaced = row[:-1] + np.array([symbol != other for other in found], int)
        best = np.minimum(replaced, row[1:] + 1)
        row = np.concatenate([[place], best])
        # Symbols put in: a running minimum of row[j] - j, put back.
        row = np.minimum.accumulate(row - np.arange(len(row))) + np.arange(len(row))
    return int(row[-1])


def error_rate(truth: Sequence[Sequence[object]], found: Sequence[Sequence[object]]) -> Estimate:
    """Edit distances of all pairs, divided by the symbols of the truth: the symbol error rate."""
    distances = np.asarray([edit_distance(*pair) for pair in zip(truth, found, strict=True)])
    sizes = np.asarray([len(sequence) for sequence in truth])
    return estimate(lambda chosen: float(distances[chosen].sum() / max(1, sizes[chosen].sum())), len(truth))


def exact_match(truth: Sequence[Sequence[object]], found: Sequence[Sequence[object]]) -> Estimate:
    """The share of sequences without any error."""
    same = np.asarray([list(one) == list(other) for one, other in zip(truth, found, strict=True)], float)
    return estimate(lambda chosen: float(same[chosen].mean()), len(truth))
