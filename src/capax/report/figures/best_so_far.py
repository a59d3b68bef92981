"""The best validation score against the number of trials done: what the tuner sees."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from capax.report import formatting
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import WIDTH, drop_unused, handle, label_axes, legend
from capax.report.rows import column, select
from capax.report.style import GREY, Style
from capax.report.tabulation import score
from capax.report.view import Panel, TaskView

MARK_OF_DIVERGED = "x"


def _has_data(view: TaskView) -> bool:
    return len(view.tuned) > 0


def _draw(view: TaskView) -> list[Drawing]:
    """One panel a depth and size, one line a cell."""
    trials, shown, panels = view.tuned, view.styles, view.panels(view.tuned)
    columns = min(3, len({panel.size for panel in panels}))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, 1.4 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=not view.task.reporting.memorised)
    deep = len({panel.depth for panel in panels}) > 1
    for axes, panel in zip(grid.flat, panels, strict=False):
        _lines(axes, view.within(trials, panel), view, shown)
        title = f"{formatting.count(panel.size)} {view.unit}"
        axes.set_title(f"{title}, {formatting.layers(panel.depth)}" if deep else title)
    drop_unused(grid, len(panels))
    label_axes(figure, list(grid.flat[: len(panels)]), "trials done", f"best {view.task.reporting.score}")
    handles = [handle(style) for cell, style in shown.items() if len(select(trials, cell=cell))]
    if len(select(trials, state="infeasible")):
        cross: dict[str, Any] = {"color": GREY, "linestyle": "none", "marker": MARK_OF_DIVERGED}
        handles.append(Line2D([], [], label="infeasible", **cross))
    legend(figure, handles)
    stopped = ", and trials that were stopped" if view.stops else ""
    mean = f", the mean over {view.design.searches} searches" if view.several else ""
    caption = (
        f"Best validation score so far against the number of trials done{mean}: what the tuner sees. Markers: improvements. "
        "Crosses below the axis: trials that diverged, one row a cell. Not drawn: scores worse than a random "
        f"guess{stopped}."
    )
    return [Drawing(f"{slug(view.label)}-best-so-far", view.label, figure, caption, _alt(view, panels))]


KIND = FigureKind(_has_data, _draw)


def _alt(view: TaskView, panels: list[Panel]) -> str:
    """The best score of each cell in the last panel, and after how many trials it was found."""
    panel = panels[-1]
    rows, parts = view.within(view.tuned, panel), []
    for cell, name in view.names.items():
        _, best = _mean_of_searches(select(rows, cell=cell), view)
        if len(best) and np.isfinite(best[-1]):
            parts.append(f"{name} {score(best[-1])} at trial {int(np.argmax(best == best[-1])) + 1} of {len(best)}")
    where = f"{formatting.count(panel.size)} {view.unit} and {formatting.layers(panel.depth)}"
    return f"Best {view.task.reporting.score} so far, at {where}: {'; '.join(parts) or 'none better than a guess'}."


def _lines(axes: Axes, trials: pd.DataFrame, view: TaskView, shown: dict[str, Style]) -> None:
    failing = [cell for cell in shown if len(select(trials, cell=cell, state="infeasible"))]
    for cell in [cell for cell in shown if len(select(trials, cell=cell))]:
        of_cell, style = select(trials, cell=cell), shown[cell]
        number, best = _mean_of_searches(of_cell, view)
        improved = np.flatnonzero(np.diff(best, prepend=np.nan) != 0) if len(best) else []
        axes.plot(
            number,
            best,
            drawstyle="steps-post",
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markevery=[place for place in improved if np.isfinite(best[place])],
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
        )
        if cell in failing:
            diverged = column(select(of_cell, state="infeasible"), "number") + 1
            _crosses(axes, diverged, failing.index(cell), style)
    axes.tick_params(axis="x", pad=4 + 9 * len(failing))
    if view.task.reporting.memorised:
        axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))


def _crosses(axes: Axes, trials: np.ndarray, row: int, style: Style) -> None:
    """Infeasible trials of one cell, in a row of its own between the axis and its ticks' labels."""
    axes.plot(
        trials,
        np.full(len(trials), -0.04 - 0.05 * row),
        MARK_OF_DIVERGED,
        color=style.colour,
        markersize=4.5,
        markeredgewidth=1.4,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )


def _mean_of_searches(trials: pd.DataFrame, view: TaskView) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of trials done, and the best score after so many, the mean over searches that are
    alike."""
    lines: list[pd.Series] = []
    for _, of_search in trials.groupby("search"):
        done = of_search.sort_values("number")
        lines.append(pd.Series(_running_best(done, view), index=column(done, "number") + 1))
    if not lines:
        return np.empty(0), np.empty(0)
    together = pd.concat(lines, axis=1).sort_index()
    return np.asarray(together.index, float), np.asarray(together.mean(axis=1, skipna=False), float)


def _running_best(trials: pd.DataFrame, view: TaskView) -> np.ndarray:
    """The best score so far, NaN until there is one that is no worse than a random guess."""
    task, maximise = view.task, view.sign > 0
    scores = np.where(trials["state"] == "complete", column(trials, "validation"), math.nan)
    worst = -math.inf if maximise else math.inf
    scores = np.where(np.isnan(scores), worst, scores)
    best = np.maximum.accumulate(scores) if maximise else np.minimum.accumulate(scores)
    return np.where(best >= task.chance if maximise else best <= task.chance, best, math.nan)
