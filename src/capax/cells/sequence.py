"""Input sequences, and how a cell's input projection is hoisted out of the loop over time for each
kind.

A sequence is projected once by `f`, the first layer's `project` (a function of one time step's
features, features-first), and then read step by step. Symbols: t = time steps, i = features, b =
batch, s = streams of symbols.
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

    def cleared(self, real: Bool[Array, "t b"]) -> "Dense":
        """The same sequence with zeros where a step is not real, whatever stood there."""
        return Dense(jnp.where(real[:, None], self.values, 0.0))

    def project(self, f: Project) -> Steps:
        return Steps(jax.vmap(f)(self.values), lambda projected: projected)


class OneHot(eqx.Module):
    """A sequence of symbols 0..size-1. The projection of each symbol is a row of a table, computed
    once per call and gathered, never a matrix product per time step; this holds for every cell,
    since `project` sees one input at a time.
    """

    symbols: Int[Array, "t b"]
    size: int = eqx.field(static=True)

    def values_at_every_step(self) -> Float[Array, "t i b"]:
        return jnp.swapaxes(jax.nn.one_hot(self.symbols, self.size), 1, 2)

    @property
    def length(self) -> int:
        return self.symbols.shape[0]

    def cleared(self, real: Bool[Array, "t b"]) -> "OneHot":
        """The same sequence with the symbol 0 where a step is not real."""
        return OneHot(jnp.where(real, self.symbols, 0), self.size)

    def table(self, f: Project) -> Projected:
        """The projections of all symbols, side by side."""
        return f(jnp.eye(self.size))

    def project(self, f: Project) -> Steps:
        table = self.table(f)
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


class MultiHot(eqx.Module):
    """Several symbols 0..size-1 at every step, one a stream: their one-hot vectors stand one below
    the other, so there are streams x size features. An affine projection is a sum of columns of a
    table, one column a stream; where `f` is not affine (a cell of a user's), the sequence is
    projected as a dense one.
    """

    symbols: Int[Array, "t s b"]
    size: int = eqx.field(static=True)

    def values_at_every_step(self) -> Float[Array, "t i b"]:
        steps, streams, batch = self.symbols.shape
        one_hot = jax.nn.one_hot(self.symbols, self.size, axis=2)
        return one_hot.reshape(steps, streams * self.size, batch)

    @property
    def length(self) -> int:
        return self.symbols.shape[0]

    def cleared(self, real: Bool[Array, "t b"]) -> "MultiHot":
        """The same sequence with the symbol 0 in all streams where a step is not real."""
        return MultiHot(jnp.where(real[:, None], self.symbols, 0), self.size)

    def table(self, f: Project) -> Projected | None:
        """The projections of all symbols of all streams, side by side, so that their sums are the
        projections of what is seen at a step; None where `f` is not affine.
        """
        streams = self.symbols.shape[1]
        features = streams * self.size
        if not _is_affine(f, features):
            return None
        # f(e_1 + .. + e_s) = sum f(e_i) - (s - 1) f(0): each column bears its share of what is
        # counted too often.
        share = (streams - 1) / streams
        return jax.tree.map(lambda e, zero: e - share * zero, f(jnp.eye(features)), f(jnp.zeros((features, 1))))

    def project(self, f: Project) -> Steps:
        table = self.table(f)
        if table is None:
            return Dense(self.values_at_every_step()).project(f)

        def read(symbols: Int[Array, "s b"]) -> Projected:
            return jax.tree.map(lambda leaf: _sums_of_columns(leaf, symbols), table)

        return Steps(self.symbols, read)


def _is_affine(f: Project, features: int) -> bool:
    """Whether `f` is built of affine operations only: those alone can be transposed."""
    x = jax.ShapeDtypeStruct((features, 1), jnp.float32)
    try:
        jax.eval_shape(lambda x: jax.linear_transpose(f, x)(f(x)), x)
    except Exception:  # JAX says it in several ways
        return False
    return True


@jax.custom_vjp
def _sums_of_columns(table: Float[Array, "k i"], symbols: Int[Array, "s b"]) -> Float[Array, "k b"]:
    """For a batch, the sum over streams of the column of each stream's symbol, in the stream's part
    of the table.
    """
    streams = symbols.shape[0]
    begins = jnp.arange(streams)[:, None] * (table.shape[1] // streams)
    return jnp.sum(table[:, begins + symbols], axis=1)


def _sums_forward(table: Array, symbols: Array) -> tuple[Array, tuple[Array, int]]:
    return _sums_of_columns(table, symbols), (symbols, table.shape[1])


def _sums_backward(residuals: tuple[Array, int], gradient: Array) -> tuple[Array, None]:
    # As for one symbol: a product with the one-hot matrices, not a scatter.
    symbols, features = residuals
    one_hot = jax.nn.one_hot(symbols, features // symbols.shape[0], axis=1, dtype=gradient.dtype)
    return gradient @ one_hot.reshape(features, -1).T, None


_sums_of_columns.defvjp(_sums_forward, _sums_backward)


class Held(eqx.Module):
    """One vector shown at the first step only, or at every step (`always`); zeros at the others."""

    shown: Float[Array, "i b"]
    always: Bool[Array, ""]
    length: int = eqx.field(static=True)

    def cleared(self, real: Bool[Array, "t b"]) -> "Held":
        """The same sequence, with zeros for sequences of no steps."""
        return Held(jnp.where(real[:1], self.shown, 0.0), self.always, self.length)

    def _flags(self) -> Bool[Array, " t"]:
        return jnp.where(jnp.arange(self.length) == 0, True, self.always)

    def values_at_every_step(self) -> Float[Array, "t i b"]:
        return jnp.where(self._flags()[:, None, None], self.shown[None], 0.0)

    def project(self, f: Project) -> Steps:
        present, absent = f(self.shown), f(jnp.zeros((self.shown.shape[0], 1)))

        def read(flag: Bool[Array, ""]) -> Projected:
            return jax.tree.map(lambda on, off: jnp.where(flag, on, off), present, absent)

        return Steps(self._flags(), read)


Sequence = Dense | OneHot | MultiHot | Held
