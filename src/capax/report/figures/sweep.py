"""The score against the one option of a task that is swept."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from capax.report import formatting
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import WIDTH, handle, legend
from capax.report.rows import column, known, records, select
from capax.report.tabulation import interval_of_bits, score, with_interval
from capax.report.view import Panel, TaskView


def _has_data(view: TaskView) -> bool:
    return view.leads and _option(view) is not None and len(_rows(view)) > 0


def _option(view: TaskView) -> str | None:
    """The option that is swept, where it is one with numbers."""
    variants = view.run.plan.experiment.variants(view.task.name)
    options = list(variants[0])
    numbers = len(options) == 1 and all(isinstance(variant[options[0]], int | float) for variant in variants)
    return options[0] if numbers and len(variants) > 1 else None


def _columns(view: TaskView) -> tuple[str, str, str]:
    best = "bits_per_parameter" if view.task.reporting.memorised else "best"
    return (best, f"{best}_low", f"{best}_high") if view.task.reporting.memorised else (best, "low", "high")


def _rows(view: TaskView) -> pd.DataFrame:
    return known(pd.concat([variant.studies for variant in view.variants]), _columns(view)[0])


def _draw(view: TaskView) -> list[Drawing]:
    """One panel a depth and size, one line a cell."""
    option, rows = _option(view), _rows(view)
    assert option is not None
    values = {variant.label: variant.option(option) for variant in view.variants}
    rows = rows.assign(option=[values[label] for label in rows["task"]])
    panels = view.panels(rows)
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, panels, strict=True):
        _lines(axes, view.within(rows, panel), view)
        axes.set_title(view.title(panel, panels) if len(panels) > 1 else "")
        axes.set_xlabel(option.replace("_", " "))
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(values.values()))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    label = "stored bits per parameter" if view.task.reporting.memorised else view.task.reporting.score
    if view.task.reporting.memorised:
        grid[0, 0].set_ylim(bottom=0)
    grid[0, 0].set_ylabel(label)
    legend(figure, [handle(style) for cell, style in view.styles.items() if len(select(rows, cell=cell))])
    memorised = view.task.reporting.memorised
    interval = interval_of_bits(several=view.several) if memorised else "Student's 95% interval."
    caption = f"Against {option.replace('_', ' ')}: each point is a study of its own, with {interval}"
    alt = _alt(rows, view, panels[-1], f"{label} against {option.replace('_', ' ')}")
    return [Drawing(f"{slug(view.task.name)}-{slug(option)}", view.label, figure, caption, alt)]


KIND = FigureKind(_has_data, _draw)


def _lines(axes: Axes, rows: pd.DataFrame, view: TaskView) -> None:
    for cell, style in view.styles.items():
        of_cell = select(rows, cell=cell).sort_values("option")
        if of_cell.empty:
            continue
        y, low, high = (column(of_cell, name) for name in _columns(view))
        half = np.clip(np.stack([y - low, high - y]), 0, None)
        looks = {"color": style.colour, "linestyle": style.line, "marker": style.marker}
        axes.errorbar(column(of_cell, "option"), y, yerr=half, capsize=3, elinewidth=1.1, **looks)


def _alt(rows: pd.DataFrame, view: TaskView, panel: Panel, what: str) -> str:
    """The numbers at the largest value, in the last panel."""
    text = (lambda value: formatting.decimals(value, 2)) if view.task.reporting.memorised else score
    parts = []
    for cell, name in view.names.items():
        of_cell = select(view.within(rows, panel), cell=cell).sort_values("option")
        if len(of_cell):
            last = records(of_cell)[-1]
            best, low, high = (float(last[name_]) for name_ in _columns(view))
            values = with_interval(best, low, high, text)
            parts.append(f"{name} {values} at {last['option']:,.10g}")
    return f"{what}: {'; '.join(parts)}."
