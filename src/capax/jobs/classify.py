"""Classification: a label for each whole sequence."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from capax.data import label_tables
from capax.data.labelled import Labelled
from capax.errors import CapaxError, counted
from capax.jobs import labelled
from capax.jobs.labelled import Choices, LabelPreparation, PreparedLabels

POOLINGS = ("mean", "last")


@dataclasses.dataclass(frozen=True)
class Classifying(LabelPreparation):
    """What classification learns of the training part. `pooling`: whether a sequence's outputs are
    the mean over its steps, or those of its last step.
    """

    job: ClassVar[str] = "classify"

    pooling: str = "mean"

    @classmethod
    def read(cls, path: Path, choices: Choices) -> Labelled:
        return label_tables.read_classes(path, choices.said, encoding=choices.encoding, decimal=choices.decimal)

    def targets(self, data: Labelled, time: int) -> Int[np.ndarray, " sequences"]:
        return self.numbers(data.labels)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "pooling": self.pooling}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Classifying":
        found, pooling = super().from_json(given), given.get("pooling")
        if pooling not in POOLINGS:
            raise CapaxError(
                f"this is no preparation of labels: pooling must be {' or '.join(POOLINGS)}, not {pooling!r}."
            )
        assert isinstance(found, Classifying)
        return dataclasses.replace(found, pooling=pooling)


def prepare(path: Path, choices: Choices, pooling: str = POOLINGS[0]) -> PreparedLabels:
    """A file as three parts of sequences with a label each. Sequences without a label, or without
    steps, are left out, and counted.

    Raises `CapaxError` for a file that no classification can be made of.
    """
    data = labelled.without_empty(labelled.gathered(Classifying, path, choices), str(path))
    data = _with_labels(data)
    found = labelled.prepared(Classifying, data, data.labels, choices, str(path))
    assert isinstance(found.preparation, Classifying)
    return dataclasses.replace(found, preparation=dataclasses.replace(found.preparation, pooling=pooling))


def _with_labels(data: Labelled) -> Labelled:
    kept = [number for number, label in enumerate(data.labels) if label is not None]
    if len(kept) == len(data):
        return data
    note = f"{len(data) - len(kept):,} of {counted(len(data), 'sequence')} without a label: left out"
    return dataclasses.replace(data.chosen(kept), notes=(*data.notes, note))
