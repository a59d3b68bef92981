"""How much the same trial varies over seeds."""

import numpy as np

from capax.report import formatting
from capax.report.analyses.analysis import Analysis, three, two, without_empty
from capax.report.published import COLLINS
from capax.report.rows import Row, column, known, records, select
from capax.report.view import TaskView

MANY_RERUNS = 10
"""Reruns from which their spread is a result of its own."""

HEADERS = [
    "cell", "depth", "size", "reruns", "original", "infeasible", "min", "median", "mean", "max", "SD", "SD / mean",
    f"{COLLINS.name}: original; infeasible; min, mean, max",
]  # fmt: skip


def make(view: TaskView) -> Analysis | None:
    """A row a study with many reruns."""
    rows = [_row(view, study) for study in records(known(view.searches, "best_trial"))]
    headers, found = without_empty(HEADERS, [row for row in rows if row is not None])
    note = (
        f"The best hyperparameters trained again on fresh seeds: {view.task.reporting.score}, {view.task.reporting.scored_on}, of those "
        "that did not diverge. The original is the best of a search, so reruns tend to be worse."
    )
    return Analysis("robustness", view.label, "How much does the same trial vary?", headers, found, [note])


def _row(view: TaskView, study: Row) -> list[str] | None:
    reruns = select(view.reruns, study=study["study"])
    values = column(select(reruns, state="complete"), "evaluation")
    if len(reruns) < MANY_RERUNS or len(values) < 2:
        return None
    original = column(select(view.tuned, study=study["study"], number=study["best_trial"]), "evaluation")
    infeasible, deviation = len(select(reruns, state="infeasible")) / len(reruns), float(values.std(ddof=1))
    spread = [values.min(), float(np.median(values)), values.mean(), values.max(), deviation]
    return [
        view.names[study["cell"]], str(study["depth"]), view.size(study[view.sized]), str(len(reruns)),
        three(float(original[0])), f"{100 * infeasible:.0f}%", *(three(value) for value in spread),
        two(deviation / values.mean()), _printed(view, study),
    ]  # fmt: skip


def _printed(view: TaskView, study: Row) -> str:
    printed = COLLINS.reruns(study["cell"], study["depth"]) if view.task.name == "parentheses" else None
    if printed is None:
        return formatting.MISSING
    spread = ", ".join(f"{printed[name]:.3g}" for name in ("minimum", "mean", "maximum"))
    return f"{printed['original']:.3g}; {100 * printed['infeasible']:.0f}%; {spread}"
