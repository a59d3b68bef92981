"""All trials of a tuner: the running median and the running best against the number of trials."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from capax.report import formatting
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import LABEL_SIZE, WIDTH, handle, legend, log_where_wide
from capax.report.rows import column, select
from capax.report.style import GREY
from capax.report.tabulation import score
from capax.report.view import TaskView

Accumulate = Callable[[np.ndarray], np.ndarray]


def _has_data(view: TaskView) -> bool:
    return not view.task.reporting.memorised and not view.random and len(select(view.tuned, state="complete")) > 0


def _draw(view: TaskView) -> list[Drawing]:
    """Above the running median, below the running best, one column a depth and size; dots are
    trials.
    """
    trials, panels = view.tuned, view.panels(view.tuned)
    columns = min(4, len(panels))
    bands = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, 0.8 + 4.4 * bands), layout="constrained")
    grid = figure.subplots(2 * bands, columns, squeeze=False, sharex=True, sharey=True)
    best: Accumulate = np.fmax.accumulate if view.sign > 0 else np.fmin.accumulate
    for place, panel in enumerate(panels):
        rows = view.within(trials, panel)
        for row, (word, accumulate) in enumerate((("median", _running_median), ("best", best))):
            axes = grid[2 * (place // columns) + row, place % columns]
            _lines(axes, rows, view, accumulate)
            axes.set_title(f"{view.title(panel, panels)}: {word}" if len(panels) > 1 else word)
    for unused in range(len(panels), bands * columns):
        for row in range(2):
            grid[2 * (unused // columns) + row, unused % columns].remove()
    scale = log_where_wide(grid[0, 0], column(select(trials, state="complete"), "evaluation"))
    figure.supxlabel("trials of the search", fontsize=LABEL_SIZE)
    figure.supylabel(f"{view.task.reporting.score}{scale}", fontsize=LABEL_SIZE)
    handles = [handle(style, marker="") for cell, style in view.styles.items() if len(select(trials, cell=cell))]
    legend(figure, [*handles, Line2D([], [], color=GREY, linestyle="none", marker=".", label="a trial")])
    left_out = "diverged or were stopped" if view.stops else "diverged"
    caption = (
        f"{formatting.capital(view.task.reporting.score)}, "
        f"{view.task.reporting.scored_on}, against the number of trials: dots are trials, lines the median "
        "and the best of those trained to their end so far. Not among them: trials that "
        f"{left_out}; the table counts them."
    )
    return [Drawing(f"{slug(view.label)}-iterations", view.label, figure, caption, _alt(view))]


KIND = FigureKind(_has_data, _draw)


def _alt(view: TaskView) -> str:
    """Median and best of each cell at the last depth and size."""
    panel = view.panels(view.tuned)[-1]
    rows, parts = select(view.within(view.tuned, panel), state="complete"), []
    for cell, name in view.names.items():
        values = column(select(rows, cell=cell), "evaluation")
        values = values[np.isfinite(values)]
        if len(values):
            best = values.max() if view.sign > 0 else values.min()
            parts.append(f"{name} {score(float(np.median(values)))} and {score(best)} ({len(values)})")
    where = view.title(panel, view.panels(view.tuned))
    return f"{formatting.capital(view.task.reporting.score)} of trials at {where}: median and best (number of trials): {'; '.join(parts)}."


def _lines(axes: Axes, rows: pd.DataFrame, view: TaskView, accumulate: Accumulate) -> None:
    for cell, style in view.styles.items():
        of_cell = select(rows, cell=cell).sort_values("number")
        scores = np.where(of_cell["state"] == "complete", column(of_cell, "evaluation"), math.nan)
        if not np.isfinite(scores).any():
            continue
        number = np.arange(1, len(scores) + 1)
        axes.plot(number, scores, linestyle="none", marker=".", markersize=3.5, color=style.colour, alpha=0.45)
        axes.plot(number, accumulate(scores), color=style.colour, linestyle=style.line)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))


def _running_median(scores: np.ndarray) -> np.ndarray:
    return np.asarray(
        [np.nanmedian(scores[: n + 1]) if np.isfinite(scores[: n + 1]).any() else math.nan for n in range(len(scores))]
    )
