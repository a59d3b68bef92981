"""Diagonal linear recurrences with complex eigenvalues, in three parametrisations, and what they share."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Cell, hyperparameter

LARGEST_MODULUS = 0.999
"""Of an eigenvalue at the start; training may go beyond."""

Pair = tuple[Array, Array]  # real and imaginary part


def _column(part: Array, ndim: int) -> Array:
    return part.reshape((-1,) + (1,) * (ndim - 1))


class Diagonal(Cell):
    """h' = lambda h + gain B x; y = Re(C h') + D x, with h complex. A subclass says what lambda and the gain are, and draws
    what they are made of. Real and imaginary parts are arrays of their own."""

    nonlinearities: ClassVar[tuple[str, ...]] = ()
    states: ClassVar[tuple[str, ...]] = ("real", "imaginary")
    B_real: Float[Array, "n i"]
    B_imaginary: Float[Array, "n i"]
    C_real: Float[Array, "n n"]
    C_imaginary: Float[Array, "n n"]
    D: Float[Array, "n i"]

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.B_real = self.B_imaginary = self.D = jnp.zeros((units, inputs))
        self.C_real = self.C_imaginary = jnp.zeros((units, units))

    def eigenvalues(self) -> Pair:
        """lambda, shapes (n,)."""
        raise NotImplementedError

    def gain(self) -> Pair:
        """What inputs are multiplied by, shapes (n,)."""
        return jnp.ones((self.units,)), jnp.zeros((self.units,))

    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        """Initial values of the fields that eigenvalues and gains are made of."""
        raise NotImplementedError

    def drawn(self, key: Array) -> "Diagonal":
        own, *keys = jax.random.split(key, 6)
        shapes = [(self.units, self.inputs)] * 3 + [(self.units, self.units)] * 2
        normals = [jax.random.normal(k, shape) / shape[1] ** 0.5 for k, shape in zip(keys, shapes, strict=True)]
        D, *parts = normals
        matrices = dict(
            zip(("B_real", "B_imaginary", "C_real", "C_imaginary"), (part / 2**0.5 for part in parts), strict=True)
        )
        new = {**self.drawn_recurrence(own), **matrices, "D": D}
        return eqx.tree_at(lambda cell: [getattr(cell, name) for name in new], self, list(new.values()))

    def project(self, x: Array) -> tuple[Array, Array, Array]:
        real, imaginary = (part[:, None] for part in self.gain())
        return (
            jnp.tensordot(real * self.B_real - imaginary * self.B_imaginary, x, 1),
            jnp.tensordot(real * self.B_imaginary + imaginary * self.B_real, x, 1),
            jnp.tensordot(self.D, x, 1),
        )

    def advance(self, state: Pair, projected: tuple[Array, Array, Array]) -> Pair:
        (real, imaginary), (drive_real, drive_imaginary, _) = state, projected
        a, b = (_column(part, real.ndim) for part in self.eigenvalues())
        return a * real - b * imaginary + drive_real, b * real + a * imaginary + drive_imaginary

    def emit(self, state: Pair, projected: tuple[Array, Array, Array]) -> Array:
        real, imaginary = state
        return jnp.tensordot(self.C_real, real, 1) - jnp.tensordot(self.C_imaginary, imaginary, 1) + projected[2]


def ring(key: Array, units: int, least_modulus: Array, largest_phase: Array) -> Pair:
    """Squared moduli uniform from least_modulus^2 to .999^2, phases uniform from 0 to the largest (Orvieto et al. 2023, lemma 3.2)."""
    modulus_key, phase_key = jax.random.split(key)
    low, high = least_modulus**2, LARGEST_MODULUS**2
    squared = low + (high - low) * jax.random.uniform(modulus_key, (units,), minval=1e-6)
    return jnp.sqrt(squared), largest_phase * jax.random.uniform(phase_key, (units,), minval=1e-3)


class ComplexDiagonal(Diagonal):
    """lambda = a + i b, trained as it is; inputs are not normalised: the plain complex diagonal RNN (Zucchet & Orvieto 2024)."""

    a: Float[Array, " n"]
    b: Float[Array, " n"]
    least_modulus: Array = hyperparameter(0.0, 0.99, default=0.9)
    largest_phase: Array = hyperparameter(0.01, math.pi, default=math.pi, log=True)

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.a = self.b = jnp.zeros((units,))

    def eigenvalues(self) -> Pair:
        return self.a, self.b

    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        modulus, phase = ring(key, self.units, self.least_modulus, self.largest_phase)
        return {"a": modulus * jnp.cos(phase), "b": modulus * jnp.sin(phase)}


class NormalisedDiagonal(ComplexDiagonal):
    """The complex diagonal RNN with inputs multiplied by gamma = exp(w_gamma), at the start sqrt(1 - |lambda|^2): half of the way
    to the LRU, for ablations."""

    w_gamma: Float[Array, " n"]  # pyright: ignore[reportGeneralTypeIssues]  # no constructor is made of the fields

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.w_gamma = jnp.zeros((units,))

    def gain(self) -> Pair:
        return jnp.exp(self.w_gamma), jnp.zeros((self.units,))

    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        found = super().drawn_recurrence(key)
        return {**found, "w_gamma": 0.5 * jnp.log(1 - found["a"] ** 2 - found["b"] ** 2)}
