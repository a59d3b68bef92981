"""Orders of the VC dimension of plain recurrent networks (Koiran & Sontag 1998, Vapnik-Chervonenkis
dimension of recurrent neural networks, Discrete Applied Mathematics 86).

Symbols: w = weights that are trained, k = length of the input. A bound is an order: constants are
left out, so that numbers can be compared with each other, not with a number of bits.
"""

import dataclasses
import math
from collections.abc import Callable

from capax.errors import CapaxError, closest

Order = Callable[[float, float], float]


@dataclasses.dataclass(frozen=True)
class _Row:
    """What is proven for one kind of activation."""

    lower: Order
    upper: Order
    lower_formula: str
    upper_formula: str


def _log(x: float) -> float:
    return max(0.0, math.log2(x))


_ROWS: dict[str, _Row] = {
    "polynomial": _Row(lambda w, k: w * k, lambda w, k: w * k, "w k", "w k"),
    "piecewise polynomial": _Row(lambda w, k: w * k, lambda w, k: w**2 * k, "w k", "w^2 k"),
    "threshold": _Row(
        lambda w, k: w * _log(k / w),
        lambda w, k: min(w * k * _log(w * k), w**2 + w * _log(w * k)),
        "w log(k / w)",
        "min(w k log(w k), w^2 + w log(w k))",
    ),
    "sigmoid": _Row(lambda w, k: w * k, lambda w, k: w**4 * k**2, "w k", "w^4 k^2"),
}

_KINDS = {
    "polynomial": "polynomial",
    "piecewise polynomial": "piecewise polynomial",
    "relu": "piecewise polynomial",
    "threshold": "threshold",
    "sigmoid": "sigmoid",
    "tanh": "sigmoid",
}
ACTIVATIONS = tuple(_KINDS)

REGIME = "k much larger than w"
"""Where the orders are stated."""

COVERED = ("rnn", "irnn")
"""Cells that the theorems are about: h' = s(W_h h + W_x x + b). A stack of them is one such
network, if each layer reads the one below a step later, which makes the input longer by its depth
at most. For gated cells no bound of this kind is published.
"""


@dataclasses.dataclass(frozen=True)
class Bound:
    """Orders of the VC dimension: `lower` (Omega) and `upper` (O), without constants, logarithms to
    base 2; `in_regime`, whether the input is longer than there are weights, the regime that they
    are stated for.
    """

    weights: int
    length: int
    activation: str
    lower: float
    upper: float
    lower_formula: str
    upper_formula: str
    in_regime: bool


def vc_dimension(*, weights: int, length: int, activation: str = "sigmoid") -> Bound:
    """Lower and upper order of the VC dimension of a plain recurrent network (Koiran & Sontag 1998,
    table 1).

    **Arguments:** `weights`, w; `length`, k; `activation`: "sigmoid" or "tanh"; "relu" or
    "piecewise polynomial"; "polynomial" (fixed, not linear); "threshold".

    Raises `CapaxError` for numbers below 1 or an unknown activation.
    """
    for name, value in {"weights": weights, "length": length}.items():
        if value < 1:
            raise CapaxError(f"{name} must be at least 1, not {value}.")
    if activation not in _KINDS:
        known = list(_KINDS)
        raise CapaxError(
            f"unknown activation '{activation}'{closest(activation, known)}; choose of {', '.join(known)}."
        )
    row = _ROWS[_KINDS[activation]]
    return Bound(
        weights,
        length,
        activation,
        row.lower(float(weights), float(length)),
        row.upper(float(weights), float(length)),
        row.lower_formula,
        row.upper_formula,
        length > weights,
    )
