"""Sizing: the largest number of units per layer whose trainable parameters do not exceed a budget,
for any cell.
"""

import dataclasses
import functools

from capax.architecture import STACK, Architecture
from capax.cells import registry
from capax.cells.cell import Layer
from capax.errors import CapaxError
from capax.networks.assembling import blank
from capax.networks.budget import largest
from capax.networks.parts import count_on_shapes


@dataclasses.dataclass(frozen=True)
class Size:
    """The result of sizing: all layers have the same `units`; `parameters` is exact and at most
    `budget`.
    """

    cell: str
    depth: int
    units: int
    parameters: int
    budget: int


@functools.lru_cache(maxsize=4096)
def _parameters(
    cell: type[Layer], architecture: Architecture, inputs: int, outputs: int, depth: int, units: int
) -> int:
    return count_on_shapes(blank, architecture, cell, inputs=inputs, outputs=outputs, depth=depth, units=units)


def parameters(
    cell: str | type, *, inputs: int, outputs: int, depth: int, units: int, architecture: Architecture = STACK
) -> int:
    """The number of trainable parameters of a network, counted on shapes without computing
    anything.
    """
    return _parameters(registry.get(cell), architecture, inputs, outputs, depth, units)


def size(
    cell: str | type, *, budget: int, inputs: int, outputs: int, depth: int = 1, architecture: Architecture = STACK
) -> Size:
    """The largest network of a cell within a parameter budget (Collins et al. 2017, section 1.2).

    Raises `CapaxError` for sizes below 1, an unknown cell, or a cell that cannot have this depth;
    `TooSmall` for a budget too small for one unit (or for the fewest that the cell can have).
    """
    for name, value in {"budget": budget, "inputs": inputs, "outputs": outputs, "depth": depth}.items():
        if value < 1:
            raise CapaxError(f"{name} must be at least 1, not {value}.")
    cell_class = registry.get(cell)
    name = cell if isinstance(cell, str) else cell.__name__
    units, found = largest(
        lambda units: _parameters(cell_class, architecture, inputs, outputs, depth, units),
        budget,
        multiple=cell_class.demands.multiple,
        name=f"{name} at depth {depth}",
        sizes=f" with {inputs} inputs and {outputs} outputs",
    )
    return Size(name, depth, units, found, budget)
