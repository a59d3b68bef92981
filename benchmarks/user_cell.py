"""A cell as a user would write it, for the benchmarks: a leaky RNN."""

from jaxtyping import Array

from capax.cells import Affine, Cell, affine


class Leaky(Cell):
    """h' = (h + s(W_h h + W_x x + b)) / 2."""

    hidden: Affine = affine("hidden")

    def project(self, x: Array) -> Array:
        return self.hidden.project(x)

    def step(self, state: Array, projected: Array) -> tuple[Array, Array]:
        h = 0.5 * (state + self.s(self.hidden.recur(state, projected)))
        return h, h
