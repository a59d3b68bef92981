"""Dense linear systems in independent blocks, or heads: from one dense matrix to one number per
unit (Zucchet & Orvieto 2024).
"""

import functools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Cell, Demands, column
from capax.cells.diagonal import largest_phase, least_modulus, ring


class Heads(Cell):
    """h' = W h + B x with W block-diagonal, `heads` dense blocks of k x k; with the network's
    readout C and its direct part D a linear system y = C h' + D x.

    Eigenvalues start as those of the diagonal cells do, uniformly on the ring from `least_modulus`
    to .999 and up to `largest_phase`, but in a random orthonormal basis, block by block.
    `least_modulus` 0 is the uniform disc of a Gaussian matrix.
    """

    nonlinearities: ClassVar[tuple[str, ...]] = ()
    heads: eqx.AbstractClassVar[int]
    W: Float[Array, "heads k k"]
    B: Float[Array, "n i"]
    least_modulus: Array = least_modulus()
    largest_phase: Array = largest_phase()

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        size = units // self.heads
        self.W = jnp.zeros((self.heads, size, size))
        self.B = jnp.zeros((units, inputs))

    def drawn(self, key: Array) -> "Heads":
        eigenvalue_key, basis_key, input_key = jax.random.split(key, 3)
        heads, size, _ = self.W.shape
        pairs = heads * ((size + 1) // 2)
        modulus, phase = (
            part.reshape(heads, -1) for part in ring(eigenvalue_key, pairs, self.least_modulus, self.largest_phase)
        )
        W = jax.vmap(functools.partial(_with_eigenvalues, size))(modulus, phase, jax.random.split(basis_key, heads))
        B = jax.random.normal(input_key, self.B.shape) / self.inputs**0.5
        return eqx.tree_at(lambda cell: (cell.W, cell.B), self, (W, B))

    def project(self, x: Array) -> Array:
        return jnp.tensordot(self.B, x, 1)

    def step(self, state: Array, projected: Array) -> tuple[Array, Array]:
        if self.heads == 1:
            h = jnp.tensordot(self.W[0], state, 1) + projected
        elif self.heads == self.units:
            h = column(self.W, state.ndim) * state + projected
        else:
            parts = state.reshape(self.heads, -1, *state.shape[1:])
            h = jnp.einsum("hij,hj...->hi...", self.W, parts).reshape(state.shape) + projected
        return h, h


def _with_eigenvalues(
    size: int, modulus: Float[Array, " pairs"], phase: Float[Array, " pairs"], key: Array
) -> Float[Array, "k k"]:
    """A normal matrix with the eigenvalues modulus exp(+-i phase) in a random orthonormal basis; of
    an odd size, the last is real, with the sign of the cosine.
    """
    a, b = modulus * jnp.cos(phase), modulus * jnp.sin(phase)
    if size % 2:
        a, b = a.at[-1].set(jnp.sign(a[-1]) * modulus[-1]), b.at[-1].set(0.0)
    first = 2 * jnp.arange(a.shape[0])
    rotations = jnp.zeros((2 * a.shape[0],) * 2)
    rotations = rotations.at[first, first].set(a).at[first + 1, first + 1].set(a)
    rotations = rotations.at[first + 1, first].set(b).at[first, first + 1].set(-b)[:size, :size]
    q, r = jnp.linalg.qr(jax.random.normal(key, (size, size)))
    q = q * jnp.sign(jnp.diagonal(r))[None]
    return q @ rotations @ q.T


def with_heads(number: int) -> type[Heads]:
    """The class of cells with so many heads."""
    said = " ".join((Heads.__doc__ or "").split("\n\n")[0].split())
    doc = f"{said} Here {number} of them."
    attributes = {"heads": number, "demands": Demands(multiple=number), "__doc__": doc, "__module__": Heads.__module__}
    return type(f"Heads{number}", (Heads,), attributes)
