"""S4D, a diagonal state space model, discretised by zero-order hold (Gu et al. 2022, On the
Parameterization and Initialization of Diagonal State Space Models); all inputs drive all states, as
in S5 (Smith et al. 2023).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import hyperparameter
from capax.cells.diagonal import Diagonal, Pair
from capax.hyperparameters import POSITIVE


class S4D(Diagonal):
    """lambda = exp(Delta A), gain (lambda - 1) / A, with A = -exp(w_decay) + i frequency and Delta
    = exp(w_step), one of each a unit.

    At the start A_n = -1/2 + i pi n ("S4D-Lin"), and Delta is log-uniform from `least_step` to
    `largest_step`.

    Of the published initialisations this is S4D-Lin; S4D-Inv and S4D-LegS are not built.
    """

    w_decay: Float[Array, " m"]
    frequency: Float[Array, " m"]
    w_step: Float[Array, " m"]
    least_step: Array = hyperparameter(
        1e-4, 1e-2, default=1e-3, log=True, allowed=POSITIVE, meaning="The least time step Delta at the start."
    )
    largest_step: Array = hyperparameter(
        1e-2, 1.0, default=0.1, log=True, allowed=POSITIVE, meaning="The largest time step Delta at the start."
    )

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.w_decay = self.frequency = self.w_step = jnp.zeros((self.modes,))

    def eigenvalues(self) -> Pair:
        step = jnp.exp(self.w_step)
        modulus, phase = jnp.exp(-step * jnp.exp(self.w_decay)), step * self.frequency
        return modulus * jnp.cos(phase), modulus * jnp.sin(phase)

    def gain(self) -> Pair:
        (real, imaginary), decay = self.eigenvalues(), -jnp.exp(self.w_decay)
        size = decay**2 + self.frequency**2
        above = real - 1
        return (above * decay + imaginary * self.frequency) / size, (imaginary * decay - above * self.frequency) / size

    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        low, high = jnp.log(self.least_step), jnp.log(self.largest_step)
        return {
            "w_decay": jnp.full((self.modes,), math.log(0.5)),
            "frequency": math.pi * jnp.arange(self.modes, dtype=jnp.float32),
            "w_step": low + (high - low) * jax.random.uniform(key, (self.modes,)),
        }
