"""GRU, the gated recurrent unit (Cho et al. 2014), in the form of Collins et al. 2017, eq. 5-8."""

import equinox as eqx
from jaxtyping import Array

from capax.cells.cell import Affine, Cell, affine, forget_bias, sigmoid


class ResetUpdate(Cell):
    """r = sigma(W_rh h + W_rx x + b_r); u = sigma(W_uh h + W_ux x + b_u + b_fg);
    c = s(W_ch (r h) + W_cx x + b_c); h' = u h + (1 - u) c. The reset gate acts before the matrix.

    Abstract: the biases of the update gate start differently in its kinds."""

    gates: Affine = affine("reset", "update")
    candidate: Affine = affine("candidate")
    forget_bias: eqx.AbstractVar[Array]  # pyright: ignore[reportGeneralTypeIssues]  # no constructor is made of the fields

    def project(self, x: Array) -> tuple[Array, Array]:
        return self.gates.project(x), self.candidate.project(x)

    def step(self, state: Array, projected: tuple[Array, Array]) -> tuple[Array, Array]:
        gates, candidate = projected
        r, u = self.gates.recur(state, gates)
        u = sigmoid(u + self.forget_bias)
        c = self.s(self.candidate.recur(sigmoid(r) * state, candidate))
        h = u * state + (1 - u) * c
        return h, h


class GRU(ResetUpdate):
    """r = sigma(W_rh h + W_rx x + b_r); u = sigma(W_uh h + W_ux x + b_u + b_fg);
    c = s(W_ch (r h) + W_cx x + b_c); h' = u h + (1 - u) c. The reset gate acts before the matrix.
    """

    forget_bias: Array = forget_bias()
