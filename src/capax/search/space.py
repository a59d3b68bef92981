"""A study's hyperparameters, and the tuner's distributions made of them (the only place that makes
any).
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from capax import cells, tasks
from capax.cells.cell import Layer
from capax.errors import CapaxError, closest
from capax.hyperparameters import Choice, Hyperparameter, Number, joined
from capax.networks.hyperparameters import hyperparameters_of
from capax.tasks.task import Task
from capax.training import optimiser

Space = dict[str, BaseDistribution]
STEPS = "training_steps"


def declared(cell: type[Layer], task: Task | None = None, *, entry: bool = False) -> dict[str, Hyperparameter]:
    """All hyperparameters of a cell, of the optimiser, and of the task if one is given, tuned or
    not.

    Their defaults are what the tuner proposes first: those of the declarations, or the ones that
    the task starts from. `entry`: whether networks have an input map though the cell asks for none.
    Raises `CapaxError` where two of them have one name, or where the task
    starts from a value that the cell does not allow.
    """
    found = joined(
        (f"networks of the cell {cell.__name__}", hyperparameters_of(cell, entry=entry).values()),
        ("the optimiser", optimiser.HYPERPARAMETERS),
        ("the experiment's key `steps`", [Number(STEPS, 1, 1, 2**31, whole=True)]),
        *([] if task is None else [(f"the task {task.name}", task.hyperparameters())]),
    )
    del found[STEPS]
    for name, value in ({} if task is None else task.starts()).items():
        if name in found:
            assert task is not None
            key = f"{cell.__name__}: {name}, as task {task.name} has it,"
            found[name] = dataclasses.replace(found[name], default=found[name].checked(value, key))  # pyright: ignore
    return found


def described(cell: str | None, task: str | None) -> list[dict[str, Any]]:
    """What is declared of the hyperparameters of a cell on a task, in order, as JSON can hold it.

    Without a cell: those of the optimiser and of every built-in task. Raises
    `CapaxError` for unknown names.
    """
    if cell is not None:
        found = declared(cells.get(cell), None if task is None else tasks.get(task))
        return [each.describe() for each in found.values()]
    of_tasks = [each for name in tasks.BUILT_IN for each in tasks.get(name).hyperparameters()]
    return [each.describe() for each in (*optimiser.HYPERPARAMETERS, *of_tasks)]


def space(cell: type[Layer], task: Task, steps: tuple[int, int], *, entry: bool = False) -> Space:
    """The distributions of all hyperparameters that are tuned, by name, and of the number of
    training steps, log-uniform in `steps`."""
    own = [hyperparameter.name for hyperparameter in task.hyperparameters()]
    found = {name: distribution(each) for name, each in declared(cell, task, entry=entry).items() if each.tuned}
    last = {name: found.pop(name) for name in own if name in found}
    return {**found, STEPS: IntDistribution(steps[0], steps[1], log=True), **last}


def distribution(hyperparameter: Hyperparameter) -> BaseDistribution:
    """What the tuner draws a hyperparameter from."""
    match hyperparameter:
        case Choice(choices=choices):
            return CategoricalDistribution(choices)
        case Number(low=low, high=high, log=log, whole=True):
            return IntDistribution(int(low), int(high), log=log)
        case Number(low=low, high=high, log=log):
            return FloatDistribution(low, high, log=log)
        case _:
            raise TypeError(f"{hyperparameter.name}: unknown hyperparameter {hyperparameter}")


def as_data(distribution: BaseDistribution) -> dict[str, Any]:
    """A distribution as plain values: `choices`; or `low`, `high`, `log`, and `whole` for whole
    numbers.
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return {"choices": tuple(choices)}
        case IntDistribution(low=low, high=high, log=log) | FloatDistribution(low=low, high=high, log=log):
            whole = isinstance(distribution, IntDistribution)
            return {"low": float(low), "high": float(high), "log": log, "whole": whole}
        case _:
            raise TypeError(f"unknown distribution {distribution}")


def drawn(space: Space, random: np.random.Generator) -> dict[str, Any]:
    """A value of each hyperparameter at random, as a random search proposes it; whole numbers are
    not rounded."""
    return {name: _value(distribution, random) for name, distribution in space.items()}


def _value(distribution: BaseDistribution, random: np.random.Generator) -> Any:
    match as_data(distribution):
        case {"choices": choices}:
            return choices[random.integers(len(choices))]
        case {"low": low, "high": high, "log": True}:
            return float(np.exp(random.uniform(np.log(low), np.log(high))))
        case {"low": low, "high": high}:
            return float(random.uniform(low, high))
        case other:
            raise TypeError(f"unknown distribution {other}")


