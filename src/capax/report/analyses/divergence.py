"""How often random hyperparameters diverge."""

from capax.report import formatting
from capax.report.analyses.analysis import Analysis, percent, without_empty
from capax.report.published import COLLINS
from capax.report.rows import select
from capax.report.statistics import share
from capax.report.tabulation import with_interval
from capax.report.view import TaskView

HEADERS = ["cell", "depth", "size", "trials", "infeasible [95%]", f"{COLLINS.name}, Table 1"]
NOTE = (
    "In brackets Wilson's interval of the fraction of trials that diverged: each trial has hyperparameters and a seed of "
    "its own, so it covers both."
)
SOURCE = "The source: 1000 trials, 200,000 parameters, sequences of 175 steps."


def make(view: TaskView) -> Analysis | None:
    """A row a study, where hyperparameters were random."""
    if not view.random:
        return None
    rows = []
    for panel, cells in view.groups(view.tuned):
        for cell, trials in cells.items():
            fraction = share(len(select(trials, state="infeasible")), len(trials))
            printed = COLLINS.infeasible(cell, panel.depth) if view.task.name == "parentheses" else None
            where = [view.names[cell], str(panel.depth), view.size(panel.size), str(len(trials))]
            source = formatting.MISSING if printed is None else percent(printed)
            rows.append([*where, with_interval(*fraction, percent), source])
    headers, rows = without_empty(HEADERS, rows)
    notes = [f"{view.run.plan.divergence} {NOTE}".strip(), *([SOURCE] if len(headers) == len(HEADERS) else [])]
    return Analysis("infeasible", view.label, "How often do random hyperparameters diverge?", headers, rows, notes)
