"""LSTM, long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al.
1999).
"""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from capax.cells.cell import Affine, Cell, affine, forget_bias, sigmoid


class LSTM(Cell):
    """i, f, o = sigma(W_.h h + W_.x x + b_.), with b_fg added in f; c_in = s(W_ch h + W_cx x +
    b_c); c' = f c + i c_in; h' = o tanh(c') (Collins et al. 2017, eq. 9-14).
    """

    states: ClassVar[tuple[str, ...]] = ("h", "c")
    affine: Affine = affine("input", "forget", "candidate", "output")
    forget_bias: Array = forget_bias()

    def project(self, x: Array) -> Array:
        return self.affine.project(x)

    def step(self, state: tuple[Array, Array], projected: Array) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        i, f, c_in, o = self.affine.recur(h, projected)
        c = sigmoid(f + self.forget_bias) * c + sigmoid(i) * self.s(c_in)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h
