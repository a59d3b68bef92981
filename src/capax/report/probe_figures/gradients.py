"""Norms of gradients and of products of Jacobians against the lag."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.probes.measurement import Measurement
from capax.report.figures.layout import WIDTH
from capax.report.probe_figures.lines import appearance
from capax.report.style import GREY
from capax.theory.gradients import LARGEST, SMALLEST_NORMAL


def draw(measurement: Measurement) -> Figure:
    """Left: products of Jacobians, of all of the state and along its vectors alone, with the limits
    of numbers where they are near. Right: the loss's gradient. Both as powers of ten; a triangle at
    an edge: infinite or zero.
    """
    frame = measurement.frame
    names = [name for name in dict.fromkeys(frame["quantity"]) if name != "gradient"]
    figure = Figure((WIDTH, 4.0), layout="constrained")
    panels = figure.subplots(1, 2 if names else 1, squeeze=False)[0]
    if names:
        for place, name in enumerate(names):
            _curve(panels[0], frame, name, place, "all of the state" if name == "jacobian" else f"{name} alone")
        panels[0].set_title("|dh(T) / dh(T-k)|, largest singular value")
        panels[0].legend(fontsize=9)
        _limits(panels[0])
    _curve(panels[-1], frame, "gradient", 0, "gradient")
    panels[-1].set_title(f"|dL / {'dh' if names else 'd(input of the lowest layer)'}(T-k)|")
    for axes in panels:
        axes.set(xlabel="lag k (steps)", ylabel="log10 of the norm")
    return figure


def _curve(axes: Axes, frame: pd.DataFrame, name: str, place: int, label: str) -> None:
    part = pd.DataFrame(frame[frame["quantity"] == name])
    lags, logs = np.asarray(part["lag"], float), np.asarray(part["log10"], float)
    looks = appearance(place)
    every = max(1, len(lags) // 12)
    axes.plot(lags, np.where(np.isfinite(logs), logs, np.nan), **looks, markersize=4.5, markevery=every, label=label)
    for lost, height, marker in ((np.isposinf(logs), 0.97, "^"), (np.isneginf(logs), 0.03, "v")):
        if lost.any():
            axes.scatter(
                lags[lost], np.full(lost.sum(), height), 45, transform=axes.get_xaxis_transform(), marker=marker,
                facecolor="none", edgecolor=looks["color"],
            )  # fmt: skip


def _limits(axes: Axes) -> None:
    """Where FP32 and FP64 end, if the panel comes near."""
    low, high = axes.get_ylim()
    for name, table in (("smallest", SMALLEST_NORMAL), ("largest", LARGEST)):
        for precision in ("fp32", "fp64"):
            power = math.log10(table[precision])
            if low - 12 <= power <= high + 12:
                axes.axhline(power, color=GREY, linewidth=1.0, linestyle=":")
                axes.annotate(
                    f"{precision.upper()}: {name}", (0.99, power), xycoords=("axes fraction", "data"), xytext=(0, 3),
                    textcoords="offset points", fontsize=8.5, color=GREY, ha="right",
                )  # fmt: skip
