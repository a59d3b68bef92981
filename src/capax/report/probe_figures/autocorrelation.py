"""Autocorrelations of what drives a network and of what its layers say, and what they mean for a
unit with a long memory.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capax.probes.measurement import Measurement
from capax.report.figures.layout import WIDTH
from capax.report.probe_figures.lines import appearance, curve, decades

PREDICTED = {"state": "E h²", "sensitivity": "E (dh/dλ)²"}


def draw(measurement: Measurement) -> Figure:
    """Left: R(D) / R(0), markers as measured, lines as fitted. Right: moments that the fit
    predicts. A triangle at the upper edge: infinite.
    """
    frame, arrays = measurement.frame, measurement.arrays
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    grid = figure.subplot_mosaic([["lags", name] for name in PREDICTED], width_ratios=[1.6, 1.0])
    handles = []
    for place, name in enumerate(frame["sequence"].unique()):
        looks = appearance(place)
        lag, measured, fitted = (
            np.asarray(frame.loc[frame["sequence"] == name, key], float) for key in ("lag", "measured", "fitted")
        )
        curve(grid["lags"], lag, measured, **{**looks, "linestyle": "none"}, markersize=3.5, alpha=0.6)
        grid["lags"].plot(lag, np.where(np.isfinite(fitted), fitted, np.nan), **{**looks, "marker": ""}, linewidth=1.3)
        for key in PREDICTED:
            curve(grid[key], arrays["memory"], arrays[key][place], **{**looks, "marker": ""})
        handles.append(Line2D([], [], **looks, markersize=5, label=str(name)))
    grid["lags"].set_xscale("symlog", linthresh=1.0)
    grid["lags"].set_xlim(left=-0.15)
    grid["lags"].set_xlabel("lag D (steps)")
    grid["lags"].set_ylabel("R(D) / R(0): markers measured, lines fitted")
    for key, label in PREDICTED.items():
        decades(grid[key], arrays[key])
        grid[key].set_xscale("log")
        grid[key].set_title(f"{label}, predicted")
        grid[key].tick_params(labelsize=8.5)
    grid["sensitivity"].set_xlabel("memory t, λ = 1 − 1/t (steps)", fontsize=9.5)
    figure.legend(handles=handles, loc="outside lower left", ncols=5, fontsize=9)
    return figure
