"""The GRU with chrono initialisation (Tallec & Ollivier 2018, Can recurrent neural networks warp
time?).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from capax.cells.cell import forget_bias, hyperparameter
from capax.cells.gru import ResetUpdate
from capax.hyperparameters import Interval


class ChronoGRU(ResetUpdate):
    """A GRU whose update gates start with biases log(tau - 1), tau uniform in [2, 1 + `longest`]
    steps: unit by unit, a time for which it remembers. The constant forget bias is 0 by default.
    (The source starts LSTMs so, too; here it is the GRU alone.)
    """

    forget_bias: Array = forget_bias(default=0.0)
    longest: Array = hyperparameter(
        1.0,
        1000.0,
        default=64.0,
        log=True,
        allowed=Interval(low=1.0),
        meaning="The longest time, in steps, for which a unit remembers at the start.",
    )

    def drawn(self, key: Array) -> "ChronoGRU":
        tau = 1 + (self.longest - 1) * jax.random.uniform(key, (self.units,))
        bias = jnp.concatenate([self.gates.bias[: self.units], jnp.log(tau)])
        return eqx.tree_at(lambda cell: cell.gates.bias, self, bias)
