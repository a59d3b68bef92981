"""What figures share: their width, grids of panels, legends, and axes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from capax.report import formatting
from capax.report.style import Style

WIDTH, HEIGHT = 7.0, 4.3

INCHES_A_LETTER = 0.085
"""About the width of a letter in the figures' font."""

LABEL_SIZE = 10.5
LOG = "(log scale)"


def grid_of(panels: int, most: int, *, share_x: bool, share_y: bool = True) -> tuple[Figure, np.ndarray]:
    """A figure with so many panels, at most `most` in a row, the rows as even as can be."""
    rows = math.ceil(panels / most)
    columns = math.ceil(panels / rows)
    figure = Figure(figsize=(WIDTH, 1.2 + 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y)
    drop_unused(grid, panels)
    return figure, grid


def drop_unused(grid: np.ndarray, used: int) -> None:
    """Take panels that are not used away; those above them show the ticks of a shared axis."""
    columns = grid.shape[1]
    for place in range(used, grid.size):
        if place >= columns:
            _panel(grid, place - columns).tick_params(labelbottom=True)
        _panel(grid, place).remove()


def _panel(grid: np.ndarray, place: int) -> Axes:
    return grid.flat[place]


def label_axes(figure: Figure, panels: list[Axes], x_label: str, y_label: str) -> None:
    """Labels at the axes of a single panel, and once for all where there are several."""
    if len(panels) == 1:
        panels[0].set_xlabel(x_label)
        panels[0].set_ylabel(y_label)
    else:
        figure.supxlabel(x_label, fontsize=LABEL_SIZE)
        figure.supylabel(y_label, fontsize=LABEL_SIZE)


def log_where_wide(axes: Axes, values: np.ndarray) -> str:
    """A logarithmic y axis where scores above 0 span more than a factor of 5; what its label says
    of it.
    """
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() <= 0 or finite.max() <= 5 * finite.min():
        return ""
    axes.set_yscale("log")
    plain_log(axes.yaxis, float(finite.max() / finite.min()))
    return f" {LOG}"


def plain_log(axis: Axis, span: float) -> None:
    """Plain numbers on a logarithmic axis: several in a decade where it spans few decades."""
    subs = (1.0, 2.0, 5.0) if span < 300 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: formatting.significant(float(value), 1)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def handle(style: Style, *, line: Any = None, marker: str | None = None) -> Line2D:
    """A cell's entry in a legend."""
    return Line2D(
        [],
        [],
        color=style.colour,
        linestyle=style.line if line is None else line,
        marker=style.marker if marker is None else marker,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=style.label,
    )


def legend(figure: Figure, handles: Sequence[Artist], width: float = WIDTH) -> None:
    """Above the panels, where it covers nothing."""
    texts = [len(str(handle.get_label())) for handle in handles]
    fitting = [number for number in range(1, len(texts) + 1) if _legend_width(texts, number) <= width]
    rows = math.ceil(len(texts) / max(fitting, default=1))
    columns = math.ceil(len(texts) / rows)
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, columnspacing=1.4, handletextpad=0.5)


def _legend_width(texts: list[int], columns: int) -> float:
    """About how wide a legend is, in inches; its columns are filled one after the other."""
    rows = math.ceil(len(texts) / columns)
    return sum(0.8 + INCHES_A_LETTER * max(texts[start : start + rows]) for start in range(0, len(texts), rows))
