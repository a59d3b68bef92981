"""The figures of what networks cost, and a report that draws them."""

import dataclasses
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.measuring.costs import QUANTITIES, Costs
from capax.report import formatting
from capax.report.probe_figures.lines import decades
from capax.report.style import GREY, look, styles

TITLES = {
    "flops": "operations of one sequence",
    "bytes": "bytes kept for the gradient",
    "seconds": "time by roofline (s)",
}


@dataclasses.dataclass(frozen=True)
class CostReport:
    """What was found of the costs of networks (`costs`), with its figures."""

    costs: Costs

    @property
    def frame(self) -> pd.DataFrame:
        """One row a network."""
        return self.costs.frame

    @property
    def curves(self) -> pd.DataFrame:
        """Operations, bytes, and time against length."""
        return self.costs.curves

    @property
    def crossovers(self) -> list[dict[str, Any]]:
        """At which length one network gets dearer than another."""
        return self.costs.crossovers

    @property
    def checkpointing(self) -> pd.DataFrame | None:
        """Memory and time against checkpoints, where asked for."""
        return self.costs.checkpointing

    @property
    def notes(self) -> list[str]:
        """What must be said of the numbers."""
        return self.costs.notes

    def figure(self) -> Figure:
        """Operations, memory, and time against the length, crossovers marked."""
        with look():
            return _figure(self.costs)

    def checkpointing_figure(self) -> Figure:
        """Memory and time of a training step against the steps between checkpoints."""
        with look():
            return _checkpointing_figure(self.costs)


def _figure(costs: Costs) -> Figure:
    figure = Figure((12.0, 4.0), layout="constrained")
    panels = figure.subplots(1, 3)
    looks = styles(list(costs.frame["cell"]))
    for axes, name in zip(panels, QUANTITIES, strict=True):
        for cell, style in looks.items():
            part = pd.DataFrame(costs.curves[costs.curves["cell"] == cell])
            axes.loglog(
                part["length"], part[name], color=style.colour, linestyle=style.line, marker=style.marker,
                label=style.label, markersize=4.5,
            )  # fmt: skip
        _mark(axes, costs, name)
        axes.set(title=TITLES[name], xlabel="length (steps)")
    if costs.frame["seconds_measured"].notna().to_numpy().all():
        for row in costs.frame.to_dict("records"):
            style = looks[row["cell"]]
            panels[2].scatter(
                costs.length, row["seconds_measured"], 90, marker=style.marker, facecolor="none",
                edgecolor=style.colour, linewidth=1.6, zorder=3,
            )  # fmt: skip
        panels[2].set_title("time by roofline; open: measured (s)")
    panels[0].legend(fontsize=9)
    sequences = formatting.number(costs.batch, "sequence")
    words = f"{sequences} at a time; device: {costs.device.name}, {costs.precision}; all axes: log scale; dotted: crossovers"
    figure.supxlabel(f"bytes and time: {words}", fontsize=9, color=GREY)
    return figure


def _mark(axes: Axes, costs: Costs, name: str) -> None:
    """Dotted lines where one network gets dearer than another, with the length beside them."""
    lengths = sorted({crossover["length"] for crossover in costs.crossovers if crossover["quantity"] == name})
    for place, steps in enumerate(lengths):
        axes.axvline(steps, color=GREY, linestyle=":", linewidth=1.1)
        axes.annotate(
            f"{steps:,}", (steps, 0.03 + 0.07 * (place % 3)), xycoords=("data", "axes fraction"), xytext=(3, 0),
            textcoords="offset points", fontsize=8.5, color=GREY,
        )  # fmt: skip


def _checkpointing_figure(costs: Costs) -> Figure:
    assert costs.checkpointing is not None
    figure = Figure((8.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for cell, style in styles(list(costs.frame["cell"])).items():
        rows = pd.DataFrame(costs.checkpointing[costs.checkpointing["cell"] == cell])
        some = pd.DataFrame(rows[rows["checkpoint_every"] > 0]).sort_values("checkpoint_every")
        looks = {"color": style.colour, "linestyle": style.line, "marker": style.marker}
        left.semilogx(some["checkpoint_every"], some["peak_bytes"] / 2**20, label=style.label, **looks)
        right.semilogx(some["checkpoint_every"], some["slowdown"], **looks)
        everything = float(rows["peak_bytes"].iloc[0]) / 2**20
        left.axhline(everything, color=style.colour, linestyle=(0, (1, 2)), label=f"{style.label}, everything kept")
    right.axhline(1.0, color=GREY, linestyle=(0, (1, 2)), label="everything kept")
    decades(left, costs.checkpointing["peak_bytes"].to_numpy() / 2**20)
    right.set_ylim(bottom=0.0)
    left.set(title="memory of a training step (MiB)", xlabel="steps between checkpoints (log scale)")
    right.set(title="time, of keeping everything = 1", xlabel="steps between checkpoints (log scale)")
    left.legend(fontsize=9)
    right.legend(fontsize=9)
    return figure
