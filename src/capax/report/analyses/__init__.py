"""Tables that compare cells, one file each: a run gets all that it has the data for, without being
told.
"""

from capax.report.analyses import (
    differences,
    divergence,
    expected_best,
    growth,
    iterations,
    multipliers,
    nonlinearities,
    robustness,
    samples,
)
from capax.report.analyses.analysis import Analysis as Analysis
from capax.report.analyses.analysis import Make
from capax.report.view import RunView

MEMORISED: tuple[Make, ...] = (growth.make, multipliers.make, nonlinearities.make, samples.make, differences.make)
"""Of tasks that ask what is memorised."""

SCORED: tuple[Make, ...] = (iterations.make, expected_best.make, divergence.make, robustness.make, differences.make)
"""Of tasks that are scored on other data."""


def analyses(run: RunView) -> list[Analysis]:
    """All that this run has the data for, in the order of its tasks."""
    made = [make(view) for view in run.tasks for make in (MEMORISED if view.task.reporting.memorised else SCORED)]
    return [analysis for analysis in made if analysis is not None and analysis.rows]
