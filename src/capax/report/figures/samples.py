"""The number of samples b against the bits that were stored of them."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from capax.report import formatting
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import LOG, WIDTH, handle, legend, plain_log
from capax.report.rows import column, known, select
from capax.report.style import GREY
from capax.report.view import TaskView

LEAST_STUDIES = 3


def _has_data(view: TaskView) -> bool:
    return view.task.reporting.memorised and len(_scored(view)) >= LEAST_STUDIES


def _scored(view: TaskView) -> pd.DataFrame:
    found = known(view.searches, "samples")
    return pd.DataFrame(found[found["best"] > 0]) if len(found) else found


def _draw(view: TaskView) -> list[Drawing]:
    """One point a study, and the line on which both are equal."""
    scored, shown = _scored(view), view.styles
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    for cell, style in shown.items():
        of_cell = select(scored, cell=cell)
        looks = {"linestyle": "none", "marker": style.marker, "color": style.colour, "alpha": 0.85}
        axes.plot(of_cell["best"], of_cell["samples"], **looks)
    bits, samples = column(scored, "best"), column(scored, "samples")
    ends = np.asarray([bits.min() / 1.3, bits.max() * 1.3])
    axes.plot(ends, ends, color=GREY, linewidth=1.0, zorder=1)
    axes.annotate("b = bits", (ends[1], ends[1]), ha="right", va="bottom", fontsize=9, color=GREY)
    axes.set(xscale="log", yscale="log")
    plain_log(axes.xaxis, ends[1] / ends[0])
    plain_log(axes.yaxis, float(samples.max() / samples.min()))
    axes.set_xlabel(f"stored bits (mutual information) of the best trial {LOG}")
    axes.set_ylabel(f"samples b of the best trial {LOG}")
    legend(figure, [handle(style, line="none") for cell, style in shown.items() if len(select(scored, cell=cell))])
    caption = (
        "The best trial's number of samples b against the bits that it stored, one point a search. Where the best trial "
        "is the tuner's first, its b was given, not chosen (the table counts these)."
    )
    ratio = samples / bits
    alt = (
        f"Samples b divided by stored bits, of {formatting.number(len(scored), 'study', 'studies')}: "
        f"{formatting.decimals(ratio.min(), 2)} to {formatting.decimals(ratio.max(), 2)}, median "
        f"{formatting.decimals(float(np.median(ratio)), 2)}."
    )
    return [Drawing(f"{slug(view.label)}-samples", view.label, figure, caption, alt)]


KIND = FigureKind(_has_data, _draw)
