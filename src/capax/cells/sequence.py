"""Input sequences, and how a cell's input projection is hoisted out of the loop over time for each kind.

A sequence is projected once by `f`, the first layer's `project` (a function of one time step's features, features-first),
and then read step by step. Symbols: t = time steps, i = features, b = batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from capax.cells.cell import Projected

Project = Callable[[Array], Projected]


class Steps(NamedTuple):
    """A projected sequence: `read(xs[t])` is what the cell's step takes at time t."""

    xs: Any
    read: Callable[[Any], Projected]


class Dense(eqx.Module):
    """Any real-valued sequence."""

    values: Float[Array, "t i b"]

    def values_at_every_step(self) -> Float[Array, "t i b"]:
        return self.values

    @property
    def length(self) -> int:
        return self.values.shape[0]

    def project(self, f: Project) -> Steps:
        return Steps(jax.vmap(f)(self.values), lambda projected: projected)


class OneHot(eqx.Module):
    """A sequence of symbols 0..size-1. The projection of each symbol is a row of a table, computed once per call and
    gathered, never a matrix product per time step; this holds for every cell, since `project` sees one input at a time."""

    symbols: Int[Array, "t b"]
    size: int = eqx.field(static=True)

    def values_at_every_step(self) -> Float[Array, "t i b"]:
        return jnp.swapaxes(jax.nn.one_hot(self.symbols, self.size), 1, 2)

    @property
    def length(self) -> int:
        return self.symbols.shape[0]

    def project(self, f: Project) -> Steps:
        table = f(jnp.eye(self.size))
        return Steps(self.symbols, lambda symbols: jax.tree.map(lambda leaf: _columns(leaf, symbols), table))


@jax.custom_vjp
def _columns(table: Float[Array, "k size"], symbols: Int[Array, " b"]) -> Float[Array, "k b"]:
    """The columns of a table for a batch of symbols."""
    return table[:, symbols]


def _columns_forward(table: Array, symbols: Array) -> tuple[Array, tuple[Array, int]]:
    return table[:, symbols], (symbols, table.shape[1])


def _columns_backward(residuals: tuple[Array, int], gradient: Array) -> tuple[Array, None]:
    # A product with the one-hot matrix instead of a scatter, which is serial on a CPU.
    symbols, size = residuals
    return gradient @ jax.nn.one_hot(symbols, size, dtype=gradient.dtype), None


_columns.defvjp(_columns_forward, _columns_backward)


class Held(eqx.Module):
    """One vector shown at the first step only, or at every step (`always`); zeros at the others."""

    shown: Float[Array, "i b"]
    always: Bool[Array, ""]
    length: int = eqx.field(static=True)

    def _flags(self) -> Bool[Array, " t"]:
        return jnp.where(jnp.arange(self.length) == 0, True, self.always)

    def values_at_every_step(self) -> Float[Array, "t i b"]:
        return jnp.where(self._flags()[:, None, None], self.shown[None], 0.0)

    def project(self, f: Project) -> Steps:
        present, absent = f(self.shown), f(jnp.zeros((self.shown.shape[0], 1)))

        def read(flag: Bool[Array, ""]) -> Projected:
            return jax.tree.map(lambda on, off: jnp.where(flag, on, off), present, absent)

        return Steps(self._flags(), read)


Sequence = Dense | OneHot | Held
