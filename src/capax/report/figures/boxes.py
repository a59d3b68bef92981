"""Box plots of trials with random hyperparameters."""

import numpy as np
from matplotlib.axes import Axes

from capax.report import formatting
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import LABEL_SIZE, grid_of
from capax.report.rows import column, select
from capax.report.style import GREY
from capax.report.tabulation import score
from capax.report.view import Panel, TaskView

ROOM = 1.5
"""The upper end of the axis, in random guesses: what lies far above one would hide the rest."""


def _has_data(view: TaskView) -> bool:
    return not view.task.reporting.memorised and view.random and len(select(view.tuned, state="complete")) > 0


def _draw(view: TaskView) -> list[Drawing]:
    """One panel a depth and size, one box a cell."""
    panels = view.panels(view.tuned)
    figure, grid = grid_of(len(panels), 2, share_x=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _boxes(axes, view, panel)
        axes.set_title(view.title(panel, panels))
    if view.task.reporting.direction == "minimise" and grid[0, 0].get_ylim()[1] > ROOM * view.task.chance:
        grid[0, 0].set_ylim(0, ROOM * view.task.chance)
    figure.supylabel(view.task.reporting.score, fontsize=LABEL_SIZE)
    caption = (
        f"{formatting.capital(view.task.reporting.score)}, "
        f"{view.task.reporting.scored_on}, of trials with random hyperparameters that were trained to their "
        "end. Boxes: quartiles; line: median; whiskers: 5th and 95th percentile; dots: trials beyond them; grey line: "
        "a random guess."
    )
    return [Drawing(f"{slug(view.label)}-boxes", view.label, figure, caption, _alt(view, panels))]


KIND = FigureKind(_has_data, _draw)


def _scores(view: TaskView, panel: Panel) -> dict[str, np.ndarray]:
    rows, found = view.within(view.tuned, panel), {}
    for cell in view.names:
        values = column(select(rows, cell=cell, state="complete"), "evaluation")
        if len(select(rows, cell=cell)):
            found[cell] = values[np.isfinite(values)]
    return found


def _boxes(axes: Axes, view: TaskView, panel: Panel) -> None:
    scores, shown = _scores(view, panel), view.styles
    flyers = {"marker": ".", "markersize": 3}
    boxes = axes.boxplot(list(scores.values()), widths=0.6, patch_artist=True, flierprops=flyers, whis=(5, 95))
    for box, median, cell in zip(boxes["boxes"], boxes["medians"], scores, strict=True):
        box.set(facecolor=shown[cell].colour, alpha=0.55, edgecolor=shown[cell].colour)
        median.set(color="black", linewidth=1.4)
    axes.set_xticks(range(1, len(scores) + 1), [shown[cell].label for cell in scores], rotation=35, ha="right")
    axes.axhline(view.task.chance, color=GREY, linewidth=1.0, zorder=1)


def _alt(view: TaskView, panels: list[Panel]) -> str:
    """Medians and quartiles in every panel."""
    parts = []
    for panel in panels:
        cells = [
            f"{view.names[cell]} {score(middle)} ({score(low)} to {score(high)})"
            for cell, values in _scores(view, panel).items()
            if len(values)
            for low, middle, high in [np.quantile(values, [0.25, 0.5, 0.75])]
        ]
        parts.append(f"{view.title(panel, panels)}: {', '.join(cells) or 'none'}")
    return f"{formatting.capital(view.task.reporting.score)}, medians with quartiles. {'; '.join(parts)}."
