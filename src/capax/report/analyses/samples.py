"""Samples b against bits stored."""

import numpy as np
import pandas as pd

from capax.report.analyses.analysis import Analysis, two
from capax.report.rows import column, known, select
from capax.report.view import TaskView

HEADERS = ["cell", "studies", "least", "median", "most", "best trial was the first"]
NOTE = (
    "The best trial's number of samples b, divided by the bits that it stored. The tuner's first trial has a given "
    "b: where it was the best, the ratio says more of what was given than of a choice. In the source's appendix Figure 1 b "
    "is larger than the information stored, for all architectures at all sizes, and close to it."
)


def make(view: TaskView) -> Analysis | None:
    """A row a cell."""
    rows = []
    for cell, name in view.names.items():
        of_cell = known(select(view.searches, cell=cell), "best")
        of_cell = pd.DataFrame(of_cell[of_cell["best"] > 0]) if len(of_cell) else of_cell
        if len(of_cell):
            ratio = column(of_cell, "samples") / column(of_cell, "best")
            first = int((column(of_cell, "best_trial") == 0).sum()) if not view.random else 0
            values = [two(ratio.min()), two(float(np.median(ratio))), two(ratio.max())]
            rows.append([name, str(len(of_cell)), *values, f"{first} of {len(of_cell)}"])
    return Analysis("samples", view.label, "Samples b against bits stored", HEADERS, rows, [NOTE])
