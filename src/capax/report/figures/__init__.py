"""The figures of a run: one file a kind, each a `KIND` that knows whether it has data."""

from capax.report.figures import (
    best_so_far,
    boxes,
    expected_best,
    iterations,
    nonlinearities,
    reruns,
    samples,
    sizes,
    sweep,
)
from capax.report.figures.drawing import Drawing as Drawing
from capax.report.style import look
from capax.report.view import RunView

KINDS = (
    sizes.KIND,
    best_so_far.KIND,
    nonlinearities.KIND,
    samples.KIND,
    boxes.KIND,
    iterations.KIND,
    expected_best.KIND,
    sweep.KIND,
    reruns.KIND,
)
"""In the order in which a report shows them."""


def drawings(run: RunView) -> list[Drawing]:
    """All figures that there are data for."""
    with look():
        return [drawing for view in run.tasks for kind in KINDS if kind.has_data(view) for drawing in kind.draw(view)]
