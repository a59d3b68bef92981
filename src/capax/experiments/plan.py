"""From a design to its studies: everything is checked here, before anything is written."""

import dataclasses
import zlib
from typing import Any

import numpy as np

from capax import cells
from capax.cells.cell import Layer
from capax.errors import CapaxError, TooSmall
from capax.experiments.design import Experiment
from capax.networks.assembling import wiring
from capax.networks.sizing import parameters, size
from capax.search.grid import combinations
from capax.search.space import Space, check_names, defaults, drawn, narrowed, space
from capax.tasks import registry as tasks
from capax.tasks.task import Task
from capax.training.trial import NetworkShape


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """One study: a search of many trials of one cell, depth, and budget on one task, then reruns of
    the best on fresh seeds.
    """

    name: str
    label: str  # of the task, with the values of the options that are swept
    task: Task
    shape: NetworkShape
    budget: int
    space: Space
    defaults: dict[str, Any]  # the first proposal
    trials: int
    reruns: int
    search: int  # which of the searches that are alike but for their seeds, from 1
    expected_work: float  # of one trial: parameters x sequences x time steps x training steps


@dataclasses.dataclass(frozen=True)
class Plan:
    """All studies of an experiment, and the combinations that do not exist, with the reason."""

    experiment: Experiment
    studies: list[StudyPlan]
    left_out: list[str]

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks by their labels, in order."""
        return {study.label: study.task for study in self.studies}

    def of(self, label: str) -> Experiment:
        """The design as it holds for a task, by its label."""
        return self.experiment.for_task(self.tasks[label].name)


def plan(experiment: Experiment) -> Plan:
    """The studies of an experiment. Raises `CapaxError` for unknown cells, tasks, options, or
    budgets that are all too small.
    """
    studies: list[StudyPlan] = []
    left_out: list[str] = []
    for task_name in experiment.tasks:
        design = experiment.for_task(task_name)
        for variant in experiment.variants(task_name):
            task = tasks.get(task_name, **experiment.options(task_name), **variant)
            if design.reruns and not task.reporting.reruns and experiment.says_reruns(task_name):
                left_out.append(f"reruns of {task_name} (its score is the best trial's, which is not trained again)")
            for cell_name in design.cells:
                cell = cells.get(cell_name)
                if task.foreseeable and not cell.demands.causal:
                    raise CapaxError(
                        f"{cell_name} sees the future, and the targets of task {task_name} are among its later inputs; "
                        "choose a causal cell, such as transformer."
                    )
                too_small = []
                found: list[StudyPlan] = []
                for depth in design.depths:
                    if depth < cells.wiring(cell).least_depth <= max(design.depths):
                        left_out.append(
                            f"{cell_name} at depth {depth} (it gates between layers, so it needs {cells.wiring(cell).least_depth})"
                        )
                        continue
                    shapes, without = _shapes(design, task, cell_name, depth)
                    too_small += without
                    found += [
                        _study(design, task, variant, cell, shape, size, search)
                        for size, shape in shapes.items()
                        for search in range(1, design.searches + 1)
                    ]
                if not found:
                    raise too_small[0]
                studies += found
                left_out += [str(error).removesuffix(".") for error in too_small]
    pairs = [(cells.get(study.shape.cell), study.task) for study in studies]
    for key, names in (("hyperparameters.", experiment.hyperparameters), ("tune: ", experiment.tune)):
        check_names(names, pairs, key)
    for task_name, options in experiment.task.items():
        of_task = [(cell, task) for cell, task in pairs if task.name == task_name]
        check_names(options.get("hyperparameters", {}), of_task, f"task.{task_name}.hyperparameters.")
        check_names(options.get("tune", []), of_task, f"task.{task_name}.tune: ")
    return Plan(experiment, studies, list(dict.fromkeys(left_out)))


def _shapes(design: Experiment, task: Task, cell: str, depth: int) -> tuple[dict[str, NetworkShape], list[TooSmall]]:
    """The networks of a cell at a depth, by budget or by units, as studies name them; and why
    budgets have none.
    """
    made = design.network or task.architecture()
    sizes: Any = {"inputs": task.inputs, "outputs": task.outputs, "depth": depth, "architecture": made}
    again = design.checkpoint_every
    found, too_small = {}, []
    for units in design.units:
        found[f"{units}units"] = NetworkShape(cell, depth, units, parameters(cell, units=units, **sizes), again, made)
    for budget in design.budgets:
        try:
            sized = size(cell, budget=budget, **sizes)
        except TooSmall as error:
            too_small.append(error)
        else:
            found[str(budget)] = NetworkShape(cell, depth, sized.units, sized.parameters, again, made)
    return found, too_small


def _study(
    design: Experiment,
    task: Task,
    variant: dict[str, Any],
    cell: type[Layer],
    shape: NetworkShape,
    size: str,
    search: int,
) -> StudyPlan:
    task.check(shape.parameters)
    grid, entry = design.sampler == "grid", wiring(shape.architecture, cell).embedding > 0
    hyperparameters = narrowed(
        space(cell, task, design.steps, entry=entry),
        cell,
        task,
        design.hyperparameters,
        tune=design.tune,
        grid=grid,
        entry=entry,
    )
    words = [f"{option} {value}" for option, value in variant.items()]
    again = [f"search{search}"] if search > 1 else []
    parts = [task.name, shape.cell, f"depth{shape.depth}", size, *(word.replace(" ", "") for word in words), *again]
    return StudyPlan(
        name="-".join(parts),
        label=", ".join([task.name, *words]),
        task=task,
        shape=shape,
        budget=int(size) if size.isdigit() else shape.parameters,
        space=hyperparameters,
        defaults=defaults(cell, task, hyperparameters, entry=entry),
        trials=min(design.trials, combinations(hyperparameters)) if grid else design.trials,
        reruns=design.reruns if task.reporting.reruns else 0,
        search=search,
        expected_work=_expected_work(task, shape.parameters, design.steps, hyperparameters),
    )


def mean_steps(steps: tuple[int, int]) -> float:
    """The mean of training steps that are log-uniform between two numbers."""
    low, high = steps
    return float(low if low == high else (high - low) / np.log(high / low))


def _expected_work(task: Task, parameters: int, steps: tuple[int, int], hyperparameters: Space) -> float:
    """Mean work of a trial with training steps log-uniform in their range, over what the study may
    choose of the task's own hyperparameters.
    """
    random = np.random.default_rng(0)
    own = {each.name: hyperparameters[each.name] for each in task.hyperparameters() if each.name in hyperparameters}
    work = [task.work(drawn(own, random), parameters) for _ in range(100)]
    return mean_steps(steps) * float(np.mean(work)) * parameters


def trial_seed(experiment_seed: int, study: str, phase: int, number: int) -> int:
    """The seed of a trial: phase 0 for tuning, 1 for reruns, which therefore never share a seed."""
    sequence = np.random.SeedSequence([experiment_seed, zlib.crc32(study.encode()), number], spawn_key=(phase,))
    return int(sequence.generate_state(1, np.uint32)[0]) & 0x3FFFFFFF | (phase << 30)


def sampler_seed(experiment_seed: int, study: str) -> int:
    """The seed of a study's tuner."""
    return trial_seed(experiment_seed, f"{study} tuner", 0, 0)
