"""Labelling: a label for each step of a sequence."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from capax.data import label_tables
from capax.data.labelled import Labelled
from capax.errors import counted
from capax.jobs import labelled
from capax.jobs.labelled import MISSING, Choices, LabelPreparation, PreparedLabels


@dataclasses.dataclass(frozen=True)
class Labelling(LabelPreparation):
    """What labelling learns of the training part."""

    job: ClassVar[str] = "label"

    @classmethod
    def read(cls, path: Path, choices: Choices) -> Labelled:
        return label_tables.read_labels(path, choices.said, encoding=choices.encoding, decimal=choices.decimal)

    def targets(self, data: Labelled, time: int) -> Int[np.ndarray, "sequences time"]:
        found = np.full((len(data), time), MISSING, np.int32)
        for row, labels in zip(found, data.labels, strict=True):
            row[: len(labels)] = self.numbers(labels)
        return found


def prepare(path: Path, choices: Choices) -> PreparedLabels:
    """A file as three parts of sequences with a label at each step. Steps without a label are read,
    and not scored; sequences without any are left out, and counted.

    Raises `CapaxError` for a file that no labelling can be made of.
    """
    data = labelled.without_empty(labelled.gathered(Labelling, path, choices), str(path))
    kept = [number for number, labels in enumerate(data.labels) if any(label is not None for label in labels)]
    if len(kept) < len(data):
        note = f"{len(data) - len(kept):,} of {counted(len(data), 'sequence')} without any label: left out"
        data = dataclasses.replace(data.chosen(kept), notes=(*data.notes, note))
    return labelled.prepared(Labelling, data, [None] * len(data), choices, str(path))
