"""LRU, the linear recurrent unit: a diagonal linear recurrence with complex eigenvalues (Orvieto et
al. 2023).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.diagonal import Diagonal, Pair, largest_phase, least_modulus, ring


class LRU(Diagonal):
    """h' = lambda h + gamma B x; y = Re(C h') + D x, with h complex, lambda = exp(-exp(w_nu) + i
    exp(w_theta)), and gamma = exp(w_gamma), at the start sqrt(1 - |lambda|^2) (Orvieto et al. 2023,
    section 3): |lambda| never reaches 1. Eigenvalues start uniformly on the ring from
    `least_modulus` to .999, up to `largest_phase`.

    Other than published: the entries of C start with variance 1 / (2 units) each, not 1 / units; D
    is a full matrix, not a vector; the initial state is learned; the largest modulus is fixed, and
    phases go to pi by default, not 2 pi.
    """

    w_nu: Float[Array, " m"]
    w_theta: Float[Array, " m"]
    w_gamma: Float[Array, " m"]
    least_modulus: Array = least_modulus()
    largest_phase: Array = largest_phase()

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.w_nu = self.w_theta = self.w_gamma = jnp.zeros((self.modes,))

    def eigenvalues(self) -> Pair:
        modulus, phase = jnp.exp(-jnp.exp(self.w_nu)), jnp.exp(self.w_theta)
        return modulus * jnp.cos(phase), modulus * jnp.sin(phase)

    def gain(self) -> Pair:
        return jnp.exp(self.w_gamma), jnp.zeros((self.modes,))

    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        modulus, phase = ring(key, self.modes, self.least_modulus, self.largest_phase)
        return {
            "w_nu": jnp.log(-jnp.log(modulus)),
            "w_theta": jnp.log(phase),
            "w_gamma": 0.5 * jnp.log(1 - modulus**2),
        }
