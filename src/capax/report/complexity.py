"""The complexity of networks beside the bits that runs measured, with its figure."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.errors import CapaxError
from capax.experiments import results
from capax.measuring.complexity import Complexity
from capax.report import formatting
from capax.report.probe_figures.lines import appearance
from capax.report.published import COLLINS
from capax.report.rows import column, known, select
from capax.report.statistics import line
from capax.report.style import GREY, look

Measured = Mapping[int, tuple[np.ndarray, np.ndarray]]
"""Parameters and stored bits by depth."""


@dataclasses.dataclass(frozen=True)
class ComplexityReport:
    """Layers and units of one cell: what is proven, by rule, and measured.

    `frame`: the grid of `measuring.complexity`, with `bits_by_rule`, and `bits_measured` (none
    outside the sizes that were run).
    """

    cell: str
    frame: pd.DataFrame
    notes: list[str]

    def figure(self) -> Figure:
        """Weights against units; and orders and bits against weights."""
        with look():
            return _figure(self)


def report(grid: Complexity, runs: Sequence[str | Path]) -> ComplexityReport:
    """The grid with bits by rule and as measured in run directories with the capacity task.

    Raises `CapaxError` for a directory without such a run.
    """
    measured, rule = measured_bits(grid.cell, runs), COLLINS.bits_per_parameter
    frame = grid.frame.assign(
        bits_by_rule=rule * grid.frame["weights"],
        bits_measured=[
            _bits(measured.get(layers), weights)
            for layers, weights in zip(grid.frame["layers"], grid.frame["weights"], strict=True)
        ],
    )
    note = f"By rule: {rule:g} bits a parameter, what {COLLINS.name} found networks to approach."
    if measured:
        note += " Measured: on the line through stored bits of the given runs, within their sizes."
    return ComplexityReport(grid.cell, frame, [*grid.notes, note])


def measured_bits(cell: str, runs: Sequence[str | Path]) -> Measured:
    """Stored bits against parameters in the given runs, by depth."""
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for run in runs:
        frame = results.studies(*results.read(Path(run)))
        of_cell = known(select(frame, cell=cell), "best")
        of_cell = pd.DataFrame(of_cell[of_cell["task"].str.startswith("capacity")])
        if of_cell.empty:
            raise CapaxError(f"{run} holds no result of the capacity task for {cell}.")
        for depth in sorted(set(of_cell["depth"])):
            part = pd.DataFrame(of_cell[of_cell["depth"] == depth])
            found[int(depth)] = (column(part, "parameters"), column(part, "best"))
    return found


def _bits(measured: tuple[np.ndarray, np.ndarray] | None, weights: int) -> float | None:
    """On the line through what was measured, within its sizes; None outside."""
    if measured is None or not measured[0].min() <= weights <= measured[0].max():
        return None
    fit = line(list(measured[0]), list(measured[1]))
    return None if fit is None else fit.slope * weights + fit.intercept


def _figure(found: ComplexityReport) -> Figure:
    frame = found.frame
    figure = Figure((10.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, depth in enumerate(sorted(set(frame["layers"]))):
        part = pd.DataFrame(frame[frame["layers"] == depth])
        left.loglog(part["units"], part["weights"], **appearance(place), label=formatting.layers(int(depth)))
        if np.isfinite(column(part, "bits_measured")).any():
            looks = {**appearance(place), "linestyle": "none"}
            label = f"bits measured, {formatting.layers(int(depth))}"
            right.loglog(part["weights"], part["bits_measured"], **looks, label=label)
    left.set(xlabel="units per layer (log scale)", ylabel="weights (log scale)", title=found.cell)
    _orders(right, frame.sort_values("weights"), bool(frame["covered"].all()))
    for axes in (left, right):
        axes.legend(fontsize=8.5)
    return figure


def _orders(axes: Axes, frame: pd.DataFrame, covered: bool) -> None:
    whose, rule = "" if covered else " of a plain network", COLLINS.bits_per_parameter
    axes.loglog(frame["weights"], frame["bits_by_rule"], color=GREY, label=f"{rule:g} bits a weight")
    for name, style in (("lower", "--"), ("upper", ":")):
        label = f"{name} order{whose}"
        axes.loglog(frame["weights"], frame[f"plain_{name}"], color="black", linestyle=style, label=label)
    axes.set(xlabel="weights (log scale)", title="bits, and orders of the VC dimension (no constants; log scale)")
