"""Curves of the probes' figures: what they look like, what is infinite, and axes over whole
decades.
"""

import math
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from capax.report.style import COLOURS, LINES

MARKERS = "os^DvPX*h<p>"


def appearance(place: int) -> dict[str, Any]:
    """Colour, line, and marker of one of several curves."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": LINES[place % len(LINES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def curve(axes: Axes, x: np.ndarray, y: np.ndarray, **looks: Any) -> None:
    """A line through the finite points, and a triangle at the upper edge of the panel for each
    infinite one.
    """
    axes.plot(x, np.where(np.isfinite(y), y, np.nan), **looks)
    infinite = x[np.isinf(y)]
    upper = axes.get_xaxis_transform()
    axes.scatter(
        infinite,
        np.full(len(infinite), 0.97),
        70,
        transform=upper,
        marker="^",
        facecolor="none",
        edgecolor=looks["color"],
    )


def decades(axes: Axes, values: np.ndarray, *, axis: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis over whole decades around what is finite and above 0."""
    shown = values[np.isfinite(values) & (values > 0)]
    low, high = (math.log10(shown.min()), math.log10(shown.max())) if len(shown) else (0.0, 0.0)
    ends = 10.0 ** math.floor(low), 10.0 ** max(math.ceil(high), math.floor(low) + 1)
    axes.set(**{f"{axis}lim": ends})  # first: a logarithmic axis finds no limits for zeros alone
    axes.set(**{f"{axis}scale": "log"})
    (axes.xaxis if axis == "x" else axes.yaxis).set_minor_formatter(NullFormatter())
