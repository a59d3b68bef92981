"""A trial before and after its training: plain data, which an engine may send to another
machine."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from capax.architecture import STACK, Architecture
from capax.tasks.task import Task
from capax.training.divergence import Divergence


@dataclasses.dataclass(frozen=True)
class NetworkShape:
    """What fixes a network's structure and size.

    `checkpoint_every`: of how many time steps the gradient keeps the first state alone; it changes
    memory and time, and results by rounding. `architecture`: which kind of network it is.
    """

    cell: str
    depth: int
    units: int
    parameters: int
    checkpoint_every: int | None = None
    architecture: Architecture = STACK


class ProgramKey(NamedTuple):
    """Trials with equal keys train in the same compiled program. `minibatch`: how many samples of a
    fixed set a step takes; None where it goes through the whole set, or batches are random.
    `preconditioner`: None, or the name of one (training/optimiser.py). `dropout`: whether numbers
    are dropped.
    """

    task: Task
    shape: NetworkShape
    nonlinearity: str | None
    minibatch: int | None = None
    preconditioner: str | None = None
    dropout: bool = False

    def __str__(self) -> str:
        shape = self.shape
        layers = "" if shape.depth == 1 else f"{shape.depth} layers, "
        kind = "" if self.nonlinearity is None else f", {self.nonlinearity}"
        batch = "" if self.minibatch is None else f", minibatches of {self.minibatch:,}"
        axes = "" if self.preconditioner is None else f", {self.preconditioner}"
        made = f"{shape.architecture}, " if str(shape.architecture) else ""
        drops = ", dropout" if self.dropout else ""
        return f"{shape.cell} on {self.task.name} ({made}{layers}{shape.parameters:,} parameters{kind}{batch}{axes}{drops})"


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One training run: one set of hyperparameters, one seed. Its result depends on nothing else.

    - `name`: unlike that of any other trial of the run; `study`: for which programs and data are
      kept in memory until it is released.
    - `seed` draws the network; `data_seed` the order of the training data where it is sampled.
    - `checkpoint`: the file that keeps the trial between chunks, if any.
    - `pause`: at this step, if it is given, the trial leaves its population, to go on from its
      checkpoint or not; this changes nothing in what comes of it.
    - `open_at_once`: how many trials of its study may be in training at the same time; from this
      follows the size of a vectorised population.
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
    study: str = ""
    open_at_once: int = 1

    @property
    def program_key(self) -> ProgramKey:
        """Which compiled program trains it."""
        nonlinearity = self.hyperparameters.get("nonlinearity")
        preconditioner = self.hyperparameters.get("preconditioner", "none")
        return ProgramKey(
            self.task,
            self.shape,
            nonlinearity,
            self.task.minibatch(self.hyperparameters),
            None if preconditioner == "none" else preconditioner,
            self.hyperparameters.get("dropout", 0.0) > 0,
        )

    @property
    def work_per_step(self) -> float:
        """Work of a training step: parameters x sequences x time steps."""
        return self.task.work(self.hyperparameters, self.shape.parameters) * self.shape.parameters

    @property
    def work(self) -> float:
        """Work until its pause or its end, for starting long trials first."""
        return (self.pause or self.steps) * self.work_per_step


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a trial. `divergence` is None where it is feasible; else it has no scores.

    - `validation` and `evaluation`: scores by name.
    - `curve`: mean training loss (nats or squared units) in equal intervals of `curve_interval`
      steps, shape (points,), NaN where not reached.
    - `parameters`: the trained parameters, flat, shape (p,).
    - `paused`: it has come to the trial's `pause`, and these are its scores there.
    - `kernel`: where its gradients came from, a "fused" kernel or the "compiled" program, which
      agree to rounding; `refusal`: why there was no fused kernel, None where there was.
    - `seconds`: of training, without compiling.
    """

    divergence: Divergence | None
    steps: int
    seconds: float
    validation: Mapping[str, float]
    evaluation: Mapping[str, float]
    curve: np.ndarray
    curve_interval: int
    parameters: np.ndarray
    paused: bool = False
    kernel: str = "compiled"
    refusal: str | None = None

    @property
    def feasible(self) -> bool:
        """Whether the trial did not diverge."""
        return self.divergence is None
