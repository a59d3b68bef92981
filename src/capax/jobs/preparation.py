"""What is learned of the training part before any network is trained: scales, vocabularies, and how
new data of the same kind become a network's inputs and its outputs answers.

A model file holds it, so that a model alone is enough to predict.
"""

import abc
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

from capax.errors import CapaxError

JOBS: dict[str, str] = {
    "forecast": "capax.jobs.forecast:Forecasting",
    "classify": "capax.jobs.classify:Classifying",
    "label": "capax.jobs.label:Labelling",
    "translate": "capax.jobs.translate:Translating",
    "language": "capax.jobs.language:Language",
}
"""The preparation of each job: module and class."""


class Preparation(abc.ABC):
    """A frozen dataclass: nothing in it comes from validation or evaluation parts."""

    job: ClassVar[str]

    @property
    @abc.abstractmethod
    def inputs(self) -> int:
        """Features of a network's input, or symbols."""

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """A network's outputs at a step."""

    @property
    def symbols(self) -> bool:
        """Whether a network's input is one symbol at each step."""
        return False

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes: numbers, texts, lists, and dictionaries alone; no path."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Preparation":
        """A preparation as `to_json` gave it. Raises `CapaxError` for anything else."""


def from_json(given: Mapping[str, Any]) -> Preparation:
    """The preparation that a model file holds: what `to_json` gave, under "job" the job's name, and
    under "reading" how the file was read, which is no part of it.

    Raises `CapaxError` for an unknown job, and for what is no preparation.
    """
    job = given.get("job")
    if job not in JOBS:
        raise CapaxError(f"unknown job {job!r}; this capax knows {', '.join(JOBS)}.")
    module, _, name = JOBS[job].partition(":")
    found: type[Preparation] = getattr(importlib.import_module(module), name)
    return found.from_json({key: value for key, value in given.items() if key not in ("job", "reading")})
