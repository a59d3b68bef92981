"""Cells of a user's own, for tests that need them by module path."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from capax import Affine, Cell, affine, forget_bias, sigmoid


class Declared(Cell):
    """Declared affine maps, features first."""

    maps: Affine = affine("candidate", "gate")
    forget_bias: Array = forget_bias()

    def project(self, x):
        return self.maps.project(x)

    def step(self, h, projected):
        c, g = self.maps.recur(h, projected)
        g = sigmoid(g + self.forget_bias)
        h = g * h + (1 - g) * self.s(c)
        return h, h


class Plain(eqx.Module):
    """One sample at a time, in the manner of `equinox.nn.GRUCell`."""

    cell: eqx.nn.GRUCell

    def __init__(self, input_size: int, hidden_size: int, *, key: Array):
        self.cell = eqx.nn.GRUCell(input_size, hidden_size, key=key)

    def __call__(self, x: Array, h: Array) -> Array:
        return jax.nn.tanh(self.cell(x, h)) + 0.0 * jnp.sum(x)


class WithFunction(eqx.Module):
    """A plain cell that holds a function which is not static."""

    cell: eqx.nn.GRUCell
    function: Callable

    def __init__(self, input_size: int, hidden_size: int, *, key: Array):
        self.cell, self.function = eqx.nn.GRUCell(input_size, hidden_size, key=key), jnp.sin

    def __call__(self, x: Array, h: Array) -> Array:
        return self.function(self.cell(x, h))
