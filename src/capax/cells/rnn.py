"""Plain recurrent networks: RNN (Elman 1990) and IRNN (Le et al. 2015)."""

from typing import ClassVar

import equinox as eqx
from jaxtyping import Array

from capax.cells.cell import Affine, Cell, affine


class Elman(Cell):
    """h_t = s(W_h h_{t-1} + W_x x_t + b_h) (Collins et al. 2017, eq. 1). Abstract: W_h starts
    differently in its kinds.
    """

    hidden: eqx.AbstractVar[Affine]

    def project(self, x: Array) -> Array:
        return self.hidden.project(x)

    def step(self, state: Array, projected: Array) -> tuple[Array, Array]:
        h = self.s(self.hidden.recur(state, projected))
        return h, h


class RNN(Elman):
    """h_t = s(W_h h_{t-1} + W_x x_t + b_h) (Collins et al. 2017, eq. 1)."""

    hidden: Affine = affine("hidden", recurrent=("orthogonal", "normal"))


class IRNN(Elman):
    """The RNN with W_h initialised to the identity, zero biases, ReLU only (Le et al. 2015)."""

    nonlinearities: ClassVar[tuple[str, ...]] = ("relu",)
    hidden: Affine = affine("hidden", recurrent=("identity",), biased=False)
