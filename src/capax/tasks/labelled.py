"""What the tasks of labels share: a user's file as batches of padded sequences with labels."""

import abc
import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from capax import contents
from capax.architecture import Architecture
from capax.cells.sequence import Dense, MultiHot, OneHot, Sequence
from capax.contents import Content
from capax.data.labelled import KINDS, Said
from capax.errors import CapaxError
from capax.hyperparameters import Interval
from capax.jobs.labelled import WORDS, Choices, Part, PreparedLabels
from capax.jobs.symbols import View
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks.batch import SequenceBatch
from capax.tasks.from_file import EMBEDDING, FromFile
from capax.tasks.options import option
from capax.tasks.task import Scalars, Split, Sums, cross_entropy

SCORE = "cross-entropy (nats)"
FURTHER = ("validation_file", "evaluation_file")
"""Options that name further files."""


@dataclasses.dataclass(frozen=True)
class OfLabels(FromFile[PreparedLabels]):
    """A user's sequences with labels, split by sequence.

    The loss, and the score, is the cross-entropy of labels in nats; "accuracy" stands beside it. A
    label that training has not seen counts as an error in accuracy, and not in the cross-entropy.

    Options: `path`; `target`, the column of labels; `series`, the column that tells sequences
    apart; `time`; `text`, the column of texts or words; `split`, a column that says which sequences
    are for training, validation, and evaluation ("none": there is none); `encoding`, `decimal`: all
    found out where they are not said. `validation_file`, `evaluation_file`: files of the same kind
    that hold these parts. `words`: symbols of each stream of a word. `longest`: steps that are read
    of a sequence, 0 for all. `batch_size`: sequences of a training step.
    """

    reporting: ClassVar[Reporting] = Reporting(SCORE)

    target: str | None = None
    series: str | None = None
    time: str | None = None
    text: str | None = None
    split: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    validation_file: str | None = None
    validation_sha256: str = ""
    evaluation_file: str | None = None
    evaluation_sha256: str = ""
    words: int = option(WORDS, Interval(2, 10**6), "Symbols of each stream of a word, the commonest.")
    longest: int = option(0, Interval(0, 10**7), "Steps that are read of a sequence; 0 for all.")
    batch_size: int = option(32, Interval(1, 10**6))

    def __post_init__(self) -> None:
        super().__post_init__()
        for file in FURTHER:
            self._known_by_content(file)

    def _known_by_content(self, file: str) -> None:
        given, hashed = getattr(self, file), file.replace("_file", "_sha256")
        if given is None:
            return
        object.__setattr__(self, file, str(Path(given).resolve()))
        found, held_to = self._further(file), getattr(self, hashed)
        if held_to and held_to != found.sha256:
            raise CapaxError(
                f"task {self.name}: {found.name} is not the file that it was (SHA-256 {held_to[:12]}.., now "
                f"{found.sha256[:12]}..); give the file of then, or begin anew."
            )
        object.__setattr__(self, hashed, found.sha256)

    def _further(self, file: str) -> Content:
        path = Path(getattr(self, file))
        try:
            stat = path.stat()
            return _content(path, file, (stat.st_mtime_ns, stat.st_size))
        except OSError as error:
            raise CapaxError(f"task {self.name}: {path} cannot be read: {error.strerror}.") from None

    def contents(self) -> tuple[Content, ...]:
        named = [file for file in FURTHER if getattr(self, file) is not None]
        return (*super().contents(), *(self._further(file) for file in named))

    def choices(self, symbols: Any = None) -> Choices:
        """What is said of the file."""
        if symbols not in (None, *KINDS):
            raise CapaxError(f"task {self.name}: symbols must be one of {', '.join(KINDS)}, not '{symbols}'.")
        further = [None if getattr(self, file) is None else Path(getattr(self, file)) for file in FURTHER]
        said = Said(self.target, self.series, self.time, self.text, symbols, self.split)
        return Choices(said, self.encoding, self.decimal, self.data_seed, self.words, self.longest, *further)

    @property
    def sizes(self) -> Sizes:
        preparation = self.prepared.preparation
        return Sizes(preparation.inputs, preparation.outputs, self.prepared.training_time)

    @property
    def facts(self) -> Facts:
        guess = math.log(self.prepared.preparation.outputs)
        return Facts(chance=guess, chance_loss=guess)

    def architecture(self) -> Architecture:
        """Sequences are read in both directions, and symbols become vectors of an embedding."""
        return Architecture("bidirectional", embedding=EMBEDDING if self.prepared.preparation.view.streams else None)

    def data(self, parameters: int) -> PyTree:
        parts = {**self.prepared.parts, "train": self.prepared.training}
        return {name: arrays(part) for name, part in parts.items()}

    def batches(self, split: Split, scalars: Scalars) -> Array:
        if split == "train":
            return jnp.asarray(1)
        return jnp.asarray(math.ceil(len(self.prepared.parts[split].lengths) / self.batch_size))

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        count = data[split]["lengths"].shape[0]
        if split == "train":
            return self.gathered(data[split], jax.random.randint(key, (self.batch_size,), 0, count))
        numbers = index * self.batch_size + jnp.arange(self.batch_size)
        return self.gathered(data[split], jnp.minimum(numbers, count - 1), (numbers < count).astype(jnp.float32))

    def sample(self, key: Array, size: int) -> SequenceBatch:
        part = arrays(self.prepared.training)
        return self.gathered(part, jax.random.randint(key, (size,), 0, part["lengths"].shape[0]))

    def gathered(self, part: dict[str, Array], numbers: Array, counted: Array | None = None) -> SequenceBatch:
        """The sequences of a part with these numbers; `counted`: 0 for those that weigh nothing."""
        inputs = as_sequence(self.prepared.preparation.view, part["values"][numbers])
        lengths = part["lengths"][numbers]
        targets, weights = self.scored(part["targets"][numbers], inputs.length)
        weights = weights if counted is None else weights * counted[None]
        return SequenceBatch(inputs, targets, weights, lengths)

    @abc.abstractmethod
    def scored(self, targets: Array, time: int) -> tuple[Array, Array]:
        """Targets and weights of shape (time, batch) from the labels of sequences (batch, ..)."""

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        loss = sums["loss"] / sums["weight"]
        return {"score": loss, "loss": loss, "accuracy": sums["correct"] / sums["count"]}

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        return float(self.batch_size * self.length)


