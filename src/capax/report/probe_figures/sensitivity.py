"""E|h|^2 of every layer, and how sensitive the top layer is to each group of parameters, over
time.
"""

import numpy as np
from matplotlib.figure import Figure

from capax.probes.measurement import Measurement
from capax.report.probe_figures.lines import appearance, curve

MOST_GROUPS = 8
"""Groups that are drawn: the most sensitive ones."""

LEAST_RANGE = 100.0
"""The least ratio of the ends of the vertical axes, so that noise does not look like growth."""


def draw(measurement: Measurement) -> Figure:
    """Two panels over time, logarithmic. A triangle at the upper edge: infinite."""
    figure = Figure((10.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    states, curves = measurement.arrays["states"], measurement.arrays["sensitivities"]
    steps = np.arange(1, states.shape[1] + 1)
    order = np.argsort(-np.nan_to_num(curves[:, -1], posinf=np.finfo(float).max))[:MOST_GROUPS]
    panels = {
        left: {f"layer {number}": values for number, values in enumerate(states)},
        right: {str(measurement.frame["group"][k]): curves[k] for k in order},
    }
    more = f", the {MOST_GROUPS} largest of {len(curves)}" if len(curves) > MOST_GROUPS else ""
    left.set(title="Activity", ylabel="mean of h²")
    right.set(title=f"Sensitivity of the top layer{more}", ylabel="mean of |dh/dθ|² per parameter")
    for axes, shown in panels.items():
        for place, (label, values) in enumerate(shown.items()):
            curve(axes, steps, np.where(values > 0, values, np.nan), **{**appearance(place), "marker": ""}, label=label)
        axes.set(xlabel="time step", xscale="log", yscale="log")
        axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        low, high = axes.get_ylim()
        middle = (low * high) ** 0.5
        axes.set_ylim(min(low, middle / LEAST_RANGE**0.5), max(high, middle * LEAST_RANGE**0.5))
    return figure
