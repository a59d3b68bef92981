"""The baseline for texts: a Markov model of the last symbols, each order smoothed with the one
below."""

import numpy as np
from jaxtyping import Float, Int, Integer

MOST_COUNTERS = 2**24
"""With more possible runs of symbols than this, only those that occur are counted."""

STRENGTHS = 10 ** np.linspace(-2, 3, 26)


def bits_per_symbol(
    train: Integer[np.ndarray, " train"],
    validation: Integer[np.ndarray, " held_out"],
    evaluation: Integer[np.ndarray, " held_out"],
    size: int,
    order: int,
) -> float:
    """Bits per symbol of the evaluation section, for a model fitted on the training section;
    symbols are below `size`.

    p_k = (count + a p_{k-1}) / (total + a), with the `a` of each order that is best on the
    validation section.
    """
    held_out = {"validation": validation, "evaluation": evaluation}
    p = {name: np.full(len(letters) - order, 1 / size) for name, letters in held_out.items()}
    for k in range(order + 1):
        runs = _runs(train, k + 1, size)
        grams = {name: _runs(letters, k + 1, size)[order - k :] for name, letters in held_out.items()}
        counted = {name: _count(runs, asked, size ** (k + 1)) for name, asked in grams.items()}
        totals = {name: _count(runs // size, asked // size, size**k) for name, asked in grams.items()}

        def smoothed(name, strength, counted=counted, totals=totals, p=p) -> Float[np.ndarray, " scored"]:
            return (counted[name] + strength * p[name]) / (totals[name] + strength)

        best = min(STRENGTHS, key=lambda strength: -np.mean(np.log2(smoothed("validation", strength))))
        p = {name: smoothed(name, best) for name in held_out}
    return float(-np.mean(np.log2(p["evaluation"])))


def _runs(letters: Integer[np.ndarray, " letters"], width: int, size: int) -> Int[np.ndarray, " runs"]:
    """Every run of `width` symbols as one number, base `size`."""
    total = np.zeros(len(letters) - width + 1, np.int64)
    for offset in range(width):
        total = total * size + letters[offset : len(letters) - width + 1 + offset]
    return total


def _count(runs: Int[np.ndarray, " runs"], asked: Int[np.ndarray, " asked"], kinds: int) -> Int[np.ndarray, " asked"]:
    """How often each run that is asked for is among `runs`, all of which are below `kinds`."""
    if kinds <= MOST_COUNTERS:
        return np.bincount(runs, minlength=kinds)[asked]
    known, counts = np.unique(runs, return_counts=True)
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[places] == asked, counts[places], 0)
