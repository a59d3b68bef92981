"""Mean squares of signals and of gradients, layer by layer."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from capax.probes.measurement import Measurement
from capax.report.figures.layout import WIDTH
from capax.report.probe_figures.lines import appearance, curve, decades
from capax.report.style import GREY


def draw(measurement: Measurement) -> Figure:
    """Left: E|h|^2 and the outputs' mean square; right: mean squared gradients by group of
    parameters. A triangle at the upper edge: infinite.
    """
    frame = measurement.frame
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    signals, gradients = figure.subplots(1, 2)
    of_gradients = pd.DataFrame(frame[frame["signal"] == "gradient"])
    for place, (signal, size) in enumerate({"state": 10.0, "output": 5.5}.items()):  # both seen where they are equal
        _line(signals, frame[frame["signal"] == signal], signal, place, markersize=size)
    groups = [str(group) for group in of_gradients["group"].unique() if group != "all"]
    for place, group in enumerate(groups):
        _line(gradients, of_gradients[of_gradients["group"] == group], group, place)
    if len(groups) > 1:
        rows = of_gradients[of_gradients["group"] == "all"]
        looks = {"marker": "_", "markersize": 16, "markeredgewidth": 1.6}
        curve(gradients, *_points(rows), color=GREY, linewidth=1.0, label="all", **looks)
    signals.set_ylabel("mean square of a unit")
    gradients.set_ylabel("mean square of dL/dθ, a parameter")
    for axes, title in ((signals, "state and output"), (gradients, "gradient of the loss")):
        decades(axes, np.concatenate([np.asarray(line.get_ydata()) for line in axes.lines]))
        axes.set_xlim(-0.3, frame["layer"].max() + 0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=8))
        axes.set_xlabel("layer (0: the lowest)")
        axes.set_title(title)
        axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(-0.08, -0.17), ncols=2, columnspacing=1.0)
    return figure


def _line(axes: Axes, rows: Any, label: str, place: int, **looks: Any) -> None:
    curve(axes, *_points(rows), **appearance(place), **looks, label=label)


def _points(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    return rows["layer"].to_numpy(), rows["mean_square"].to_numpy()
