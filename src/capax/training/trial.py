"""A trial before and after its training: plain data."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from capax.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class NetworkShape:
    """What fixes a network's size; with a task and a nonlinearity, what fixes the compiled program. `checkpoint_every`: of how many
    time steps the gradient keeps the first state alone (`Network.run`); it changes memory and time, and results by rounding."""

    cell: str
    depth: int
    units: int
    parameters: int
    checkpoint_every: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One training run: one set of hyperparameters, one seed. Its result depends on nothing else.

    `seed` draws the network; `data_seed` the order of the training data where it is sampled. `checkpoint` is the file
    that keeps the trial between chunks, if any. At step `pause`, if it is given, the trial leaves its population, to go
    on from its checkpoint or not; this changes nothing in what comes of it.
    """

    name: str
    task: Task
    shape: NetworkShape
    hyperparameters: Mapping[str, Any]
    steps: int
    seed: int
    data_seed: int = 0
    checkpoint: Path | None = None
    pause: int | None = None

    @property
    def program_key(self) -> tuple[Task, NetworkShape, str | None]:
        """Trials with the same key train in the same compiled program."""
        return self.task, self.shape, self.hyperparameters.get("nonlinearity")

    @property
    def cost(self) -> float:
        """Relative cost, for starting long trials first."""
        return (self.pause or self.steps) * self.task.work(self.hyperparameters, self.shape.parameters)


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a trial. `feasible` is False where it diverged; then it has no scores.

    `validation` and `evaluation`: scores by name; `curve`: mean training loss (nats or squared units) in equal
    intervals of steps, shape (points,), NaN where not reached; `parameters`: the trained parameters, flat, shape (p,).
    `paused`: it has come to the trial's `pause`, and these are its scores there. `kernel`: where its gradients came from,
    a "fused" kernel or the "compiled" program; the two agree to rounding.
    """

    feasible: bool
    steps: int
    seconds: float
    validation: Mapping[str, float]
    evaluation: Mapping[str, float]
    curve: np.ndarray
    curve_interval: int
    parameters: np.ndarray
    paused: bool = False
    kernel: str = "compiled"
