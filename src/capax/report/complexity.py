"""What layers and units do to a network's complexity: parameters, what is proven of them, measured bits, operations."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.cells import registry
from capax.cells.sequence import Dense
from capax.errors import CapaxError
from capax.experiments import results
from capax.networks.network import Network
from capax.networks.sizing import parameters
from capax.report.figures import GUIDE
from capax.report.probe_figures.lines import appearance
from capax.report.rows import column, known, select
from capax.report.statistics import line
from capax.report.style import GREY, look
from capax.theory import bounds, costs

ACTIVATIONS = {"tanh": "tanh", "relu": "relu", None: "tanh"}
"""What the bounds are stated for, by a cell's first nonlinearity."""


@dataclasses.dataclass(frozen=True)
class Complexity:
    """One row a network: layers, units, weights (all that is trained), what is proven (`covered`, `lower`, `upper`: orders, none
    where nothing is published), the same of a plain network with as many weights, bits by the rule and as measured, operations."""

    cell: str
    frame: pd.DataFrame
    notes: list[str]

    def figure(self) -> Figure:
        """Weights against units; and orders and bits against weights."""
        with look():
            return _figure(self)


def complexity(
    cell: str,
    *,
    layers: Sequence[int],
    units: Sequence[int],
    length: int,
    inputs: int = 1,
    outputs: int = 1,
    activation: str | None = None,
    runs: Sequence[str | Path] = (),
) -> Complexity:
    """A grid of networks of a cell.

    **Arguments:** `layers`, `units`: the grid; `length`, k, of the input; `activation`, for the bounds, by default the cell's first
    nonlinearity; `runs`: run directories with the capacity task, for measured bits of networks within the sizes that were run.

    Raises `CapaxError` for sizes below 1, an unknown cell or activation, a directory without a run.
    """
    kind = registry.get(cell)
    activation = activation or ACTIVATIONS.get(kind.nonlinearities[0] if kind.nonlinearities else None, "tanh")
    covered, measured = cell in bounds.COVERED, _measured(cell, runs)
    rows = []
    for depth in layers:
        for width in units:
            sizes: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "depth": depth, "units": width}
            for name, value in sizes.items():
                if value < 1:
                    raise CapaxError(f"{'layers' if name == 'depth' else name} must be at least 1, not {value}.")
            weights = parameters(cell, **sizes)
            bound = bounds.vc_dimension(weights=weights, length=length, activation=activation)
            rows.append(
                {
                    "layers": depth,
                    "units": width,
                    "weights": weights,
                    "length": length,
                    "activation": activation,
                    "covered": covered,
                    "lower": bound.lower if covered else None,
                    "upper": bound.upper if covered else None,
                    "plain_lower": bound.lower,
                    "plain_upper": bound.upper,
                    "in_regime": bound.in_regime,
                    "bits_by_rule": GUIDE * weights,
                    "bits_measured": _bits(measured.get(depth), weights),
                    "operations_per_step": _operations(kind, **sizes),
                }
            )
    return Complexity(cell, pd.DataFrame(rows), _notes(cell, covered, activation, bool(measured)))


def _operations(kind: type, **sizes: Any) -> int:
    """Of one step of one sequence, forward, input map and readout included."""
    network = jax.eval_shape(lambda: Network(kind, **sizes))
    x = jax.ShapeDtypeStruct((1, sizes["inputs"], 1), jnp.float32)
    return costs.operations(lambda network, x: network.run(Dense(x)), network, x).total


def _measured(cell: str, runs: Sequence[str | Path]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
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


def _notes(cell: str, covered: bool, activation: str, measured: bool) -> list[str]:
    proven = (
        f"Proven for {cell} (Koiran & Sontag 1998): the VC dimension is of an order between lower and upper."
        if covered
        else f"For {cell} no bound of this kind is published. What is proven is for plain recurrence: lower and upper order of a plain "
        "network with as many weights stand beside it in brackets, and say nothing of this cell."
    )
    return [
        proven,
        f"Orders, not numbers: constants are left out, so that rows can be compared, not read as bits. Activation {activation}; stated for "
        f"{bounds.REGIME}.",
        "The orders move with the weights, whatever the layers: two layers are not twice the VC dimension of one.",
        f"By rule: {GUIDE:g} bits a parameter, what Collins et al. (2017) found networks to approach."
        + (" Measured: on the line through stored bits of the given runs, within their sizes." if measured else ""),
    ]


def _figure(found: Complexity) -> Figure:
    frame = found.frame
    figure = Figure((10.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, depth in enumerate(sorted(set(frame["layers"]))):
        part = pd.DataFrame(frame[frame["layers"] == depth])
        left.loglog(
            part["units"], part["weights"], **appearance(place), label=f"{depth} layer{'s' if depth > 1 else ''}"
        )
        if np.isfinite(column(part, "bits_measured")).any():
            right.loglog(
                part["weights"],
                part["bits_measured"],
                **{**appearance(place), "linestyle": "none"},
                label=f"bits measured, {depth}",
            )
    left.set(xlabel="units per layer", ylabel="weights", title=found.cell)
    _orders(right, frame.sort_values("weights"), bool(frame["covered"].all()))
    for axes in (left, right):
        axes.legend(fontsize=8.5)
    return figure


def _orders(axes: Axes, frame: pd.DataFrame, covered: bool) -> None:
    whose = "" if covered else " of a plain network"
    axes.loglog(frame["weights"], frame["bits_by_rule"], color=GREY, label=f"{GUIDE:g} bits a weight")
    for name, style in (("lower", "--"), ("upper", ":")):
        axes.loglog(
            frame["weights"], frame[f"plain_{name}"], color="black", linestyle=style, label=f"{name} order{whose}"
        )
    axes.set(xlabel="weights", title="bits, and orders of the VC dimension (no constants)")
