"""The score to be expected of the best of n trials."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from capax.report import formatting
from capax.report.analyses.expected_best import COUNTED, trial_scores
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import LABEL_SIZE, LOG, grid_of, handle, legend, log_where_wide
from capax.report.rows import select
from capax.report.statistics import BAND_COVERS, expected_best, expected_best_band
from capax.report.tabulation import score
from capax.report.view import Panel, TaskView


def _has_data(view: TaskView) -> bool:
    return not view.task.reporting.memorised and len(select(view.tuned, state="complete")) > 0


def _draw(view: TaskView) -> list[Drawing]:
    """One panel a depth and size, one line a cell, with its band."""
    panels = view.panels(view.tuned)
    figure, grid = grid_of(len(panels), 3, share_x=True)
    every = [_lines(axes, view, panel) for axes, panel in zip(grid.flat, panels, strict=False)]
    for axes, panel in zip(grid.flat, panels, strict=False):
        axes.set_title(view.title(panel, panels))
    scale = log_where_wide(grid[0, 0], np.concatenate(every))
    figure.supxlabel(f"number of trials n {LOG}", fontsize=LABEL_SIZE)
    figure.supylabel(f"expected best\n{view.task.reporting.score}{scale}", fontsize=LABEL_SIZE)
    shown = view.styles.items()
    legend(figure, [handle(style, marker="") for cell, style in shown if len(select(view.tuned, cell=cell))])
    caption = f"The score to be expected of the best of n trials drawn from those done. {BAND_COVERS} {COUNTED}"
    return [Drawing(f"{slug(view.label)}-expected-best", view.label, figure, caption, _alt(view, panels[-1]))]


KIND = FigureKind(_has_data, _draw)


def _lines(axes: Axes, view: TaskView, panel: Panel) -> np.ndarray:
    """Draw one panel; all that was drawn, for the range of its axis."""
    rows, every = view.within(view.tuned, panel), []
    for cell, style in view.styles.items():
        of_cell = select(rows, cell=cell)
        if of_cell.empty:
            continue
        scores = trial_scores(of_cell, view.task)
        best = expected_best(scores, view.sign)
        low, high = expected_best_band(scores, view.sign)
        axes.plot(np.arange(1, len(best) + 1), best, color=style.colour, linestyle=style.line)
        axes.fill_between(np.arange(1, len(low) + 1), low, high, color=style.colour, alpha=0.08, linewidth=0)
        for edge in (low, high):
            axes.plot(np.arange(1, len(edge) + 1), edge, color=style.colour, alpha=0.5, linewidth=0.6)
        every.append(best)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.count(float(value))))
    axes.xaxis.set_minor_locator(NullLocator())
    return np.concatenate(every)


def _alt(view: TaskView, panel: Panel) -> str:
    """After one trial and after all, at the last depth and size."""
    rows, parts = view.within(view.tuned, panel), []
    for cell, name in view.names.items():
        of_cell = select(rows, cell=cell)
        if len(of_cell):
            best = expected_best(trial_scores(of_cell, view.task), view.sign)
            parts.append(f"{name} {score(best[0])} of 1 trial and {score(best[-1])} of {len(best)}")
    where = f"{formatting.count(panel.size)} {view.unit} and {formatting.layers(panel.depth)}"
    return f"Expected best {view.task.reporting.score}, at {where}: {'; '.join(parts)}."
