"""The hyperparameter space of a study, derived from what the cell declares (Collins et al. 2017, appendix A)."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from capax.cells.cell import Cell, affine_declarations, scalar_declarations
from capax.networks import initialisation
from capax.tasks.task import Task
from capax.training import optimiser

Space = dict[str, BaseDistribution]


def space(cell: type[Cell], task: Task, steps: tuple[int, int]) -> Space:
    """All hyperparameters that are tuned for a cell on a task, by name, with training steps log-uniform in `steps`."""
    steps_range = IntDistribution(steps[0], steps[1], log=True)
    return {**network_space(cell), **optimiser.space(), "training_steps": steps_range, **task.space()}


def defaults(cell: type[Cell], task: Task, space: Space) -> dict[str, Any]:
    """The first proposal of every study: what a practitioner starts with, and the most training steps, so that a tuner
    with few trials begins from something sensible. Every cell gets the same."""
    known = {**initialisation.defaults(cell), **optimiser.DEFAULTS, **task.defaults()}
    if cell.nonlinearities:
        known["nonlinearity"] = cell.nonlinearities[0]
    steps = space["training_steps"]
    assert isinstance(steps, IntDistribution)
    return {**{name: known[name] for name in space if name in known}, "training_steps": steps.high}


def network_space(cell: type[Cell]) -> Space:
    """What concerns the network: nonlinearity, the initialisation of each matrix and its scale, biases, the cell's scalars."""
    found: Space = {}
    if len(cell.nonlinearities) > 1:
        found["nonlinearity"] = CategoricalDistribution(cell.nonlinearities)
    for declaration in affine_declarations(cell).values():
        for block in declaration.blocks:
            if len(declaration.recurrent) > 1:
                found[f"{block}_init"] = CategoricalDistribution(declaration.recurrent)
            if declaration.recurrent != ("identity",):
                found[f"{block}_scale"] = FloatDistribution(0.01, 2.0, log=True)
            found[f"{block}_input_scale"] = FloatDistribution(1e-3, 2.0, log=True)
    if cell.square:
        found["entry_scale"] = FloatDistribution(1e-3, 2.0, log=True)
    found["readout_scale"] = FloatDistribution(1e-3, 2.0, log=True)
    if initialisation.is_biased(cell):
        found["bias_distribution"] = CategoricalDistribution(("constant", "normal"))
        found["bias_scale"] = FloatDistribution(-2.0, 2.0)
    for name, declaration in scalar_declarations(cell).items():
        found[name] = FloatDistribution(declaration.low, declaration.high, log=declaration.log)
    return found
