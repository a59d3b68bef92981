"""GRU, the gated recurrent unit (Cho et al. 2014), in the form of Collins et al. 2017, eq. 5-8."""

from jaxtyping import Array

from capax.cells.cell import Affine, Cell, affine, forget_bias, sigmoid


class GRU(Cell):
    """r = sigma(W_rh h + W_rx x + b_r); u = sigma(W_uh h + W_ux x + b_u + b_fg);
    c = s(W_ch (r h) + W_cx x + b_c); h' = u h + (1 - u) c. The reset gate acts before the matrix."""

    gates: Affine = affine("reset", "update")
    candidate: Affine = affine("candidate")
    forget_bias: Array = forget_bias()

    def project(self, x: Array) -> tuple[Array, Array]:
        return self.gates.project(x), self.candidate.project(x)

    def step(self, state: Array, projected: tuple[Array, Array]) -> tuple[Array, Array]:
        gates, candidate = projected
        r, u = self.gates.recur(state, gates)
        u = sigmoid(u + self.forget_bias)
        c = self.s(self.candidate.recur(sigmoid(r) * state, candidate))
        h = u * state + (1 - u) * c
        return h, h
