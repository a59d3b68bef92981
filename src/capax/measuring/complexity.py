"""What layers and units do to a network's complexity: parameters, what is proven of them,
operations.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd

from capax.cells import registry
from capax.cells.sequence import Dense
from capax.errors import CapaxError
from capax.networks.network import Network
from capax.networks.sizing import parameters
from capax.theory import bounds, costs

ACTIVATIONS = {"tanh": "tanh", "relu": "relu", None: "tanh"}
"""What the bounds are stated for, by a cell's first nonlinearity."""


@dataclasses.dataclass(frozen=True)
class Complexity:
    """A grid of networks of one cell.

    `frame`: one row a network: layers, units, weights (all that is trained), what is proven
    (`covered`, `lower`, `upper`: orders, none where nothing is published), the same of a plain
    network with as many weights, and operations of a step. `notes`: what must be said of the
    numbers.
    """

    cell: str
    frame: pd.DataFrame
    notes: list[str]


def complexity(
    cell: str,
    *,
    layers: Sequence[int],
    units: Sequence[int],
    length: int,
    inputs: int = 1,
    outputs: int = 1,
    activation: str | None = None,
) -> Complexity:
    """A grid of networks of a cell.

    **Arguments:** `layers`, `units`: the grid; `length`, k, of the input; `activation`, for the
    bounds, by default the cell's first nonlinearity.

    Raises `CapaxError` for sizes below 1, an unknown cell or activation.
    """
    kind = registry.get(cell)
    activation = activation or ACTIVATIONS.get(kind.nonlinearities[0] if kind.nonlinearities else None, "tanh")
    rows = []
    for depth in layers:
        for width in units:
            sizes: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "depth": depth, "units": width}
            rows.append(_row(cell, kind, sizes, length, activation))
    return Complexity(cell, pd.DataFrame(rows), _notes(cell, cell in bounds.COVERED, activation))


def _row(cell: str, kind: type, sizes: dict[str, Any], length: int, activation: str) -> dict[str, Any]:
    for name, value in sizes.items():
        if value < 1:
            raise CapaxError(f"{'layers' if name == 'depth' else name} must be at least 1, not {value}.")
    weights, covered = parameters(cell, **sizes), cell in bounds.COVERED
    bound = bounds.vc_dimension(weights=weights, length=length, activation=activation)
    return {
        "layers": sizes["depth"],
        "units": sizes["units"],
        "weights": weights,
        "length": length,
        "activation": activation,
        "covered": covered,
        "lower": bound.lower if covered else None,
        "upper": bound.upper if covered else None,
        "plain_lower": bound.lower,
        "plain_upper": bound.upper,
        "in_regime": bound.in_regime,
        "operations_per_step": _operations(kind, **sizes),
    }


def _operations(kind: type, **sizes: Any) -> int:
    """Of one step of one sequence, forward, input map and readout included."""
    network = jax.eval_shape(lambda: Network(kind, **sizes))
    x = jax.ShapeDtypeStruct((1, sizes["inputs"], 1), jnp.float32)
    return costs.operations(lambda network, x: network.run(Dense(x)), network, x).total


def _notes(cell: str, covered: bool, activation: str) -> list[str]:
    proven = (
        f"Proven for {cell} (Koiran & Sontag 1998): the VC dimension is of an order between lower and upper."
        if covered
        else f"For {cell} no bound of this kind is published. What is proven is for plain recurrence: lower and upper "
        "order of a plain network with as many weights stand beside it in brackets, and say nothing of this cell."
    )
    return [
        proven,
        "Orders, not numbers: constants are left out, so that rows can be compared, not read as bits. Activation "
        f"{activation}; stated for {bounds.REGIME}.",
        "The orders move with the weights, whatever the layers: two layers are not twice the VC dimension of one.",
    ]
