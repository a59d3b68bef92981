"""The dense linear RNN: the vanilla RNN without its nonlinearity (Zucchet & Orvieto 2024)."""

from typing import ClassVar

from jaxtyping import Array

from capax.cells.cell import Affine, Cell, affine


class LinearRNN(Cell):
    """h' = W_h h + W_x x + b."""

    nonlinearities: ClassVar[tuple[str, ...]] = ()
    map: Affine = affine("map")

    def project(self, x: Array) -> Array:
        return self.map.project(x)

    def step(self, state: Array, projected: Array) -> tuple[Array, Array]:
        h = self.map.recur(state, projected)
        return h, h
