"""The contract of a sink: a program for looking at experiments that is told of each trial.

A sink is one file and an entry point of the group "capax.sinks", in any installed package:

    [project.entry-points."capax.sinks"]
    mine = "my_package.sink:MySink"        # then: capax run EXPERIMENT --sink mine
"""

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capax.installed import Installed


@dataclasses.dataclass(frozen=True)
class TrialReport:
    """A trial that has ended or paused.

    - `study`, `number`, `rerun`: which; `name` has all three.
    - `state`: "paused", "complete", "infeasible", or "stopped"; at `steps`, after `seconds`.
    - `validation`, `evaluation`: scores by name, none where it is infeasible.
    - `curve`: steps and the mean training loss until there, as far as it is kept.
    """

    study: str
    number: int
    rerun: bool
    state: str
    hyperparameters: Mapping[str, Any]
    steps: int
    seconds: float
    seed: int
    validation: Mapping[str, float]
    evaluation: Mapping[str, float]
    curve: tuple[tuple[int, float], ...]

    @property
    def name(self) -> str:
        """Such as `study/3`, or `study/rerun-0`."""
        return f"{self.study}/{'rerun-' if self.rerun else ''}{self.number}"

    @property
    def scores(self) -> dict[str, float]:
        """All scores, such as `validation/score`."""
        of_validation = {f"validation/{name}": float(value) for name, value in self.validation.items()}
        return of_validation | {f"evaluation/{name}": float(value) for name, value in self.evaluation.items()}


class Sink(abc.ABC):
    """Told of trials, by one thread. What it raises ends the sink and never the run."""

    @classmethod
    @abc.abstractmethod
    def begin(cls, name: str, identity: str, directory: Path) -> "Sink":
        """A sink for a run of this name that is kept in `directory`; `identity` tells it from all
        others, and is the same when it goes on.
        """

    @abc.abstractmethod
    def take(self, trial: TrialReport) -> None:
        """Show a trial. The same one may come again, as it was, when a run goes on, and further
        when it had paused: nothing may be there twice.
        """

    def close(self) -> None:  # noqa: B027  (most have nothing to close)
        """No more trials will come."""


INSTALLED = Installed("capax.sinks", "sink", Sink, "; one of capax's own needs: pip install 'capax[{name}]'")
"""The sinks that are installed, by name."""
