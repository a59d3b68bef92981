"""LRU, the linear recurrent unit: a diagonal linear recurrence with complex eigenvalues (Orvieto et al. 2023)."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Cell, hyperparameter

LARGEST_MODULUS = 0.999
"""Of an eigenvalue at the start; training may go beyond, and never reaches 1."""


class LRU(Cell):
    """h' = lambda h + gamma B x; y = Re(C h') + D x, with h complex, lambda = exp(-exp(w_nu) + i exp(w_theta)), and
    gamma = exp(w_gamma), at the start sqrt(1 - |lambda|^2) (Orvieto et al. 2023, section 3). Real and imaginary parts are
    arrays of their own. Eigenvalues start uniformly on the ring from `least_modulus` to .999, up to `largest_phase`."""

    nonlinearities: ClassVar[tuple[str, ...]] = ()
    states: ClassVar[tuple[str, ...]] = ("real", "imaginary")
    w_nu: Float[Array, " n"]
    w_theta: Float[Array, " n"]
    w_gamma: Float[Array, " n"]
    B_real: Float[Array, "n i"]
    B_imaginary: Float[Array, "n i"]
    C_real: Float[Array, "n n"]
    C_imaginary: Float[Array, "n n"]
    D: Float[Array, "n i"]
    least_modulus: Array = hyperparameter(0.0, 0.99, default=0.9)
    largest_phase: Array = hyperparameter(0.01, math.pi, default=math.pi, log=True)

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.w_nu = self.w_theta = self.w_gamma = jnp.zeros((units,))
        self.B_real = self.B_imaginary = self.D = jnp.zeros((units, inputs))
        self.C_real = self.C_imaginary = jnp.zeros((units, units))

    def drawn(self, key: Array) -> "LRU":
        modulus_key, phase_key, *keys = jax.random.split(key, 7)
        low, high = self.least_modulus**2, LARGEST_MODULUS**2
        squared = low + (high - low) * jax.random.uniform(modulus_key, (self.units,), minval=1e-6)
        phase = self.largest_phase * jax.random.uniform(phase_key, (self.units,), minval=1e-3)
        shapes = [(self.units, self.inputs)] * 3 + [(self.units, self.units)] * 2
        normals = [jax.random.normal(k, shape) / shape[1] ** 0.5 for k, shape in zip(keys, shapes, strict=True)]
        D, *parts = normals
        B_real, B_imaginary, C_real, C_imaginary = (part / 2**0.5 for part in parts)
        new = {
            "w_nu": jnp.log(-0.5 * jnp.log(squared)),
            "w_theta": jnp.log(phase),
            "w_gamma": 0.5 * jnp.log(1 - squared),
            "B_real": B_real,
            "B_imaginary": B_imaginary,
            "C_real": C_real,
            "C_imaginary": C_imaginary,
            "D": D,
        }
        return eqx.tree_at(lambda cell: [getattr(cell, name) for name in new], self, list(new.values()))

    def project(self, x: Array) -> tuple[Array, Array, Array]:
        gamma = jnp.exp(self.w_gamma)[:, None]
        return (
            jnp.tensordot(gamma * self.B_real, x, 1),
            jnp.tensordot(gamma * self.B_imaginary, x, 1),
            jnp.tensordot(self.D, x, 1),
        )

    def advance(self, state: tuple[Array, Array], projected: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        (real, imaginary), (drive_real, drive_imaginary, _) = state, projected
        modulus, phase = jnp.exp(-jnp.exp(self.w_nu)), jnp.exp(self.w_theta)
        shape = (-1,) + (1,) * (real.ndim - 1)
        a, b = (part.reshape(shape) for part in (modulus * jnp.cos(phase), modulus * jnp.sin(phase)))
        return a * real - b * imaginary + drive_real, b * real + a * imaginary + drive_imaginary

    def emit(self, state: tuple[Array, Array], projected: tuple[Array, Array, Array]) -> Array:
        real, imaginary = state
        return jnp.tensordot(self.C_real, real, 1) - jnp.tensordot(self.C_imaginary, imaginary, 1) + projected[2]
