"""Welch's tests of the differences between all pairs of cells."""

import dataclasses

import numpy as np
import pandas as pd

from capax.report import formatting
from capax.report.analyses.analysis import Analysis, three, two, without_empty
from capax.report.published import COLLINS
from capax.report.rows import column, known, select
from capax.report.statistics import Difference, spread_tenfold, welch
from capax.report.view import Panel, TaskView

HEADERS = [
    "pair", "depth", "size", "difference of means", "t", "df", "p", "p, Holm", "Hedges' g", f"t, {COLLINS.name}",
]  # fmt: skip
CHOSEN = (
    "What is tested are the networks that one search chose: one set of hyperparameters a cell, over fresh seeds. A "
    "small p says that these networks differ, not that the cells do: another search chooses other hyperparameters, and "
    "has often found another order."
)
RANDOM = (
    "Each trial has hyperparameters of its own, so a small p says that the cells differ under these ranges of "
    "hyperparameters, and not that their best networks do."
)
WIDE = (
    "Scores here lie more than tenfold apart, so that means are mostly their largest values: Welch's test finds little "
    "then, and a large p shows no equality. Read the medians."
)


SEARCHED = (
    "Each value is one search's, with hyperparameters and seeds of its own, so a small p says that the cells differ under "
    "this tuner with this number of trials. Few searches show large differences only."
)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What is compared: rows with a column of scores, what they are, and what a small p says."""

    rows: pd.DataFrame
    column: str
    what: str
    title: str
    means: str


def _kind(view: TaskView) -> _Kind:
    if view.random:
        tuned = select(view.tuned, state="complete")
        return _Kind(tuned, "evaluation", "all trials trained to their end", "Do cells differ?", RANDOM)
    if view.several:
        searches = known(view.searches, "best")
        return _Kind(searches, "best", "searches", "Do cells differ?", SEARCHED)
    reruns = select(view.reruns, state="complete")
    return _Kind(reruns, "evaluation", "the reruns on fresh seeds", "Do the chosen networks differ?", CHOSEN)


def make(view: TaskView) -> Analysis | None:
    """A row a pair of cells, depth, and size."""
    rows, wide, kind = [], False, _kind(view)
    for panel, cells in view.groups(kind.rows):
        scores = {cell: column(of_cell, kind.column) for cell, of_cell in cells.items()}
        finite = {cell: list(values[np.isfinite(values)]) for cell, values in scores.items()}
        wide = wide or (not view.random and any(spread_tenfold(values) for values in finite.values() if values))
        rows += [_row(view, panel, pair) for pair in welch(finite)]
    headers, rows = without_empty(HEADERS, rows)
    notes = [
        f"Welch's t-test of scores of {kind.what}, for all pairs of cells at one depth and size; p is corrected by "
        "Holm's method for the pairs of that depth and size, not over depths, sizes, and tasks. Below 0: the second "
        "cell's mean is larger.",
        kind.means,
        *([WIDE] if wide else []),
    ]
    return Analysis("welch", view.label, kind.title, headers, rows, notes, tested=True)


def _row(view: TaskView, panel: Panel, pair: Difference) -> list[str]:
    compared = view.task.name == "parentheses" and view.random
    printed = COLLINS.welch_t(pair.first, pair.second, panel.depth) if compared else None
    return [
        f"{view.names[pair.first]} / {view.names[pair.second]}", str(panel.depth), view.size(panel.size),
        three(pair.difference), two(pair.t), three(pair.df), _p(pair.p), _p(pair.holm), two(pair.effect),
        formatting.MISSING if printed is None else three(printed),
    ]  # fmt: skip


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
