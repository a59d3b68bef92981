"""Entries of dh_{t+D} / dh_t against the lag, and units' moments as measured against those of
independent linear units.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.probes.measurement import Measurement
from capax.report.figures.layout import WIDTH
from capax.report.probe_figures.lines import appearance, curve, decades
from capax.report.style import GREY

SIZES = {"diagonal": "on the diagonal", "off_diagonal": "off the diagonal", "spectral_norm": "largest singular value"}
MOMENTS = {"state": "E h²", "sensitivity": "E (dh/dbias)²"}

DECADES = 9
"""Shown below the largest entry at the first lag: what is smaller has vanished."""


def draw(measurement: Measurement) -> Figure:
    """Left: mean size of the entries, and what it is of independent linear units. Right, for each
    number of the state: predicted against measured moments. A triangle at the upper edge: infinite.
    """
    frame = measurement.frame
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    grid = figure.subplot_mosaic([["lags", name] for name in MOMENTS], width_ratios=[1.6, 1.0])
    _lags(grid["lags"], frame)
    figure.legend(*grid["lags"].get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9)
    for name, label in MOMENTS.items():
        _moments(grid[name], frame, name, label)
    return figure


def _values(frame: pd.DataFrame, quantity: str, column: str) -> np.ndarray:
    return np.asarray(frame.loc[frame["quantity"] == quantity, column], float)


def _lags(axes: Axes, frame: pd.DataFrame) -> None:
    lags = _values(frame, "diagonal", "lag")
    shown = {name: _values(frame, name, "measured") for name in SIZES}
    for place, (name, label) in enumerate(SIZES.items()):
        curve(axes, lags, shown[name], **appearance(place), markersize=4.5, label=label)
    units = _values(frame, "diagonal", "predicted")
    axes.plot(lags, np.where(np.isfinite(units), units, np.nan), color=GREY, label="mean |λ|ᴰ: linear units", zorder=1)
    values = np.concatenate(list(shown.values()))
    first = max((found[0] for found in shown.values() if np.isfinite(found[0])), default=0.0)
    decades(axes, values[values >= first * 10.0**-DECADES])
    axes.set_xscale("log")
    axes.set_xlabel("lag D (steps)")
    axes.set_ylabel("size of the entries of dh(t+D) / dh(t)")


def _moments(axes: Axes, frame: pd.DataFrame, name: str, label: str) -> None:
    measured, predicted = _values(frame, name, "measured"), _values(frame, name, "predicted")
    known = np.isfinite(measured) & np.isfinite(predicted) & (measured > 0) & (predicted > 0)
    axes.plot(measured[known], predicted[known], **{**appearance(0), "linestyle": "none"}, markersize=3.5, alpha=0.7)
    both = np.concatenate([measured[known], predicted[known]])
    decades(axes, both, axis="x")
    decades(axes, both, axis="y")
    axes.plot(axes.get_xlim(), axes.get_xlim(), color=GREY, linewidth=1.0, zorder=1)
    if not known.all():
        text = f"{np.sum(~known)} of {len(known)} infinite or 0"
        axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top", fontsize=8.5)
    axes.set_title(label)
    axes.set_xlabel("measured", fontsize=9.5)
    axes.set_ylabel("predicted", fontsize=9.5)
    axes.tick_params(labelsize=8.5)
