"""What a task says of itself as plain data: its sizes, what is known of its scores, and how results
are read.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Features of inputs and of outputs, time steps of the longest sequence, and the first step
    (from 0) whose output counts."""

    inputs: int
    outputs: int
    length: int
    first: int = 0


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a task's scores in closed form.

    `chance`: the expected score of a random guess. `chance_loss`: its expected training loss, by
    which divergence is judged; by default the same number. `perfect`: the best score there can be.
    `least_score`: the best score of networks with a number of units per layer. None: not known.
    """

    chance: float
    chance_loss: float
    perfect: float | None = None
    least_score: Callable[[float], float] | None = None


@dataclasses.dataclass(frozen=True)
class Reporting:
    """How the results of a task are read; a run directory keeps it.

    `score`: what the score is called, with its unit. `splits`: the sets of data that there are; a
    single one serves for training, choice, and report. `reruns`: whether the best hyperparameters
    are trained again on fresh seeds; where they are not, the result is the best trial's, and
    `interval` says what its interval is, from its scores "score_low" to "score_high". `columns`:
    further scores of that trial in the table of studies. `maxima`: the same, but the largest of all
    trials. `stored`: the unit of a score that is an amount of information, which is also given per
    parameter, as `maxima` are; else None. `verb`: what the first cell of a headline does.
    """

    score: str
    direction: Literal["maximise", "minimise"] = "minimise"
    splits: tuple[str, ...] = ("train", "validation", "evaluation")
    reruns: bool = True
    columns: tuple[str, ...] = ()
    maxima: tuple[str, ...] = ()
    interval: str = "none"
    stored: str | None = None
    verb: str = "scores best"

    @property
    def one_set(self) -> bool:
        """Whether training, validation, and evaluation data are one set."""
        return len(self.splits) == 1

    @property
    def scored_on(self) -> str:
        """What reported scores are of, in words."""
        return "its one set of data" if self.one_set else "the evaluation data"

    @property
    def memorised(self) -> bool:
        """Whether the score is an amount of information that networks store."""
        return self.stored is not None
