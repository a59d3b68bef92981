"""E|h|^2 of every layer, and how sensitive the top layer is to each group of parameters, over time."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.probes.measurement import Measurement
from capax.report.style import COLOURS, LINES

MOST_GROUPS = 8
"""Groups that are drawn: the most sensitive ones."""

LEAST_RANGE = 100.0
"""The least ratio of the ends of the vertical axes, so that noise does not look like growth."""


def draw(measurement: Measurement) -> Figure:
    """Two panels over time, logarithmic; what is infinite is not drawn, and is said."""
    figure = Figure((10.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    states, curves = measurement.arrays["states"], measurement.arrays["sensitivities"]
    for number, layer in enumerate(states):
        _line(left, layer, number, f"layer {number + 1}")
    left.set(title="Activity", ylabel="mean of h²")
    order = np.argsort(-np.nan_to_num(curves[:, -1], posinf=np.finfo(float).max))[:MOST_GROUPS]
    for number, k in enumerate(order):
        _line(right, curves[k], number, str(measurement.frame["group"][k]))
    more = f", the {MOST_GROUPS} largest of {len(curves)}" if len(curves) > MOST_GROUPS else ""
    right.set(title=f"Sensitivity of the top layer{more}", ylabel="mean of |dh/dθ|² per parameter")
    for axes in (left, right):
        axes.set(xlabel="time step", xscale="log", yscale="log")
        axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        low, high = axes.get_ylim()
        middle = (low * high) ** 0.5
        axes.set_ylim(min(low, middle / LEAST_RANGE**0.5), max(high, middle * LEAST_RANGE**0.5))
    if measurement.summary["infinite"]:
        figure.text(0.01, 0.01, "What overflows is infinite and not drawn.", fontsize=8.5)
    return figure


def _line(axes: Axes, values: np.ndarray, number: int, label: str) -> None:
    steps = np.arange(1, len(values) + 1)
    shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    axes.plot(steps, shown, color=COLOURS[number % len(COLOURS)], linestyle=LINES[number % len(LINES)], label=label)
