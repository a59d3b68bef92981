"""The GRU of libraries (cuDNN, PyTorch, Keras): its reset gate acts after the recurrent matrix, as
in the first version of Cho et al. 2014 (arXiv 1406.1078v1).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Affine, Cell, affine, column, forget_bias, sigmoid


class GRUResetAfter(Cell):
    """r = sigma(W_rh h + W_rx x + b_r); u = sigma(W_uh h + W_ux x + b_u + b_fg);
    c = s(r (W_ch h + b_ch) + W_cx x + b_c); h' = u h + (1 - u) c. The reset gate acts after the
    matrix, so the candidate has two biases, and a step has one matrix product. b_ch starts at zero.
    """

    recurrent_bias: Float[Array, " n"]
    affine: Affine = affine("reset", "update", "candidate")
    forget_bias: Array = forget_bias()

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.recurrent_bias = jnp.zeros((units,))

    def project(self, x: Array) -> Array:
        return self.affine.project(x)

    def step(self, state: Array, projected: Array) -> tuple[Array, Array]:
        r_h, u_h, c_h = jnp.split(self.affine.times(state), 3)
        r_x, u_x, c_x = jnp.split(projected, 3)
        u = sigmoid(u_h + u_x + self.forget_bias)
        c = self.s(sigmoid(r_h + r_x) * (c_h + column(self.recurrent_bias, c_h.ndim)) + c_x)
        h = u * state + (1 - u) * c
        return h, h