def defaults(cell: type[Layer], task: Task, space: Space, *, entry: bool = False) -> dict[str, Any]:
    """The first proposal of every study: what a practitioner starts with, and the most training
    steps, so that a tuner with few trials begins from something sensible. Every cell gets the same.
    Of a range that a file gives, it is the middle.
    """
    known = declared(cell, task, entry=entry)
    steps = space[STEPS]
    assert isinstance(steps, IntDistribution)
    found = {name: known[name].default for name in space if name in known}
    for name, part in space.items():
        match part:
            case CategoricalDistribution(choices=choices):
                found[name] = found[name] if found.get(name) in choices else choices[0]
            case IntDistribution() | FloatDistribution() if name in found and part != distribution(known[name]):
                found[name] = _middle(part)
    return {**found, STEPS: steps.high}


def _middle(distribution: IntDistribution | FloatDistribution) -> float | int:
    """The middle of a range, on its own scale."""
    low, high = distribution.low, distribution.high
    middle = math.sqrt(low * high) if distribution.log else 0.5 * (low + high)
    return round(middle) if isinstance(distribution, IntDistribution) else middle


def narrowed(
    space: Space,
    cell: type[Layer],
    task: Task,
    given: Mapping[str, Any],
    *,
    tune: Collection[str] = (),
    grid: bool = False,
    entry: bool = False,
) -> Space:
    """The space with the hyperparameters in `given` fixed at a value, chosen from a list, or drawn
    from a narrower range; those that this cell on this task does not have are left out. Where some
    are named to `tune`, and in a `grid`, all others are fixed at their defaults.

    Raises `CapaxError` for a value that a hyperparameter cannot have, and for a range in a grid.
    """
    known = declared(cell, task, entry=entry)
    found = dict(space)
    if grid or tune:
        others = [name for name in space if name in known and name not in tune]
        found |= {name: CategoricalDistribution((known[name].default,)) for name in others}
    for name, values in given.items():
        if name not in known:
            continue
        if not isinstance(values, dict):
            found[name] = CategoricalDistribution(_checked(known[name], values))
        elif grid:
            raise CapaxError(f"hyperparameters.{name}: a grid needs a list of values, not a range.")
        else:
            found[name] = _range(known[name], values)
    return found


def _range(hyperparameter: Hyperparameter, given: Mapping[str, Any]) -> BaseDistribution:
    """What the tuner draws from between the ends that a file gives, on the hyperparameter's own
    scale."""
    key = f"hyperparameters.{hyperparameter.name}"
    if not isinstance(hyperparameter, Number):
        raise CapaxError(f"{key}: a range is for numbers; this one is {hyperparameter.due}.")
    if given.keys() != {"low", "high"}:
        raise CapaxError(f"{key}: a range has `low` and `high`, not {', '.join(given) or 'nothing'}.")
    low, high = (hyperparameter.checked(given[end], f"{key}.{end}") for end in ("low", "high"))
    if low >= high:
        raise CapaxError(f"{key}: low must be less than high, got {low} and {high}.")
    if hyperparameter.log and low <= 0:
        raise CapaxError(f"{key}: low must be above 0, since it is drawn on a logarithmic scale, got {low}.")
    return distribution(dataclasses.replace(hyperparameter, low=low, high=high, default=low))


def _checked(hyperparameter: Hyperparameter, given: Any) -> tuple[Any, ...]:
    """The value, or the values of a list, that a file gives a hyperparameter."""
    key = f"hyperparameters.{hyperparameter.name}"
    values = given if isinstance(given, list) else [given]
    checked = tuple(hyperparameter.checked(value, key, ", or a list of such") for value in values)
    if not checked or len(set(checked)) < len(checked):
        raise CapaxError(f"{key}: {given} must have at least one value, and none twice.")
    return checked


def check_names(given: Iterable[str], pairs: list[tuple[type[Layer], Task]], key: str = "hyperparameters.") -> None:
    """Raise `CapaxError` where a name in `given`, under `key` of the file, is a hyperparameter of
    no cell and task of an experiment, nor of a built-in cell: an experiment may be run with fewer
    of its cells."""
    known = {name for cell, task in pairs for name in declared(cell, task, entry=True)}
    known |= {name for cell in cells.BUILT_IN.values() for name in hyperparameters_of(cell)}
    for name in given:
        if name not in known:
            raise CapaxError(
                f"{key}{name}: no cell of this experiment has it{closest(name, sorted(known))}; "
                f"there are {', '.join(sorted(known))}."
            )
