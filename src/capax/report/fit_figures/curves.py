"""Learning curves of the trials that the networks of a fit come from."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.report import formatting
from capax.report.figures.drawing import Drawing
from capax.report.figures.layout import HEIGHT, WIDTH, handle, legend
from capax.report.style import styles


def draw(job: str, curves: Mapping[str, pd.DataFrame]) -> Drawing:
    """The mean training loss against training steps. `curves`: by cell, columns step and loss."""
    figure = Figure(figsize=(WIDTH, HEIGHT - 0.4), layout="constrained")
    axes: Axes = figure.subplots()
    looks, said = styles(list(curves)), []
    for cell, curve in curves.items():
        axes.plot(curve["step"], curve["loss"], color=looks[cell].colour, linestyle=looks[cell].line)
        ends = [formatting.significant(float(curve["loss"].iloc[place]), 3) for place in (0, -1)]
        said.append(f"{looks[cell].label} from {ends[0]} to {ends[1]}")
    axes.set_xlabel("training steps")
    axes.set_ylabel("training loss")
    legend(figure, [handle(style, marker="") for style in looks.values()])
    caption = "Learning curves: the mean training loss of the trial that each network comes from."
    return Drawing("fit-learning-curves", job, figure, caption, f"{caption} {'; '.join(said)}.")
