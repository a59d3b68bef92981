"""What all network classes share when they are made: checks of sizes, sizing to a budget,
initialisation.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
from jaxtyping import Array

from capax.cells import registry
from capax.cells.cell import Layer
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.networks.budget import largest
from capax.networks.hyperparameters import check_names
from capax.networks.initialisation import initialise
from capax.networks.parts import Assembled, Dropout, count_on_shapes

Net = TypeVar("Net", bound=Assembled)


def create(
    kind: Callable[..., Net],
    cell: str | type,
    *,
    key: Array,
    units: int | None,
    budget: int | None,
    nonlinearity: str | None,
    wiring: Wiring | None,
    hyperparameters: Mapping[str, Any],
    **sizes: Any,
) -> Net:
    """An initialised network of a class, of a given number of units, or the largest within a
    parameter budget.

    `sizes`: what else the class is made with. Raises `CapaxError` for an unknown cell or
    hyperparameter, sizes that the class cannot have, or a budget too small for one unit.
    """
    if (units is None) == (budget is None):
        raise CapaxError("give either units= or budget=, and not both.")
    layer = registry.get(cell)
    wiring = registry.wiring(layer) if wiring is None else wiring
    check_names(layer, hyperparameters, entry=wiring.embedding > 0)
    sizes["wiring"] = wiring
    if units is None:
        assert budget is not None
        units, _ = largest(
            lambda units: count_on_shapes(kind, layer, units=units, **sizes),
            budget,
            multiple=layer.demands.multiple,
            name=f"{layer.__name__} at depth {sizes['depth']}",
            sizes=f" with {sizes['inputs']} inputs and {sizes['outputs']} outputs",
        )
    own, drawn = jax.random.split(key)
    return initialise(kind(layer, units=units, nonlinearity=nonlinearity, key=own, **sizes), hyperparameters, drawn)


def check_sizes(layer: type[Layer], wiring: Wiring, *, units: int, depth: int, **others: int) -> None:
    """Raise `CapaxError` for sizes below 1, or that layers of a class cannot have."""
    for name, value in {"units": units, "depth": depth, **others}.items():
        if value < 1:
            raise CapaxError(f"{name} must be at least 1, not {value}.")
    if depth < wiring.least_depth:
        raise CapaxError(
            f"{layer.__name__} gates between layers (inputs and outputs of one size), so it needs a depth of at least "
            f"{wiring.least_depth}."
        )
    if units % layer.demands.multiple:
        raise CapaxError(f"{layer.__name__} needs a multiple of {layer.demands.multiple} units, not {units}.")


def features(layer: type[Layer], wiring: Wiring, units: int) -> int:
    """How many features the lowest layer reads behind an input map; 0 where there is none."""
    if layer.demands.square and wiring.embedding not in (0, units):
        raise CapaxError(
            f"{layer.__name__} has inputs and outputs of one size, so its embedding has as many features as it has units, "
            f"{units}, not {wiring.embedding}."
        )
    return units if layer.demands.square else wiring.embedding


def dropout_of(wiring: Wiring, key: Array | None, training: bool) -> Dropout | None:
    """Dropout where there is any. Raises `CapaxError` where its key is needed and not given."""
    if not training or not wiring.dropout:
        return None
    if key is None:
        raise CapaxError("training with dropout needs a key: net(x, key=jax.random.key(0), training=True).")
    return Dropout(wiring.dropout, key)
