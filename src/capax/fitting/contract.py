"""What `capax fit` must know of a job: how a network and the methods that people trust answer on
the evaluation part, and how answers are scored.

A contender, network or baseline, is known by its answers alone; what these are is the job's own
matter (`Answers`). One table holds the scores of all.
"""

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd

from capax.data.usual import Usual
from capax.jobs.preparation import Preparation
from capax.networks.parts import Assembled
from capax.scoring import Estimate
from capax.tasks.from_file import FromFile

Answers = TypeVar("Answers")
OfTask = TypeVar("OfTask", bound=FromFile[Any])

ANSWERS = "answers"
"""The attribute of a table of predictions (`DataFrame.attrs`) that names the columns of answers."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A column of the table of scores: `name` as people know it; `less_is_better`; None where
    neither is, as of the coverage of intervals; `unit`, where the name does not say it.
    """

    name: str
    less_is_better: bool | None
    unit: str = ""


class Fitting(abc.ABC, Generic[OfTask, Answers]):
    """A job on one task: its contenders on the evaluation part, which nothing else has seen.

    `columns`: the scores, the first of which contenders are ranked by. `resampled`: what intervals
    resample, in the plural. `notes`: which methods were left out, and why.
    """

    columns: ClassVar[tuple[Score, ...]]
    resampled: ClassVar[str] = "sequences"

    def __init__(self, task: OfTask):
        self.task = task
        self.notes: list[str] = []

    @abc.abstractmethod
    def answers(self, network: Assembled) -> Answers:
        """A trained network's answers on the evaluation part."""

    @abc.abstractmethod
    def baselines(self) -> Iterator[tuple[str, Answers]]:
        """Methods without a network, each by its name with its answers. They are fitted on the
        training part; what must be chosen is chosen on the validation part.
        """

    @abc.abstractmethod
    def scores(self, answers: Answers) -> dict[str, Estimate]:
        """The scores by the names of `columns`; one that there is not is left out."""

    @abc.abstractmethod
    def difference(self, one: Answers, other: Answers) -> Estimate:
        """By how much the first score of `one` is above that of `other`, resampled in pairs."""

    def on_validation(self) -> "Fitting[OfTask, Answers]":
        """The same on the validation part. Written where networks of one fit have several tasks
        (`FromFile.alternatives`): that part then chooses between them.
        """
        raise NotImplementedError(f"the networks of job {self.task.name} have one task")

    def further(self, network: Assembled) -> dict[str, pd.DataFrame]:
        """More tables of the chosen network, for figures, by name: such as where attention was."""
        del network
        return {}

    @abc.abstractmethod
    def examples(self, answers: Answers) -> pd.DataFrame:
        """The answers beside the truth, a row each, as a table for the user and for figures."""


class Predictor(abc.ABC):
    """A trained network with its preparation, on new data. `model.predict` and `capax predict` are
    made of it. `reading`: how the file of the training was read, as `tasks.FromFile.reading` says;
    new files that leave it open are read so.
    """

    def __init__(self, network: Assembled, preparation: Preparation, reading: Mapping[str, Any] | None = None):
        self.network, self.preparation, self.reading = network, preparation, dict(reading or {})

    def usual(self, name: str, given: str | None) -> str | None:
        """The "encoding" or "decimal" mark that is given, or else that of the training."""
        found = self.reading.get(name)
        return given if given is not None or not isinstance(found, str) else Usual(found)

    @abc.abstractmethod
    def predict(self, data: Any, **options: Any) -> pd.DataFrame:
        """Answers to new data, with the data's own columns: a path of a file, or a DataFrame, or
        what the job says beside.

        Raises `CapaxError` for data that are not of the kind it was trained on.
        """
