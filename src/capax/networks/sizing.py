"""Sizing: the largest number of units per layer whose trainable parameters do not exceed a budget, for any cell."""

import dataclasses
import functools

import equinox as eqx

from capax.cells import registry
from capax.cells.cell import Cell
from capax.errors import CapaxError, TooSmall
from capax.networks.network import Network, count_parameters


@dataclasses.dataclass(frozen=True)
class Size:
    """The result of sizing: all layers have the same `units`; `parameters` is exact and at most `budget`."""

    cell: str
    depth: int
    units: int
    parameters: int
    budget: int


@functools.lru_cache(maxsize=4096)
def _parameters(cell: type[Cell], inputs: int, outputs: int, depth: int, units: int) -> int:
    # Shapes alone: nothing is computed. The filter is for what a user's cell holds beside arrays.
    shapes = eqx.filter_eval_shape(Network, cell, inputs=inputs, outputs=outputs, depth=depth, units=units)
    return count_parameters(shapes)


def parameters(cell: str | type, *, inputs: int, outputs: int, depth: int, units: int) -> int:
    """The number of trainable parameters of a network, counted on shapes without computing anything."""
    return _parameters(registry.get(cell), inputs, outputs, depth, units)


def size(cell: str | type, *, budget: int, inputs: int, outputs: int, depth: int = 1) -> Size:
    """The largest network of a cell within a parameter budget (Collins et al. 2017, section 1.2).

    Raises `CapaxError` for sizes below 1, an unknown cell, or a cell that cannot have this depth; `TooSmall` for a budget too small
    for one unit (or for the fewest that the cell can have).
    """
    for name, value in {"budget": budget, "inputs": inputs, "outputs": outputs, "depth": depth}.items():
        if value < 1:
            raise CapaxError(f"{name} must be at least 1, not {value}.")
    cell_class = registry.get(cell)
    name = cell if isinstance(cell, str) else cell.__name__

    fewest = cell_class.multiple

    def count(multiple: int) -> int:
        return _parameters(cell_class, inputs, outputs, depth, multiple * fewest)

    if count(1) > budget:
        least = "one unit" if fewest == 1 else f"{fewest} units"
        raise TooSmall(
            f"a budget of {budget} parameters is too small for {name} at depth {depth}: {least} per layer "
            f"with {inputs} inputs and {outputs} outputs takes {count(1)}."
        )
    low, high = 1, 2  # count(low) <= budget always; doubled until count(high) > budget, then halved between
    while count(high) <= budget:
        if count(high) == count(low):
            raise CapaxError(
                f"{name} has as many parameters ({count(low)}) with {low * fewest} as with {high * fewest} units: it cannot be sized."
            )
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return Size(name, depth, low * fewest, count(low), budget)
