"""Whether a method's probabilities are what they say: of all answers that it holds 80% sure, are
80% right?
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from capax.scoring.resampling import Estimate, estimate

BINS = 10


@dataclasses.dataclass(frozen=True)
class Reliability:
    """A row for each bin of confidence, from `low` to `high`: how many answers are in it (`items`),
    their mean `confidence`, and the share of them that is right, `accuracy`. NaN for both where a
    bin is empty.
    """

    low: Float[np.ndarray, " bins"]
    high: Float[np.ndarray, " bins"]
    items: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]


def reliability(
    confidence: Float[np.ndarray, " items"], right: Bool[np.ndarray, " items"], bins: int = BINS
) -> Reliability:
    """Answers in bins of equal width by their confidence, the probability of the label that was
    found. A bin has its upper end; the first one also 0.
    """
    items, sums, hits = _table(confidence, right, np.zeros(len(right), int), bins)[:, 0]
    edges = np.linspace(0, 1, bins + 1)
    with np.errstate(invalid="ignore"):
        return Reliability(edges[:-1], edges[1:], items.astype(int), sums / items, hits / items)


def calibration_error(
    confidence: Float[np.ndarray, " items"],
    right: Bool[np.ndarray, " items"],
    units: Int[np.ndarray, " items"] | None = None,
    bins: int = BINS,
) -> Estimate:
    """The expected calibration error (Guo et al. 2017): the mean over answers of the distance
    between confidence and accuracy of their bin. 0 is best. Of few answers it is too large, since
    the accuracy of a bin varies by chance; so are the ends of the interval.

    `units`: to which sequence an answer belongs; the interval resamples sequences.
    """
    _, unit = np.unique(np.arange(len(right)) if units is None else units, return_inverse=True)
    _, sums, hits = table = _table(confidence, right, unit, bins)

    def statistic(chosen: np.ndarray) -> float:
        weights = np.bincount(chosen, minlength=table.shape[1])
        distance = np.abs(weights @ (sums - hits))
        return float(distance.sum() / (weights @ table[0]).sum())

    return estimate(statistic, table.shape[1])


def _table(
    confidence: np.ndarray, right: np.ndarray, unit: np.ndarray, bins: int
) -> Float[np.ndarray, "three units bins"]:
    """Of each unit and bin: how many answers, the sum of their confidence, and how many are
    right."""
    found = np.zeros((3, int(unit.max(initial=0)) + 1, bins))
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    for table, values in zip(found, (np.ones(len(right)), confidence, right), strict=True):
        np.add.at(table, (unit, places), values)
    return found