@functools.lru_cache(maxsize=16)
def _content(path: Path, file: str, changed: tuple[int, int]) -> Content:
    """The content of a file as it is now; `changed`: when it was, and its size."""
    del changed
    return contents.of_file(path, option=file)


def arrays(part: Part) -> dict[str, Array]:
    """A part's arrays on the device."""
    return {
        "values": jnp.asarray(part.values),
        "lengths": jnp.asarray(part.lengths, jnp.int32),
        "targets": jnp.asarray(part.targets, jnp.int32),
    }


def as_sequence(view: View, values: np.ndarray | Array) -> Sequence:
    """Encoded sequences, (batch, time, features or streams), as networks read them."""
    steps = jnp.transpose(jnp.asarray(values), (1, 2, 0))
    if view.streams == 0:
        return Dense(steps)
    return OneHot(steps[:, 0], view.size) if view.streams == 1 else MultiHot(steps, view.size)


def sums(logits: Array, labels: Array, weights: Array) -> Sums:
    """Cross-entropy of the known labels, and how many of all are right.

    **Arguments:** logits (classes, time, batch); labels and weights (time, batch).
    """
    seen = weights * (labels < logits.shape[0])
    return {
        "loss": cross_entropy(logits, labels, seen),
        "weight": jnp.sum(seen),
        "correct": jnp.sum(weights * (jnp.argmax(logits, axis=0) == labels)),
        "count": jnp.sum(weights),
    }
