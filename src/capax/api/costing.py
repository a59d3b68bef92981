"""From a cell and sizes to what it costs, and what is proven and measured of it."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from capax.measuring import complexity as measuring_complexity
from capax.measuring import costs as measuring_costs
from capax.report.complexity import ComplexityReport
from capax.report.complexity import report as complexity_report
from capax.report.costs import CostReport

P = ParamSpec("P")
Measured = TypeVar("Measured")
Presented = TypeVar("Presented")


def _presented(measure: Callable[P, Measured], present: Callable[[Measured], Presented]) -> Callable[P, Presented]:
    """A measurement with its figures: called as the measurement is."""

    @functools.wraps(measure)
    def call(*args: P.args, **kwargs: P.kwargs) -> Presented:
        return present(measure(*args, **kwargs))

    return call


cost = _presented(measuring_costs.cost, CostReport)


def complexity(
    cell: str,
    *,
    layers: Sequence[int],
    units: Sequence[int],
    length: int,
    inputs: int = 1,
    outputs: int = 1,
    activation: str | None = None,
    runs: Sequence[str | Path] = (),
) -> ComplexityReport:
    """A grid of networks of a cell: weights, what is proven of them, bits, operations.

    **Arguments:** as of `measuring.complexity.complexity`; `runs`: run directories with the
    capacity task, for measured bits of networks within the sizes that were run.

    Raises `CapaxError` for sizes below 1, an unknown cell or activation, a directory without a run.
    """
    grid = measuring_complexity.complexity(
        cell, layers=layers, units=units, length=length, inputs=inputs, outputs=outputs, activation=activation
    )
    return complexity_report(grid, runs)
