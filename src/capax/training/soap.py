"""SOAP (Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam"): an optimiser's
second moments are kept in the eigenbasis of each matrix's own gradients.

For a matrix of parameters with gradient G (rows x columns), L and R are running means of G G^T and
G^T G, and U, V their eigenvectors. A gradient is seen as U^T G V. Every `EVERY` steps U and V go
one step of the power iteration further: U = QR(L U). They begin as the identity, so the first
steps are those of the optimiser without a basis. Vectors keep their own axes, as in the paper,
and so does a side of more than `MOST` numbers.

Beside the paper: L and R of a step serve from the next step on, and their running means have their
own decay, `DECAY`; the paper uses that of Adam's second moments, .95.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from capax.training.optimiser import Basis

DECAY = 0.99
"""Of the running means of G G^T and G^T G."""
EVERY = 50
"""Training steps between two steps of the power iteration. Measured: as good as every 10
(docs/decisions/storing.md)."""
MOST = 512
"""The longest side of a matrix that gets a basis."""


@dataclasses.dataclass(frozen=True)
class _Side:
    """One side of one matrix: where its square matrices stand in the flat state."""

    size: int
    moments: int

    @property
    def basis(self) -> int:
        return self.moments + self.size**2


class Bases:
    """The bases of all matrices of a flat vector of parameters. It holds no arrays: the state, one
    flat vector of `size` numbers, is given to each method.

    **Arguments:** `shapes`, of the arrays that the flat vector is made of, in order. An array of
    three or more axes is a matrix of its last axis and all others.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]]):
        self._parts: list[tuple[int, int, int, tuple[_Side | None, _Side | None] | None]] = []
        start, self.size = 0, 0
        for shape in shapes:
            number = int(np.prod(shape))
            columns = shape[-1] if len(shape) > 1 else 1
            rows = number // columns
            sides = (self._side(rows), self._side(columns)) if rows > 1 and columns > 1 else None
            self._parts.append((start, rows, columns, sides))
            start += number

    def _side(self, size: int) -> _Side | None:
        if size > MOST:
            return None
        side = _Side(size, self.size)
        self.size += 2 * size * size
        return side

    @property
    def _sides(self) -> list[_Side]:
        return [side for *_, sides in self._parts for side in sides or () if side is not None]

    def start(self) -> Float[Array, " q"]:
        """The state before the first step: no moments, and the identity for each basis."""
        parts = [part for side in self._sides for part in (np.zeros(side.size**2), np.eye(side.size).ravel())]
        return jnp.asarray(np.concatenate([*parts, np.zeros(0)]), jnp.float32)

    def at(self, state: Float[Array, " q"]) -> Basis:
        """The bases of a state, as an optimiser takes them."""
        return Basis(functools.partial(self.seen, state), functools.partial(self.back, state))

    def seen(self, state: Float[Array, " q"], flat: Float[Array, " p"]) -> Float[Array, " p"]:
        """A flat vector in the bases: U^T G V for each matrix G."""
        return self._turned(flat, lambda side: _square(state, side.basis, side.size))

    def back(self, state: Float[Array, " q"], flat: Float[Array, " p"]) -> Float[Array, " p"]:
        """The inverse of `seen`: U G V^T."""
        return self._turned(flat, lambda side: _square(state, side.basis, side.size).T)

    def _turned(self, flat: Float[Array, " p"], basis: Callable[[_Side], Array]) -> Float[Array, " p"]:
        found = []
        for start, rows, columns, sides in self._parts:
            part = flat[start : start + rows * columns]
            if sides is not None:
                left, right = sides
                matrix = part.reshape(rows, columns)
                matrix = matrix if left is None else basis(left).T @ matrix
                matrix = matrix if right is None else matrix @ basis(right)
                part = matrix.ravel()
            found.append(part)
        return jnp.concatenate(found)

    def after(
        self, state: Float[Array, " q"], gradient: Float[Array, " p"], step: Int[Array, ""]
    ) -> Float[Array, " q"]:
        """The state behind training step `step`, from 0, with its gradient."""
        found = []
        for start, rows, columns, sides in self._parts:
            if sides is None:
                continue
            matrix = gradient[start : start + rows * columns].reshape(rows, columns)
            for side, product in zip(sides, (lambda G: G @ G.T, lambda G: G.T @ G), strict=True):
                if side is not None:
                    moments = DECAY * _square(state, side.moments, side.size) + (1 - DECAY) * product(matrix)
                    found += [moments.ravel(), state[side.basis : side.basis + side.size**2]]
        if not found:
            return state
        return jax.lax.cond((step + 1) % EVERY == 0, self._iterated, lambda same: same, jnp.concatenate(found))

    def _iterated(self, state: Float[Array, " q"]) -> Float[Array, " q"]:
        """One step of the power iteration for each basis."""
        found = []
        for side in self._sides:
            moments = _square(state, side.moments, side.size)
            # Directions without any gradient yet have no place in L U: a little of U keeps them.
            little = 1e-12 * jnp.trace(moments) + 1e-30
            basis = _square(state, side.basis, side.size)
            found += [moments.ravel(), jnp.linalg.qr(moments @ basis + little * basis)[0].ravel()]
        return jnp.concatenate(found)


def _square(state: Float[Array, " q"], start: int, size: int) -> Float[Array, "n n"]:
    return state[start : start + size * size].reshape(size, size)
