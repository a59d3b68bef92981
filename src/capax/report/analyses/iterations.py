"""All trials of a search: how they ended, and the median and best of those trained to their end."""

import numpy as np

from capax.report import formatting
from capax.report.analyses.analysis import Analysis, three
from capax.report.rows import column, select
from capax.report.view import TaskView

HEADERS = ["cell", "depth", "size", "trials", "infeasible", "stopped", "to the end", "median", "best"]


def make(view: TaskView) -> Analysis | None:
    """A row a study."""
    rows = []
    for panel, cells in view.groups(view.tuned):
        for cell, trials in cells.items():
            scores = column(select(trials, state="complete"), "evaluation")
            scores = scores[np.isfinite(scores)]
            ends = [str(len(select(trials, state=state))) for state in ("infeasible", "stopped", "complete")]
            if len(scores):
                best = scores.max() if view.sign > 0 else scores.min()
                values = [three(float(np.median(scores))), three(float(best))]
                rows.append(
                    [view.names[cell], str(panel.depth), view.size(panel.size), str(len(trials)), *ends, *values]
                )
    headers = HEADERS
    if not view.stops:  # then all but the infeasible ones were trained to their end
        headers, rows = HEADERS[:5] + HEADERS[7:], [row[:5] + row[7:] for row in rows]
    kind = "random hyperparameters" if view.random else "the search"
    among = ", not over those that were stopped or diverged" if view.stops else ""
    note = (
        f"{formatting.capital(view.task.reporting.score)}, "
        f"{view.task.reporting.scored_on}. Median and best are over the trials of {kind} that were trained to "
        f"their end{among}."
    )
    return Analysis("iterations", view.label, "All trials: median and best", headers, rows, [note])
