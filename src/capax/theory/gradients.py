"""Gradients that shrink or grow by a factor at each step: how much is left, and when nothing is.

A gradient through k steps of a recurrence is a product of k Jacobians. Where each has the norm J,
the product has at most J^k.
"""

import math

from capax.errors import CapaxError, closest

SMALLEST_NORMAL = {"fp16": 2.0**-14, "bf16": 2.0**-126, "fp32": 2.0**-126, "fp64": 2.0**-1022}
LARGEST = {"fp16": 65504.0, "bf16": 3.3895e38, "fp32": (2 - 2.0**-23) * 2.0**127, "fp64": 1.7976931348623157e308}
"""Smallest normal and largest numbers (IEEE 754, and bfloat16). FP64's smallest normal is 2.2e-308:
.5^512 = 7.5e-155 is well above it.
"""


def remaining(factor: float, steps: int) -> float:
    """factor^steps: what is left of a gradient after so many steps; 0 or infinite where a float64
    cannot hold it.
    """
    try:
        return factor**steps
    except OverflowError:
        return math.inf


def horizon(factor: float, precision: str = "fp32", *, limit: float | None = None) -> int | None:
    """The first number of steps after which factor^steps is below the smallest normal number (or
    `limit`): nothing is learned from what lies further back. None for factors of 1 and above.
    Raises `CapaxError` for a factor that is none, or an unknown precision.
    """
    bound = _of(SMALLEST_NORMAL, precision) if limit is None else limit
    _check(factor)
    if not 0 < bound <= 1:
        raise CapaxError(f"limit must be above 0 and at most 1, not {bound}.")
    if factor == 0:
        return 1
    return None if factor >= 1 else _first(bound, factor)


def explosion(factor: float, precision: str = "fp32") -> int | None:
    """The first number of steps after which factor^steps is above the largest number. None for
    factors of 1 and below.
    """
    bound = _of(LARGEST, precision)
    _check(factor)
    return None if factor <= 1 else _first(bound, factor)


def _check(factor: float) -> None:
    if not 0 <= factor < math.inf:
        raise CapaxError(f"a factor is a finite number of at least 0, not {factor}.")


def _first(bound: float, factor: float) -> int:
    """The least whole k > log(bound) / log(factor)."""
    exact = math.log2(bound) / math.log2(factor)
    nearest = round(exact)
    return nearest + 1 if abs(exact - nearest) < 1e-12 * max(1.0, exact) else math.floor(exact) + 1


def _of(table: dict[str, float], precision: str) -> float:
    if precision not in table:
        known = list(table)
        raise CapaxError(f"unknown precision '{precision}'{closest(precision, known)}; choose of {', '.join(known)}.")
    return table[precision]
