"""Adam's effective learning rates, group by group, and those of the recurrent parameters in the
course of training.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capax.probes.measurement import Measurement
from capax.report.style import COLOURS, GREY

BOX = {True: COLOURS[3], False: COLOURS[1]}
"""Colours of recurrent and of other groups."""

NOMINAL: Any = (0, (3, 2))
"""Dashes of the learning rate that was set."""

RANGE = 30.0
"""The least ratio of the ends of the axis over steps, so that noise does not look like change."""


def draw(measurement: Measurement) -> Figure:
    """Boxes from quartile to quartile, whiskers to the extremes; beside them the median over steps.
    Rates of 0 are not drawn.
    """
    rows = len(measurement.frame)
    figure = Figure((11.0, max(3.8, 1.6 + 0.3 * rows)), layout="constrained")
    boxes, course = figure.subplots(1, 2, width_ratios=[1.5, 1])
    _boxes(boxes, measurement)
    _course(course, measurement)
    return figure


def _boxes(axes: Axes, measurement: Measurement) -> None:
    frame = measurement.frame
    places = np.arange(len(frame))[::-1]
    for place, row in zip(places, frame.to_dict("records"), strict=True):
        if row["most"] == 0:
            axes.annotate(
                "0: gradients overflow", (0.02, place), xycoords=("axes fraction", "data"), fontsize=8.5, va="center"
            )
            continue
        values = (row["least"], row["lower_quartile"], row["median"], row["upper_quartile"], row["most"])
        low, q1, middle, q3, high = np.maximum(values, row["most"] * 1e-30)
        colour = BOX[row["recurrent"]]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
        axes.barh(place, q3 - q1, left=q1, height=0.55, color=colour, alpha=0.6, edgecolor=colour)
        axes.plot([middle, middle], [place - 0.3, place + 0.3], color="black", linewidth=1.8)
    axes.set_yticks(
        places, [f"{group} ({count:,})" for group, count in zip(frame["group"], frame["parameters"], strict=True)]
    )
    axes.set_ylim(-0.7, len(frame) - 0.3)
    if np.any(frame["most"] > 0):
        axes.set_xscale("log")
    else:
        axes.set_xticks([])
    axes.axvline(measurement.summary["learning_rate"], color=GREY, linewidth=1.0, linestyle=NOMINAL, zorder=1)
    axes.grid(True, axis="x")
    axes.set(title="By group (number of parameters)", xlabel="effective learning rate, lr / (√v̂ + ε)")
    axes.legend(
        handles=[
            Patch(color=BOX[True], alpha=0.6, label="recurrent"),
            Patch(color=BOX[False], alpha=0.6, label="others"),
            Line2D([], [], color=GREY, linewidth=1.0, linestyle=NOMINAL, label="learning rate lr"),
        ],
        fontsize=8.5,
        loc="best",
        handlelength=1.8,
    )


def _course(axes: Axes, measurement: Measurement) -> None:
    steps, medians = measurement.arrays["steps"], measurement.arrays["recurrent_medians"].astype(float)
    axes.set(title="Recurrent parameters", xlabel="training step", ylabel="median effective learning rate")
    diverged = measurement.summary["diverged_at_step"]
    if diverged is not None:
        axes.axvline(diverged, color=GREY, linewidth=1.0, linestyle=(0, (3, 2)))
        axes.set_title(f"Recurrent parameters; step {diverged:,} diverges")
    axes.set_xlim(0, 1.04 * max(steps[-1], diverged or 0))
    shown = medians[np.isfinite(medians) & (medians > 0)]
    if not len(shown):
        axes.set_yticks([])
        return
    axes.plot(steps, np.where(medians > 0, medians, np.nan), color=BOX[True], marker=".", markersize=4)
    middle = (shown.min() * shown.max()) ** 0.5
    axes.set(
        yscale="log", ylim=(min(0.8 * shown.min(), middle / RANGE**0.5), max(1.25 * shown.max(), middle * RANGE**0.5))
    )
