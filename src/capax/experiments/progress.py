"""What a run tells of itself while it works; the command line draws it, a script may ignore it."""

import collections
import dataclasses
import math
import time
from pathlib import Path
from typing import Protocol, runtime_checkable

from capax.experiments import decisions, standing
from capax.experiments.cost import Cost
from capax.experiments.decisions import Rules
from capax.experiments.plan import Plan, StudyPlan
from capax.search.ledger import Entry, Ledger, TrialRecord
from capax.training.engine import Compiled, Compiling, Lost, Progressed

TRUST_SECONDS = 5.0
"""After so many seconds of training, the measured speed counts as much as the announced one."""

KEEP_SECONDS = 5.0
"""How often progress is written down for those who watch."""


@dataclasses.dataclass
class StudyProgress:
    """Where one study stands. `best` is the best validation score so far; work as `Trial.work`
    counts it."""

    plan: StudyPlan
    done: int = 0
    infeasible: int = 0
    stopped: int = 0
    reruns: int = 0
    finished: bool = False
    best: float = math.nan
    work_done: float = 0.0
    running: dict[str, tuple[int, float]] = dataclasses.field(
        default_factory=dict
    )  # trial -> steps done, work per step
    _counted: set[tuple[int, int]] = dataclasses.field(default_factory=set)  # trials in `work_done`: rerun, number

    def update(self, ledger: Ledger, rules: Rules) -> None:
        """Read off where the study stands."""
        tuned = [entry.result for entry in ledger.tuned if entry.result is not None]
        states = collections.Counter([result.state for result in tuned])
        self.done, self.infeasible, self.stopped = len(tuned), states["infeasible"], states["stopped"]
        self.reruns = sum(entry.result is not None for entry in ledger.reruns)
        self.finished = decisions.is_done(ledger, rules)
        best = decisions.best(ledger, rules)
        self.best = best.result.score if best is not None and best.result is not None else math.nan
        for which, entries in enumerate((ledger.tuned, ledger.reruns)):
            for entry in entries:
                if entry.result is not None and (which, entry.number) not in self._counted:
                    self._counted.add((which, entry.number))
                    self.work_done += self._work(entry, entry.result)

    def _work(self, entry: Entry, result: TrialRecord) -> float:
        parameters = self.plan.shape.parameters
        return result.steps * self.plan.task.work(entry.hyperparameters, parameters) * parameters

    @property
    def total(self) -> int:
        """Trials and reruns together."""
        return self.plan.trials + self.plan.reruns

    @property
    def work(self) -> float:
        """Work done, that of trials in training included."""
        return self.work_done + sum((steps * work for steps, work in self.running.values()), 0.0)

    @property
    def work_left(self) -> float:
        """Work to be expected yet: the mean of a trial done here, or of the space where there is
        none, times the trials left."""
        if self.finished:
            return 0.0
        ended = self.done + self.reruns
        mean = (self.work_done + self.plan.expected_work) / (ended + 1)
        return max(0.0, (self.total - ended) * mean - (self.work - self.work_done))


@dataclasses.dataclass
class Progress:
    """Where an experiment stands, and how fast it goes. `lanes`: workers that train side by
    side."""

    plan: Plan
    studies: dict[str, StudyProgress]
    announced: Cost
    lanes: int = 1
    steps: int = 0  # trial-steps since this process began
    seconds: float = 0.0  # since this process began
    trained_seconds: float = 0.0  # in which a lane trained, all lanes together
    trained_work: float = 0.0
    compile_seconds: list[float] = dataclasses.field(default_factory=list)  # of programs that are compiled
    compiling: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)  # what, in words

    def note(self, event: Compiling | Compiled | Lost | Progressed) -> None:
        """Take what an engine tells of its workers."""
        match event:
            case Compiling(program):
                self.compiling[program] += 1
            case Compiled(program, seconds):
                self.compiling -= collections.Counter([program])
                self.compile_seconds.append(seconds)
            case Lost(compiling=programs):
                self.compiling -= collections.Counter(programs)
            case Progressed(trial_steps=steps, seconds=seconds, work=work):
                self.steps += steps
                self.trained_seconds += seconds
                self.trained_work += work

    @property
    def steps_per_second(self) -> float:
        """Trial-steps a second while lanes train, compiling left out; NaN before there are any."""
        return self.lanes * self.steps / self.trained_seconds if self.trained_seconds and self.steps else math.nan

    @property
    def seconds_left(self) -> float:
        """An estimate: what is announced at first, what is measured in the end.

        The work left at a pace between the announced and the measured one (the mean of their
        logarithms, weighted by how long was measured), then the compiling for studies that have not
        begun, all shared by the lanes.
        """
        left = sum(study.work_left for study in self.studies.values())
        return (left * self._lane_seconds_per_work() + self._compiling_left()) / self.lanes

    def _lane_seconds_per_work(self) -> float:
        announced = self.announced.training_seconds * self.announced.lanes / self.announced.work
        if not self.trained_work:
            return announced
        measured, weight = self.trained_seconds / self.trained_work, self.trained_seconds
        logarithm = TRUST_SECONDS * math.log(announced) + weight * math.log(measured)
        return math.exp(logarithm / (TRUST_SECONDS + weight))

    def _compiling_left(self) -> float:
        to_begin = sum(not study.running and not study.done for study in self.studies.values())
        announced = self.announced.compiling_seconds * self.announced.lanes / max(1, self.announced.studies)
        mean = (announced + sum(self.compile_seconds)) / (1 + len(self.compile_seconds))
        return to_begin * mean


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
    """Keeps what a display shows in a file of the run directory, too, for those who watch the run
    from elsewhere."""

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
            speed = progress.steps_per_second
            standing.keep(self._directory, running, progress.lanes, speed, progress.seconds_left)

    def note(self, text: str) -> None:
        """Show it."""
        self._shown.note(text)
