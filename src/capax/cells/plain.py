"""Adapter for a plain one-sample cell, such as equinox.nn.GRUCell: `Class(inputs, units, key=key)`,
`cell(x, h) -> h`.
"""

import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from capax.cells.cell import Cell


def _over_batch_axes(function: Any, *arguments: Any) -> Any:
    """Map a one-sample function over the trailing batch axes of features-first arrays."""
    for _ in range(jax.tree.leaves(arguments)[0].ndim - 1):
        function = jax.vmap(function, in_axes=-1, out_axes=-1)
    return function(*arguments)


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, np.ndarray)


def _initial_state(cell: Any, inputs: int, units: int) -> Any:
    """The cell's own `initial_state()`, else one vector of zeros, else two (an LSTM's h and c)."""
    if hasattr(cell, "initial_state"):
        return cell.initial_state()
    vector, sample = jnp.zeros((units,)), jax.ShapeDtypeStruct((inputs,), jnp.float32)
    try:
        jax.eval_shape(cell, sample, vector)
    except Exception:
        try:
            jax.eval_shape(cell, sample, (vector, vector))
        except Exception:
            jax.eval_shape(cell, sample, vector)  # neither state fits: the author wants to see the first failure
        return vector, vector
    return vector


class Plain(Cell):
    """A plain cell under the contract: its parameters are drawn by its own constructor, and its
    loop over the batch is vmapped, which costs speed. An output other than the first vector of the
    state is not supported.
    """

    nonlinearities: ClassVar[tuple[str, ...]] = ()
    plain: eqx.AbstractClassVar[type]
    cell: Any  # its arrays
    rest: Any = eqx.field(static=True)  # what it holds beside arrays, such as a function

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity)
        cell = type(self).plain(inputs, units, key=jax.random.key(0) if key is None else key)
        self.initial = _initial_state(cell, inputs, units)
        self.cell, self.rest = eqx.partition(cell, _is_array)

    def project(self, x: Array) -> Array:
        return x

    def step(self, state: Any, projected: Array) -> tuple[Any, Array]:
        state = _over_batch_axes(eqx.combine(self.cell, self.rest), projected, state)
        return state, jax.tree.leaves(state)[0]


@functools.cache
def adapt(plain: type) -> type[Cell]:
    """The class of cells that runs `plain`, an `equinox.Module` class with `__call__(x, state) ->
    state`.
    """
    if not issubclass(plain, eqx.Module):
        raise TypeError(f"{plain.__name__} is neither a capax.Cell nor an equinox.Module.")
    return type(plain.__name__, (Plain,), {"plain": plain, "__doc__": plain.__doc__, "__module__": plain.__module__})
