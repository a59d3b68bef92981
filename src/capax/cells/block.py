"""The deep block of state space models around any recurrence: norm, recurrence, GELU, GLU, skip
(Orvieto et al. 2023).
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Cell, LinearCell, State, column, scaled_norm, sigmoid


class Block(Cell):
    """x + a sigmoid(b), where (a, b) = W_glu gelu(y) + b_glu and y is the output of the recurrence
    that reads layer_norm(x).

    To be mixed into the class of the recurrence, before it: `block` does that. All its
    hyperparameters and states are the recurrence's.
    """

    norm_scale: Float[Array, " n"]
    norm_bias: Float[Array, " n"]
    W_glu: Float[Array, "2n n"]
    b_glu: Float[Array, " 2n"]

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.norm_scale, self.norm_bias = jnp.ones((units,)), jnp.zeros((units,))
        self.W_glu, self.b_glu = jnp.zeros((2 * units, units)), jnp.zeros((2 * units,))

    def drawn(self, key: Array) -> "Cell":
        own, inner = jax.random.split(key)
        W_glu = jax.random.normal(own, self.W_glu.shape) / self.units**0.5
        return eqx.tree_at(lambda cell: cell.W_glu, super().drawn(inner), W_glu)

    def project(self, x: Array) -> tuple[Any, Array]:
        return super().project(scaled_norm(self.norm_scale, self.norm_bias, x)), x

    def _around(self, y: Array, x: Array) -> Array:
        a, b = jnp.split(jnp.tensordot(self.W_glu, jax.nn.gelu(y), 1) + column(self.b_glu, y.ndim), 2)
        return x + a * sigmoid(b)


class _Stepping(Block):
    def step(self, state: State, projected: tuple[Any, Array]) -> tuple[State, Array]:
        state, y = super().step(state, projected[0])
        return state, self._around(y, projected[1])


class _Emitting(Block, LinearCell):
    def advance(self, state: State, projected: tuple[Any, Array]) -> State:
        return super().advance(state, projected[0])

    def all_states(self, initial: State, projected: tuple[Any, Array]) -> State:
        return super().all_states(initial, projected[0])

    def emit(self, state: State, projected: tuple[Any, Array]) -> Array:
        return self._around(super().emit(state, projected[0]), projected[1])


def block(cell: type[Cell]) -> type[Cell]:
    """The class of deep blocks around a cell."""
    doc = f"The deep block (norm, recurrence, GELU, GLU, skip) around {cell.__name__}."
    demands = dataclasses.replace(cell.demands, square=True)
    attributes = {"demands": demands, "__doc__": doc, "__module__": cell.__module__}
    around: Any = _Emitting if issubclass(cell, LinearCell) else _Stepping
    return type(f"Block{cell.__name__}", (around, cell), attributes)
