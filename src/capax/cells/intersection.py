"""Intersection RNN, written +RNN (Collins et al. 2017, eq. 15-20): gated in time and in depth."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from capax.cells.cell import Affine, Cell, Demands, affine, forget_bias, sigmoid


class Intersection(Cell):
    """y_in = relu(W_yh h + W_yx x + b_y); h_in = tanh(W_hh h + W_hx x + b_h); g_y, g_h = sigma(W_gh
    h + W_gx x + b_g + b_fg), each with its own b_fg; y = g_y x + (1 - g_y) y_in; h' = g_h h + (1 -
    g_h) h_in. Needs dim(x) = dim(y), so it stands only above another layer.
    """

    nonlinearities: ClassVar[tuple[str, ...]] = ()
    demands: ClassVar[Demands] = Demands(square=True)
    affine: Affine = affine("depth", "hidden", "depth_gate", "hidden_gate")
    forget_bias_depth: Array = forget_bias()
    forget_bias_hidden: Array = forget_bias()

    def project(self, x: Array) -> tuple[Array, Array]:
        return x, self.affine.project(x)

    def step(self, state: Array, projected: tuple[Array, Array]) -> tuple[Array, Array]:
        x, maps = projected
        y_in, h_in, g_y, g_h = self.affine.recur(state, maps)
        g_y = sigmoid(g_y + self.forget_bias_depth)
        g_h = sigmoid(g_h + self.forget_bias_hidden)
        y = g_y * x + (1 - g_y) * jax.nn.relu(y_in)
        h = g_h * state + (1 - g_h) * jnp.tanh(h_in)
        return h, y
