"""What the runner tells of itself while it works; the command line draws it, a script may ignore it."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Protocol, runtime_checkable

from capax.experiments import standing
from capax.experiments.plan import Plan, StudyPlan

KEEP_SECONDS = 5.0
"""How often progress is written down for those who watch."""


@dataclasses.dataclass
class StudyProgress:
    """Where one study stands. `best` is the best validation score so far; `partial` the work in trials under way."""

    plan: StudyPlan
    done: int = 0
    infeasible: int = 0
    stopped: int = 0
    reruns: int = 0
    best: float = math.nan
    work_done: float = 0.0
    running: dict[str, tuple[int, float]] = dataclasses.field(
        default_factory=dict
    )  # trial -> steps done, work per step

    @property
    def total(self) -> int:
        """Trials and reruns together."""
        return self.plan.trials + self.plan.reruns

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.done == self.plan.trials and self.reruns == self.plan.reruns

    @property
    def work(self) -> float:
        """Work done, in parameters x sequences x time steps x training steps."""
        return self.work_done + sum(steps * work for steps, work in self.running.values())

    @property
    def work_left(self) -> float:
        """Work to be expected yet: the mean of a trial done here, or of the space where there is none, times the trials left."""
        ended = self.done + self.reruns
        expected = self.plan.expected_cost * self.plan.shape.parameters
        mean = (self.work_done + expected) / (ended + 1)
        return max(0.0, (self.total - ended) * mean - (self.work - self.work_done))


@dataclasses.dataclass
class Progress:
    """Where an experiment stands."""

    plan: Plan
    studies: dict[str, StudyProgress]
    steps: int = 0  # trial-steps since this process began
    seconds: float = 0.0
    work_before: float = 0.0  # done by earlier processes

    @property
    def steps_per_second(self) -> float:
        """Trial-steps per second since this process began."""
        return self.steps / self.seconds if self.seconds else math.nan

    @property
    def seconds_left(self) -> float:
        """An estimate from the work done so far, NaN before there is any."""
        done = sum(study.work for study in self.studies.values()) - self.work_before
        left = sum(study.work_left for study in self.studies.values())
        return left * self.seconds / done if done > 0 else math.nan


@runtime_checkable
class Display(Protocol):
    """Shows progress."""

    def update(self, progress: Progress) -> None:
        """Called after every chunk, about once a second."""

    def note(self, text: str) -> None:
        """A line to keep."""


class Silent:
    """Shows nothing."""

    def update(self, progress: Progress) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Kept:
    """Keeps what a display shows in a file of the run directory, too, for those who watch the run from elsewhere."""

    def __init__(self, directory: Path, shown: Display):
        self._directory, self._shown = directory, shown
        self._last = -math.inf

    def update(self, progress: Progress) -> None:
        """Show it; write it down every few seconds."""
        self._shown.update(progress)
        if time.monotonic() - self._last >= KEEP_SECONDS:
            self._last = time.monotonic()
            studies = progress.studies.values()
            running = {name: steps for study in studies for name, (steps, _) in study.running.items()}
            standing.keep(self._directory, running, progress.steps_per_second, progress.seconds_left)

    def note(self, text: str) -> None:
        """Show it."""
        self._shown.note(text)
