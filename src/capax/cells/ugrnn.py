"""UGRNN, the update-gate RNN (Collins et al. 2017, eq. 2-4)."""

from jaxtyping import Array

from capax.cells.cell import Affine, Cell, affine, forget_bias, sigmoid


class UGRNN(Cell):
    """c = s(W_ch h + W_cx x + b_c); g = sigma(W_gh h + W_gx x + b_g + b_fg); h' = g h + (1 - g)
    c.
    """

    affine: Affine = affine("candidate", "gate")
    forget_bias: Array = forget_bias()

    def project(self, x: Array) -> Array:
        return self.affine.project(x)

    def step(self, state: Array, projected: Array) -> tuple[Array, Array]:
        c, g = self.affine.recur(state, projected)
        g = sigmoid(g + self.forget_bias)
        h = g * state + (1 - g) * self.s(c)
        return h, h
