"""What an experiment will take, before it starts: counted operations, and a time that is no more
than a guess."""

import dataclasses
import time

import numpy as np

from capax.experiments.plan import Plan, mean_steps
from capax.experiments.standing import duration
from capax.training.processor import cores

EFFICIENCY = 0.4
"""Of the rate of matrix products of all cores, the part that whole studies reach, tuning and
scoring included: the studies of papers/collins2017 took 0.6 to 2.4 times the time that this gives,
on a machine that was busy with other work, too."""

COMPILING = 8.0
"""Seconds until a study's programs are compiled, one for each nonlinearity; nothing where they are
in the cache."""

OPERATIONS = 6.0
"""For each parameter, sequence, time step, and training step: a multiplication and an addition
forward, twice that backward."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What all trials and reruns take, nothing stopped early.

    `work`: parameters x sequences x time steps x training steps; the seconds are a guess for a
    machine that works on `lanes` trials at the same time.
    """

    studies: int
    trials: int
    reruns: int
    work: float
    training_seconds: float
    compiling_seconds: float
    lanes: int

    @property
    def operations(self) -> float:
        """Floating-point operations of all training steps."""
        return OPERATIONS * self.work

    @property
    def seconds(self) -> float:
        """Training and compiling."""
        return self.training_seconds + self.compiling_seconds


def statement(plan: Plan, cost: Cost) -> str:
    """What an experiment is expected to take, as one line."""
    reruns = f", {_number(cost.reruns, 'rerun')}" if cost.reruns else ""
    stopped = "" if all(plan.of(label).stopping == "none" for label in plan.tasks) else ", less what is stopped early"
    return (
        f"{_number(cost.studies, 'study', 'studies')}, {_number(cost.trials, 'trial')}{reruns}; expected cost: "
        f"{cost.operations:.1e} floating-point operations, roughly {duration(cost.seconds)} on this machine{stopped}"
    )


def _number(count: int, noun: str, nouns: str = "") -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {nouns or f'{noun}s'}"


def expected(plan: Plan) -> Cost:
    """The cost of all trials and reruns of a plan, nothing stopped early, with hyperparameters
    drawn at random.

    Reruns are taken to train as long as the longest trial. Cores count that this process may use.
    """
    work = 0.0
    for study in plan.studies:
        steps = plan.experiment.for_task(study.task.name).steps
        work += (study.trials + study.reruns * steps[1] / mean_steps(steps)) * study.expected_work
    lanes = cores()
    return Cost(
        studies=len(plan.studies),
        trials=sum(study.trials for study in plan.studies),
        reruns=sum(study.reruns for study in plan.studies),
        work=work,
        training_seconds=OPERATIONS * work / (EFFICIENCY * lanes * _products_per_second()),
        compiling_seconds=COMPILING * len(plan.studies) / lanes,
        lanes=lanes,
    )


def _products_per_second(size: int = 512, repeats: int = 10) -> float:
    """Floating-point operations a second of one core's matrix products at best: a busy moment does
    not count.

    By NumPy, which has one thread here (training/backend.py).
    """
    a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        np.matmul(a, a)
        times.append(time.perf_counter() - began)
    return 2.0 * size**3 / min(times)
