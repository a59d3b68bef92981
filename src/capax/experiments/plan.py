"""From a design to its studies: everything is checked here, before anything is written."""

import dataclasses
import zlib
from typing import Any

import numpy as np

from capax import cells
from capax.cells.cell import Cell
from capax.experiments.design import Experiment
from capax.networks.sizing import size
from capax.search.space import Space, defaults, space
from capax.tasks import registry as tasks
from capax.tasks.task import Task
from capax.training.trial import NetworkShape


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """One study: many trials of one cell, depth, and budget on one task, then reruns of the best on fresh seeds."""

    name: str
    task: Task
    shape: NetworkShape
    budget: int
    space: Space
    defaults: dict[str, Any]  # the first proposal
    trials: int
    reruns: int
    expected_cost: float  # of one trial, relative, for the estimate of the time left


@dataclasses.dataclass(frozen=True)
class Plan:
    """All studies of an experiment, and the combinations that do not exist, with the reason."""

    experiment: Experiment
    studies: list[StudyPlan]
    left_out: list[str]


def plan(experiment: Experiment) -> Plan:
    """The studies of an experiment. Raises `CapaxError` for unknown cells, tasks, options, or a budget that is too small."""
    studies: list[StudyPlan] = []
    left_out: list[str] = []
    for task_name in experiment.tasks:
        design = experiment.for_task(task_name)
        task = tasks.get(task_name, **experiment.options(task_name))
        for cell_name in design.cells:
            cell = cells.get(cell_name)
            for depth in design.depths:
                if cell.square and depth == 1 and len(design.depths) > 1:
                    left_out.append(f"{cell_name} at depth 1 (it gates between layers, so it needs two)")
                    continue
                for budget in design.budgets:
                    studies.append(_study(design, task, cell_name, cell, depth, budget))
    return Plan(experiment, studies, list(dict.fromkeys(left_out)))


def _study(design: Experiment, task: Task, cell_name: str, cell: type[Cell], depth: int, budget: int) -> StudyPlan:
    sized = size(cell_name, budget=budget, inputs=task.inputs, outputs=task.outputs, depth=depth)
    shape = NetworkShape(cell_name, depth, sized.units, sized.parameters)
    task.check(sized.parameters)
    hyperparameters = space(cell, task, design.steps)
    return StudyPlan(
        name=f"{task.name}-{cell_name}-depth{depth}-{budget}",
        task=task,
        shape=shape,
        budget=budget,
        space=hyperparameters,
        defaults=defaults(cell, task, hyperparameters),
        trials=design.trials,
        reruns=0 if task.memorisation else design.reruns,
        expected_cost=_expected_cost(task, sized.parameters, design.steps),
    )


def _expected_cost(task: Task, parameters: int, steps: tuple[int, int]) -> float:
    """Mean cost of a trial with training steps log-uniform in their range, over the task's own hyperparameters."""
    low, high = steps
    mean_steps = low if low == high else (high - low) / np.log(high / low)
    random = np.random.default_rng(0)
    costs = [task.cost(_draw(task, random), parameters) for _ in range(100)]
    return float(mean_steps * np.mean(costs))


def _draw(task: Task, random: np.random.Generator) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for name, distribution in task.space().items():
        if hasattr(distribution, "choices"):
            drawn[name] = distribution.choices[random.integers(len(distribution.choices))]  # pyright: ignore
        else:
            low, high, log = distribution.low, distribution.high, distribution.log  # pyright: ignore
            drawn[name] = float(np.exp(random.uniform(np.log(low), np.log(high))) if log else random.uniform(low, high))
    return drawn


def trial_seed(experiment_seed: int, study: str, phase: int, number: int) -> int:
    """The seed of a trial: phase 0 for tuning, 1 for reruns, which therefore never share a seed."""
    sequence = np.random.SeedSequence([experiment_seed, zlib.crc32(study.encode()), number], spawn_key=(phase,))
    return int(sequence.generate_state(1, np.uint32)[0]) & 0x3FFFFFFF | (phase << 30)


def sampler_seed(experiment_seed: int, study: str) -> int:
    """The seed of a study's tuner."""
    return trial_seed(experiment_seed, f"{study} tuner", 0, 0)
