"""What an experiment will take, before it starts: counted operations, and a time that is no more than a guess."""

import dataclasses
import time

import numpy as np

from capax.experiments.plan import Plan, mean_steps
from capax.experiments.standing import duration
from capax.training.processor import cores

EFFICIENCY = 0.4
"""Of the rate of matrix products of all cores, the part that whole studies reach, tuning and scoring included: the studies of
papers/collins2017 took 0.6 to 2.4 times the time that this gives, on a machine that was busy with other work, too."""

COMPILING = 8.0
"""Seconds until a study's programs are compiled, one for each nonlinearity; nothing where they are in the cache."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """`operations`: floating-point operations of all training steps; `seconds`: a guess for the whole machine."""

    studies: int
    trials: int
    reruns: int
    operations: float
    seconds: float


def statement(plan: Plan) -> str:
    """What an experiment is expected to take, as one line."""
    cost = expected(plan)
    reruns = f", {cost.reruns:,} reruns" if cost.reruns else ""
    stopped = "" if plan.experiment.stopping == "none" else ", less what is stopped early"
    return (
        f"{cost.studies} {'study' if cost.studies == 1 else 'studies'}, {cost.trials:,} trials{reruns}; expected cost: "
        f"{cost.operations:.1e} floating-point operations, roughly {duration(cost.seconds)} on this machine{stopped}"
    )


def expected(plan: Plan) -> Cost:
    """The cost of all trials and reruns of a plan, nothing stopped early, with hyperparameters drawn at random.

    Operations are 6 for each parameter, sequence, time step, and training step: a multiplication and an addition forward,
    twice that backward. Reruns are taken to train as long as the longest trial.
    """
    rate, operations = cores() * _products_per_second(), 0.0
    for study in plan.studies:
        steps = plan.experiment.for_task(study.task.name).steps
        trials = study.trials + study.reruns * steps[1] / mean_steps(steps)
        operations += trials * study.expected_cost * 6.0 * study.shape.parameters
    seconds = operations / (EFFICIENCY * rate) + COMPILING * len(plan.studies) / cores()
    trials, reruns = sum(study.trials for study in plan.studies), sum(study.reruns for study in plan.studies)
    return Cost(len(plan.studies), trials, reruns, operations, seconds)


def _products_per_second(size: int = 512, repeats: int = 10) -> float:
    """Floating-point operations a second of one core's matrix products, by NumPy (one thread: training/backend.py), at best: a busy
    moment does not count."""
    a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        np.matmul(a, a)
        times.append(time.perf_counter() - began)
    return 2.0 * size**3 / min(times)
