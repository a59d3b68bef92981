"""Stored bits per parameter with a free choice of the nonlinearity, and with ReLU alone."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from capax.report import formatting
from capax.report.analyses.nonlinearities import enough, relu_only
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import LABEL_SIZE, WIDTH, handle, legend
from capax.report.rows import records, select
from capax.report.style import GREY
from capax.report.view import TaskView

LINES: dict[str, Any] = {"any": "-", "relu": (0, (4, 2))}
"""Dashes say which choice is meant, so that cells are told apart by colour and marker here."""


def _has_data(view: TaskView) -> bool:
    return view.task.reporting.memorised and len(set(_best(view)["size"])) > 1


def _best(view: TaskView) -> pd.DataFrame:
    return enough(relu_only(view.tuned, view.sized))


def _draw(view: TaskView) -> list[Drawing]:
    """One panel a depth."""
    best = _best(view)
    depths = sorted(set(best["depth"]))
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    grid = figure.subplots(1, len(depths), squeeze=False, sharey=True)
    for axes, depth in zip(grid.flat, depths, strict=True):
        _lines(axes, select(best, depth=depth), view)
        axes.set_title(formatting.layers(int(depth)) if len(depths) > 1 else "")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    grid[0, 0].set_ylim(bottom=0)  # shared; once all are drawn
    figure.supxlabel("parameters", fontsize=LABEL_SIZE)
    figure.supylabel("stored bits per parameter", fontsize=LABEL_SIZE)
    present = [handle(style, line="none") for cell, style in view.styles.items() if len(select(best, cell=cell))]
    kinds = {"any": "free choice", "relu": "ReLU only"}
    legend(figure, [*present, *(Line2D([], [], color=GREY, linestyle=LINES[k], label=kinds[k]) for k in kinds)])
    caption = (
        "Bits per parameter of the best trial of all (solid) and of the best with ReLU (dashed), for cells that can "
        "have either, where a study has trials enough with ReLU (see the table)."
    )
    return [Drawing(f"{slug(view.label)}-relu-only", view.label, figure, caption, _alt(best, view))]


KIND = FigureKind(_has_data, _draw)


def _lines(axes: Axes, best: pd.DataFrame, view: TaskView) -> None:
    for cell, style in view.styles.items():
        of_cell = select(best, cell=cell).sort_values("parameters")
        for choice, line in LINES.items():
            if len(of_cell):
                looks = {"color": style.colour, "linestyle": line, "marker": style.marker}
                axes.plot(of_cell["parameters"], of_cell[choice], **looks)


def _alt(best: pd.DataFrame, view: TaskView) -> str:
    parts = []
    for cell, name in view.names.items():
        rows = select(best, cell=cell).sort_values("parameters")
        if len(rows):
            last = records(rows)[-1]
            free, relu = (formatting.decimals(last[choice], 2) for choice in LINES)
            parts.append(f"{name} {free} and {relu} at {formatting.count(last['parameters'])} parameters")
    return f"Stored bits per parameter, free choice and ReLU only: {'; '.join(parts)}."
