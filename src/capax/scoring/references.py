"""Scores of answers where each question may have several right ones, its references.

Symbols of an answer are compared with those of the reference that it is nearest to.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from capax.scoring.resampling import Estimate, estimate
from capax.scoring.sequences import edit_distance

Symbols = Sequence[str]
References = Sequence[Symbols]


def right(references: Sequence[References], answers: Sequence[Symbols]) -> Float[np.ndarray, " questions"]:
    """1 for each answer that is one of its references, else 0."""
    same = [
        any(tuple(answer) == tuple(each) for each in of_one) for of_one, answer in zip(references, answers, strict=True)
    ]
    return np.asarray(same, float)


def errors(references: Sequence[References], answers: Sequence[Symbols]) -> Int[np.ndarray, "questions 2"]:
    """Of each answer, the edit distance to the nearest reference, and the symbols of that."""
    found = []
    for of_one, answer in zip(references, answers, strict=True):
        same = next((each for each in of_one if tuple(each) == tuple(answer)), None)
        nearest = (0, len(same)) if same is not None else min((edit_distance(e, answer), len(e)) for e in of_one)
        found.append(nearest)
    return np.asarray(found, int).reshape(-1, 2)


def exact_match(references: Sequence[References], answers: Sequence[Symbols]) -> Estimate:
    """The share of answers that are one of their references."""
    same = right(references, answers)
    return estimate(lambda chosen: float(same[chosen].mean()), len(same))


def error_rate(references: Sequence[References], answers: Sequence[Symbols]) -> Estimate:
    """Edit distances to the nearest references, divided by the symbols of these."""
    found = errors(references, answers)
    return estimate(lambda chosen: float(found[chosen, 0].sum() / max(1, found[chosen, 1].sum())), len(found))


def mean(
    values: Float[np.ndarray, " rows"], weights: Float[np.ndarray, " rows"], questions: Int[np.ndarray, " rows"]
) -> Estimate:
    """The weighted mean of values, a row each, with an interval over the questions that rows belong
    to."""
    totals, sizes = np.bincount(questions, values), np.bincount(questions, weights)
    return estimate(lambda chosen: float(totals[chosen].sum() / sizes[chosen].sum()), len(totals))
