"""The score to be expected of the best of n trials."""

import math

import numpy as np
import pandas as pd

from capax.experiments.record import TaskRecord
from capax.report import formatting
from capax.report.analyses.analysis import Analysis, three
from capax.report.rows import column
from capax.report.statistics import expected_best
from capax.report.view import TaskView

COUNTS = [2**power for power in range(11)]
COUNTED = (
    "A trial that diverged counts as a random guess; one that was stopped counts with the score that it had when it was "
    "stopped; and no trial counts as worse than a random guess."
)
DRAWN = "The score to be expected of the best of n of the trials done, drawn at random: what a shorter search costs."
SEARCHED = (
    "The search itself did not draw at random: its first trial is the default, and later ones follow from earlier ones. "
    "What it had after its first n trials (the figure of the best so far) may be better or worse than this."
)


def trial_scores(trials: pd.DataFrame, task: TaskRecord) -> np.ndarray:
    """Evaluation scores in the order of trials, counted as `COUNTED` says."""
    had_score = trials["state"].isin(["complete", "stopped"])
    scores = np.where(had_score, column(trials, "evaluation"), math.nan)
    return np.fmax(scores, task.chance) if task.reporting.direction == "maximise" else np.fmin(scores, task.chance)


def make(view: TaskView) -> Analysis | None:
    """A row a study."""
    rows, most = [], 0
    for panel, cells in view.groups(view.tuned):
        for cell, trials in cells.items():
            best = expected_best(trial_scores(trials, view.task), view.sign)
            most = max(most, len(best))
            texts = [three(float(best[n - 1])) if n <= len(best) else formatting.MISSING for n in COUNTS]
            rows.append([view.names[cell], str(panel.depth), view.size(panel.size), *texts])
    used = [n for n in COUNTS if n <= most]
    headers = ["cell", "depth", "size", *(f"after {n}" for n in used)]
    notes = [f"{DRAWN} {COUNTED}", *([] if view.random else [SEARCHED])]
    rows = [row[: 3 + len(used)] for row in rows]
    return Analysis("expected-best", view.label, "Expected best score after n trials", headers, rows, notes)
