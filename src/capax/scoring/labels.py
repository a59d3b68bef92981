"""Scores of labels: of whole sequences, or of each step of them.

Labels are whole numbers from 0. Where each step has one, `units` says to which sequence a step
belongs: steps of one sequence err alike, so intervals resample sequences.
"""

import math

import numpy as np
from jaxtyping import Float, Int

from capax.scoring.resampling import Estimate, estimate

Labels = Int[np.ndarray, " steps"]


def accuracy(truth: Labels, found: Labels, units: Labels | None = None) -> Estimate:
    """The share of labels that are right."""
    members, count = _by_unit(len(truth), units)
    right = np.asarray([np.sum(truth[places] == found[places]) for places in members])
    sizes = np.asarray([len(places) for places in members])
    return estimate(lambda chosen: float(right[chosen].sum() / sizes[chosen].sum()), count)


def macro_f1(truth: Labels, found: Labels, classes: int, units: Labels | None = None) -> Estimate:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN). A class that neither stands in the
    data nor was found does not count.
    """
    members, count = _by_unit(len(truth), units)
    tables = np.stack([confusion(truth[places], found[places], classes) for places in members])

    def statistic(chosen: np.ndarray) -> float:
        weights = np.bincount(chosen, minlength=count)
        table = np.tensordot(weights, tables, axes=1)
        right, total = np.diag(table), table.sum(axis=0) + table.sum(axis=1)
        return float(np.mean(2 * right[total > 0] / total[total > 0]))

    return estimate(statistic, count)


def mean(values: Float[np.ndarray, " steps"], units: Labels | None = None) -> Estimate:
    """The mean of known values (NaN: not known): of -log p of the true labels, the cross-entropy;
    of the difference of two methods' hits, by how much one is more accurate, in pairs.
    """
    _, unit = np.unique(np.arange(len(values)) if units is None else units, return_inverse=True)
    known = ~np.isnan(values)
    totals, sizes = np.bincount(unit, np.where(known, values, 0.0)), np.bincount(unit, known)

    def statistic(chosen: np.ndarray) -> float:
        size = sizes[chosen].sum()
        return float(totals[chosen].sum() / size) if size else math.nan

    return estimate(statistic, len(sizes))


def confusion(truth: Labels, found: Labels, classes: int) -> Int[np.ndarray, "truth found"]:
    """How often each class (row) was taken for each (column)."""
    table = np.zeros((classes, classes), int)
    np.add.at(table, (truth, found), 1)
    return table


def _by_unit(steps: int, units: Labels | None) -> tuple[list[np.ndarray], int]:
    """The places of the steps of each unit, and how many units there are."""
    if units is None:
        return [np.array([place]) for place in range(steps)], steps
    order = np.argsort(units, kind="stable")
    _, starts = np.unique(units[order], return_index=True)
    return np.split(order, starts[1:]), len(starts)
