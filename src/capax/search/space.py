"""The hyperparameter space of a study, derived from what the cell declares (Collins et al. 2017, appendix A)."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from capax.cells import BUILT_IN
from capax.cells.cell import Cell, affine_declarations, scalar_declarations
from capax.errors import CapaxError, closest
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
    known = _known(cell, task)
    steps = space["training_steps"]
    assert isinstance(steps, IntDistribution)
    found = {name: known[name] for name in space if name in known}
    for name, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution) and found.get(name) not in distribution.choices:
            found[name] = distribution.choices[0]
    return {**found, "training_steps": steps.high}


def _known(cell: type[Cell], task: Task) -> dict[str, Any]:
    """Every hyperparameter that a cell on a task has, tuned or not, with its default."""
    own, elsewhere = initialisation.defaults(cell), {**optimiser.DEFAULTS, **task.space()}
    given = {name: value for name, value in task.defaults().items() if name in own or name in elsewhere}
    known = {**own, **optimiser.DEFAULTS, **given}
    if cell.nonlinearities:
        known["nonlinearity"] = cell.nonlinearities[0]
    return known


def narrowed(space: Space, cell: type[Cell], task: Task, given: Mapping[str, Any], *, grid: bool) -> Space:
    """The space with the hyperparameters in `given` fixed at a value or chosen from a list; those that this cell on this task
    does not have are left out. In a `grid` all others are fixed at their defaults.

    Raises `CapaxError` for a value that a hyperparameter cannot have.
    """
    known = _known(cell, task)
    found = dict(space)
    if grid:
        found |= {name: CategoricalDistribution((known[name],)) for name in space if name in known}
    for name, values in given.items():
        if name not in known and name not in space:
            continue
        choices = values if isinstance(values, list) else [values]
        allowed = _allowed(name, cell, space)
        for value in choices:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not choices or (value not in allowed if allowed else not number):
                of = f"one of {', '.join(map(str, allowed))}" if allowed else "a number"
                raise CapaxError(f"hyperparameters.{name} must be {of}, or a list of such, not {value!r}.")
        if not choices or len(set(choices)) < len(choices):
            raise CapaxError(f"hyperparameters.{name}: {values} must have at least one value, and none twice.")
        found[name] = CategoricalDistribution(tuple(choices if allowed else map(float, choices)))
    return found


def check_names(given: Mapping[str, Any], pairs: list[tuple[type[Cell], Task]]) -> None:
    """Raise `CapaxError` where a name in `given` is a hyperparameter of no cell and task of an experiment, nor of a built-in cell: an
    experiment may be run with fewer of its cells."""
    known = {name for cell, task in pairs for name in (*_known(cell, task), *task.space())}
    known |= {name for cell in BUILT_IN.values() for name in initialisation.defaults(cell)}
    for name in given:
        if name not in known:
            raise CapaxError(
                f"hyperparameters.{name}: no cell of this experiment has it{closest(name, sorted(known))}; "
                f"there are {', '.join(sorted(known))}."
            )


def _allowed(name: str, cell: type[Cell], space: Space) -> tuple[Any, ...]:
    """What may be chosen where a hyperparameter is a choice; empty where it is a number."""
    choices = {**initialisation.choices(cell), "nonlinearity": cell.nonlinearities, "schedule": optimiser.SCHEDULES}
    distribution = space.get(name)
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    return tuple(choices.get(name, ()))


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
