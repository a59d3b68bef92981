"""What a run directory says of its run: frozen records, written when a run begins and read back
without planning again.

They need neither the user's code, nor the task's data, nor JAX.
"""

import dataclasses
import json
from typing import Any, Literal

import pydantic

from capax.contents import Content
from capax.errors import CapaxError
from capax.experiments.design import Experiment
from capax.reporting import Reporting
from capax.training.environment import Environment

FORMAT = 2
"""Of experiment.json. Format 1 (capax 0.1.0 before this record) held the experiment alone."""


@dataclasses.dataclass(frozen=True)
class SpaceRecord:
    """What a tuner chooses one hyperparameter from: `choices`, or numbers from `low` to `high`,
    whole ones or not.
    """

    choices: tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False


@dataclasses.dataclass(frozen=True)
class CellRecord:
    """A cell: its name, what its author says of it in a sentence, and the source files of a user's
    own.
    """

    name: str
    description: str
    code: tuple[Content, ...] = ()


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The score of a simple method, and on what it was measured."""

    name: str
    value: float
    measured_on: str


@dataclasses.dataclass(frozen=True)
class TaskRecord:
    """A task with its options, and what the report must know of it.

    `label`: its name and the values of swept options. `length`: time steps; `first`: the first one
    that is scored, from 0. `least_scores`: pairs of units per layer and the best score that a
    network with so many can have, where that is known. `contents`: the files and texts that its
    data are made from; `text`: what people call that text. `remarks`: what a reader should know of
    them, a sentence each. `code`: the source files of a user's own task.
    """

    label: str
    name: str
    options: dict[str, Any]
    inputs: int
    outputs: int
    length: int
    first: int
    reporting: Reporting
    chance: float
    perfect: float | None
    least_scores: tuple[tuple[float, float], ...]
    baselines: tuple[Baseline, ...]
    contents: tuple[Content, ...]
    remarks: tuple[str, ...] = ()
    code: tuple[Content, ...] = ()

    @property
    def text(self) -> str | None:
        """The name of the text that the data are made from, None where there is none."""
        return self.contents[0].name if self.contents else None


@dataclasses.dataclass(frozen=True)
class StudyRecord:
    """One study: many trials of one cell, depth, and budget on one task, then reruns of the best on
    fresh seeds.

    `first_proposal`: the hyperparameters of its first trial, where the tuner does not choose them.
    `trials`: as many as will be done; `trials_asked`: as many as the experiment asks for, which may
    be more than a grid has points. `search`: which of the searches that are alike but for their
    seeds, from 1.
    """

    name: str
    label: str
    cell: str
    depth: int
    budget: int
    units: int
    parameters: int
    trials: int
    trials_asked: int
    reruns: int
    steps: tuple[int, int]
    sampler: str
    stopping: str
    direction: Literal["maximise", "minimise"]
    first_proposal: dict[str, Any]
    space: dict[str, SpaceRecord]
    search: int = 1


@dataclasses.dataclass(frozen=True)
class StoreRecord:
    """The database that has a run's trials: its URL without a password, and the run's own id
    there.
    """

    url: str
    run: str


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run: its experiment, the studies, tasks, and cells that it has, and where it was trained.

    `created`: when it was begun (ISO 8601, UTC); `left_out`: combinations that do not exist, with
    the reason; `divergence`: the criterion by which a trial is infeasible, empty where an older
    capax did not keep it; `environments`: that of the process that began it, then those of
    processes that went on with it elsewhere; `store`: None where the trials are in the directory.
    """

    experiment: Experiment
    created: str
    environments: tuple[Environment, ...]
    cells: dict[str, CellRecord]
    tasks: dict[str, TaskRecord]
    studies: tuple[StudyRecord, ...]
    left_out: tuple[str, ...]
    divergence: str = ""
    store: StoreRecord | None = None

    @property
    def environment(self) -> Environment:
        """Where the run was begun."""
        return self.environments[0]

    def of(self, label: str) -> Experiment:
        """The design as it holds for a task, by its label."""
        return self.experiment.for_task(self.tasks[label].name)


_RUN = pydantic.TypeAdapter(RunRecord)


def to_json(record: RunRecord) -> dict[str, Any]:
    """The record as experiment.json holds it."""
    return {"format": FORMAT, **_RUN.dump_python(record, mode="json")}


def from_json(found: dict[str, Any], where: str) -> RunRecord:
    """The record of an experiment.json that was read from `where`. Raises `CapaxError` for another
    format, or a damaged one.
    """
    if "format" not in found and "experiment" in found:
        raise CapaxError(
            f"{where} was written by capax {found.get('capax', '?')}, which kept no record of its studies; "
            "run the same command once more: it adds the record, and keeps every trial."
        )
    if found.get("format") != FORMAT:
        raise CapaxError(
            f"{where} has format {found.get('format')!r}; this capax reads format {FORMAT}: use a newer capax."
        )
    try:
        experiment = Experiment.model_validate(found["experiment"], strict=False)
        return _RUN.validate_python({**found, "experiment": experiment}, strict=False)
    except (KeyError, pydantic.ValidationError) as error:
        raise CapaxError(f"{where} is damaged: {_first_fault(error)}.") from None


def _first_fault(error: Exception) -> str:
    if not isinstance(error, pydantic.ValidationError):
        return f"the key {error} is missing"
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def dumps(record: RunRecord) -> str:
    """The text of experiment.json."""
    return json.dumps(to_json(record), indent=2)
