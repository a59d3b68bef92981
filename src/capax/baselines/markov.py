"""The baseline for texts: a Markov model of the last symbols, each order smoothed with the one
below."""

import numpy as np
from jaxtyping import Float, Int, Integer

MOST_COUNTERS = 2**24
"""With more possible runs of symbols than this, only those that occur are counted."""
MOST_KINDS = 2**62
"""With more, runs are numbered as they occur."""

STRENGTHS = 10 ** np.linspace(-2, 3, 26)


def bits_per_symbol(
    train: Integer[np.ndarray, " train"],
    validation: Integer[np.ndarray, " held_out"],
    evaluation: Integer[np.ndarray, " evaluated"],
    size: int,
    order: int,
) -> float:
    """Bits per symbol of the evaluation section, for a model fitted on the training section;
    symbols are below `size`.

    p_k = (count + a p_{k-1}) / (total + a), with the `a` of each order that is best on the
    validation section.
    """
    return float(-np.mean(np.log2(probabilities(train, validation, evaluation, size, order)["evaluation"])))


def probabilities(
    train: Integer[np.ndarray, " train"],
    validation: Integer[np.ndarray, " held_out"],
    evaluation: Integer[np.ndarray, " evaluated"],
    size: int,
    order: int,
) -> dict[str, Float[np.ndarray, " scored"]]:
    """Of the "validation" and "evaluation" sections, the probability of each symbol from number
    `order` on, by the model of `bits_per_symbol`."""
    held_out = {"validation": validation, "evaluation": evaluation}
    sections = {"train": train, **held_out}
    p = {name: np.full(len(letters) - order, 1 / size) for name, letters in held_out.items()}
    contexts = {name: np.zeros(len(letters) + 1, np.int64) for name, letters in sections.items()}
    kinds = 1
    for k in range(order + 1):
        contexts, kinds = _numbered(contexts, kinds, size)
        runs = {name: contexts[name][:-1] * size + letters[k:] for name, letters in sections.items()}
        grams = {name: runs[name][order - k :] for name in held_out}
        counted = {name: _count(runs["train"], asked, kinds * size) for name, asked in grams.items()}
        totals = {name: _count(runs["train"] // size, asked // size, kinds) for name, asked in grams.items()}

        known = (counted["validation"], totals["validation"], p["validation"])
        costs = [-np.mean(np.log2(_smoothed(*known, strength))) for strength in STRENGTHS]
        best = float(STRENGTHS[int(np.argmin(costs))])
        p = {name: _smoothed(counted[name], totals[name], p[name], best) for name in held_out}
        contexts, kinds = runs, kinds * size
    return p


def _smoothed(
    counted: Int[np.ndarray, " scored"],
    totals: Int[np.ndarray, " scored"],
    below: Float[np.ndarray, " scored"],
    strength: float,
) -> Float[np.ndarray, " scored"]:
    """Shares of counts, drawn towards the probabilities of the order below."""
    return (counted + strength * below) / (totals + strength)


def _numbered(runs: dict[str, np.ndarray], kinds: int, size: int) -> tuple[dict[str, np.ndarray], int]:
    """Runs as they are numbered; where runs of one symbol more had no place in a whole number, from
    0 as they occur."""
    if kinds * size <= MOST_KINDS:
        return runs, kinds
    known, numbers = np.unique(np.concatenate(list(runs.values())), return_inverse=True)
    parts = np.split(numbers, np.cumsum([len(part) for part in runs.values()])[:-1])
    return dict(zip(runs, parts, strict=True)), len(known)


def _count(runs: Int[np.ndarray, " runs"], asked: Int[np.ndarray, " asked"], kinds: int) -> Int[np.ndarray, " asked"]:
    """How often each run that is asked for is among `runs`, all of which are below `kinds`."""
    if kinds <= MOST_COUNTERS:
        return np.bincount(runs, minlength=kinds)[asked]
    known, counts = np.unique(runs, return_counts=True)
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[places] == asked, counts[places], 0)
