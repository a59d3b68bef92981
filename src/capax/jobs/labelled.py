"""What classification and labelling share: labels by number, the three parts of the data as arrays,
and the preparation that a model file holds.
"""

import abc
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from capax.data import label_tables
from capax.data.labelled import Label, Labelled, Layout, Said
from capax.errors import CapaxError, counted
from capax.jobs import splitting, symbols
from capax.jobs.preparation import Preparation
from capax.jobs.symbols import Encoded, View

MISSING = -1
"""In place of a label that is not known."""
TRAINED = 0.99
"""Training takes this share of sequences whole; longer ones it takes up to their length."""
MUCH_LONGER = 1.25
"""It takes all whole where the longest is not so many times longer."""
WORDS = 400
"""Symbols of each stream of a word. Four streams of them, each a vector of 16 numbers, are half of
50,000 parameters."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user says of the data: `said`, of columns; `encoding` and `decimal` of a table;
    `seed` of the parts; `words`, symbols of a stream; `longest`, steps that are read of a sequence,
    0 for all; further files for `validation` and `evaluation`.
    """

    said: Said = dataclasses.field(default_factory=Said)
    encoding: str | None = None
    decimal: str | None = None
    seed: int = 0
    words: int = WORDS
    longest: int = 0
    validation: Path | None = None
    evaluation: Path | None = None


@dataclasses.dataclass(frozen=True)
class LabelPreparation(Preparation):
    """`layout`, how files are read; `view`, what a network sees of a step; `labels`, those of the
    training part in order; `longest`, how many steps are read of a sequence, 0 for all.
    """

    layout: Layout
    view: View
    labels: tuple[str, ...]
    longest: int = 0

    @property
    def inputs(self) -> int:
        return self.view.inputs

    @property
    def outputs(self) -> int:
        return len(self.labels)

    @classmethod
    @abc.abstractmethod
    def read(cls, path: Path, choices: Choices) -> Labelled:
        """A file of the user's."""

    @abc.abstractmethod
    def targets(self, data: Labelled, time: int) -> Int[np.ndarray, "sequences *time"]:
        """The numbers of labels, one a sequence or one a step, `MISSING` behind the end."""

    def read_again(self, source: Any, *, encoding: str | None = None, decimal: str | None = None) -> Labelled:
        """New data; labels need not be there. Raises `CapaxError` for data of another layout."""
        each = self.job == "classify"
        found = label_tables.read_again(
            source, self.layout, a_label_each=each, encoding=encoding, decimal=decimal, as_written=True
        )
        return cut(found, self.longest) if self.longest else found

    def encode(self, steps: Sequence[Any]) -> tuple[Encoded, Int[np.ndarray, " sequences"]]:
        """Inputs of sequences, 0 behind their ends, and their lengths."""
        return self.view.encode(steps)

    def numbers(self, labels: Iterable[Label]) -> Int[np.ndarray, " labels"]:
        """The number of each label; that of a label which training has not seen is `outputs`."""
        known = {label: number for number, label in enumerate(self.labels)}
        found = [MISSING if label is None else known.get(label, len(known)) for label in labels]
        return np.array(found, np.int32)

    def to_json(self) -> dict[str, Any]:
        return {
            "layout": self.layout.to_json(),
            "view": self.view.to_json(),
            "labels": list(self.labels),
            "longest": self.longest,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "LabelPreparation":
        labels, longest = given.get("labels"), given.get("longest", 0)
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise CapaxError("this is no preparation of labels: a list of texts named 'labels' is due.")
        if len(set(labels)) < max(2, len(labels)):
            raise CapaxError("this is no preparation of labels: it has a label twice, or fewer than two.")
        if isinstance(longest, bool) or not isinstance(longest, int) or longest < 0:
            raise CapaxError(f"this is no preparation of labels: 'longest' must be a whole number, not {longest!r}.")
        layout = Layout.from_json(given.get("layout"))
        view = symbols.view_from_json(given.get("view"))
        if view.kind != layout.kind or (not view.streams and view.inputs != len(layout.at_a_step)):
            raise CapaxError("this is no preparation of labels: its layout and its view are of different data.")
        return cls(layout, view, tuple(labels), longest)


@dataclasses.dataclass(frozen=True)
class Part:
    """The sequences of a part: as the file has them, and as arrays. `targets`: numbers of labels,
    (sequences,) or (sequences, time)."""

    data: Labelled
    values: Encoded
    lengths: Int[np.ndarray, " sequences"]
    targets: Int[np.ndarray, "sequences *time"]

    @property
    def time(self) -> int:
        """Steps of the longest sequence."""
        return self.values.shape[1]

    def until(self, time: int) -> "Part":
        """Arrays of so many steps; sequences as the file has them stay."""
        targets = self.targets[:, :time] if self.targets.ndim == 2 else self.targets
        return dataclasses.replace(
            self, values=self.values[:, :time], lengths=np.minimum(self.lengths, time), targets=targets
        )


@dataclasses.dataclass(frozen=True)
class PreparedLabels:
    """A file's three parts by name, what was learned of the training part, and what the file was
    taken for, a sentence each. `training_time`: up to how many steps training takes a sequence.
    """

    preparation: LabelPreparation
    parts: Mapping[str, Part]
    training_time: int
    notes: tuple[str, ...]

    @property
    def training(self) -> Part:
        """The training part as training takes it."""
        return self.parts["train"].until(self.training_time)


def gathered(kind: type[LabelPreparation], path: Path, choices: Choices) -> Labelled:
    """A file, and those that are named for validation and evaluation."""
    found = kind.read(path, choices)
    extra = {"validation": choices.validation, "evaluation": choices.evaluation}
    for name, file in extra.items():
        if file is not None:
            more = label_tables.read_again(
                file,
                found.layout,
                a_label_each=kind.job == "classify",
                encoding=choices.encoding,
                decimal=choices.decimal,
            )
            more = dataclasses.replace(more, parts=(name,) * len(more), notes=(f"{file}: the {name} part",))
            found = _joined(found, more)
    return found


def _joined(one: Labelled, other: Labelled) -> Labelled:
    offset = len(one.rows)
    parts = one.parts or ("train",) * len(one)
    return Labelled(
        (*one.steps, *other.steps),
        (*one.labels, *other.labels),
        one.layout,
        pd.concat([one.rows, other.rows], ignore_index=True),
        (*one.places, *(places + offset for places in other.places)),
        (*parts, *(other.parts or ())),
        (*one.notes, *other.notes),
    )


def without_empty(data: Labelled, where: str) -> Labelled:
    """The sequences that have steps. Raises `CapaxError` where none has."""
    kept = [number for number, steps in enumerate(data.steps) if len(steps)]
    if not kept:
        raise CapaxError(f"{where} has no sequence with steps in it.")
    if len(kept) == len(data):
        return data
    note = f"{counted(len(data) - len(kept), 'sequence')} without steps: left out"
    return dataclasses.replace(data.chosen(kept), notes=(*data.notes, note))


def cut(data: Labelled, longest: int) -> Labelled:
    """Sequences of at most so many steps, the first ones."""
    many = sum(len(steps) > longest for steps in data.steps)
    if not many:
        return data
    labels = tuple(each[:longest] if isinstance(each, tuple) else each for each in data.labels)
    at_steps = any(len(places) > 1 for places in data.places)
    places = tuple(each[:longest] for each in data.places) if at_steps else data.places
    note = f"{counted(many, 'sequence')} longer than {counted(longest, 'step')}: cut there"
    steps = tuple(each[:longest] for each in data.steps)
    return dataclasses.replace(data, steps=steps, labels=labels, places=places, notes=(*data.notes, note))


def labels_of(labels: Iterable[Label], where: str) -> tuple[str, ...]:
    """The different labels of the training part: numbers by their size, then texts.

    Raises `CapaxError` for fewer than two.
    """
    known = sorted({label for label in labels if label is not None}, key=_in_order)
    if not known:
        raise CapaxError(f"{where} has no label in the training part.")
    if len(known) == 1:
        raise CapaxError(f"{where}: every label of the training part is '{known[0]}': there is nothing to tell apart.")
    return tuple(known)


def _in_order(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def prepared(
    kind: type[LabelPreparation], data: Labelled, strata: Sequence[Any], choices: Choices, where: str
) -> PreparedLabels:
    """Split by sequence, learn of the training part, and make arrays of all parts.

    **Arguments:** `strata`: of each sequence, what parts have alike.
    """
    if choices.longest:
        data = cut(data, choices.longest)
    numbers = splitting.split(strata, choices.seed, data.parts, where)
    parts = {name: data.chosen(chosen) for name, chosen in numbers.items()}
    training = parts["train"]
    view = symbols.fit(data.layout.kind, training.steps, data.layout.at_a_step, choices.words)
    labels = labels_of(_each_label(training), where)
    preparation = kind(data.layout, view, labels, choices.longest)
    arrays = {}
    for name, part in parts.items():
        values, lengths = preparation.encode(part.steps)
        arrays[name] = Part(part, values, lengths, preparation.targets(part, values.shape[1]))
    notes = [*data.notes, _said_of_parts(parts, data.parts is not None), *_said_of_view(view, parts)]
    _check_known(arrays, len(labels), where)
    time, said = _training_time(arrays["train"])
    notes += [*said, *_said_of_labels(preparation, parts), f"labels: {len(labels):,}: {_shown(labels)}"]
    return PreparedLabels(preparation, arrays, time, tuple(notes))


def _check_known(parts: Mapping[str, Part], labels: int, where: str) -> None:
    for name, part in parts.items():
        if not ((part.targets >= 0) & (part.targets < labels)).any():
            raise CapaxError(f"{where}: training has seen no label of the {name} part; the parts must be of one kind.")


def _each_label(data: Labelled) -> list[Label]:
    return [label for each in data.labels for label in (each if isinstance(each, tuple) else (each,))]


def _training_time(part: Part) -> tuple[int, list[str]]:
    """Training pads all sequences to one length; few very long ones are cut, since all would cost
    as much as they do."""
    most = int(np.quantile(part.lengths, TRAINED, method="higher"))
    if part.time <= MUCH_LONGER * most:
        return part.time, []
    many = counted(int((part.lengths > most).sum()), "sequence")
    return most, [f"in training, {many} longer than {counted(most, 'step')}: cut there; held-out parts are read whole"]


def _said_of_parts(parts: Mapping[str, Labelled], named: bool) -> str:
    sizes = [f"{len(part):,} for {name}" for name, part in parts.items()]
    how = (
        "as the file says"
        if named
        else "drawn at random by whole sequences, labels in equal shares where they are one each"
    )
    return f"parts: {', '.join(sizes)} ({how})"


def _said_of_view(view: View, parts: Mapping[str, Labelled]) -> list[str]:
    if view.kind == "numbers":
        missing = sum(int(np.isnan(steps).sum()) for part in parts.values() for steps in part.steps)
        said = "missing values become the last known one before them in their sequence"
        return [f"{counted(missing, 'value')} missing: {said}"] if missing else []
    return [f"{counted(view.streams, 'stream')} of at most {counted(view.size, 'symbol')} a step"]


def _said_of_labels(preparation: LabelPreparation, parts: Mapping[str, Labelled]) -> list[str]:
    notes = []
    for name, part in parts.items():
        unseen = int((preparation.numbers(_each_label(part)) == preparation.outputs).sum())
        if unseen:
            notes.append(f"{counted(unseen, 'label')} of the {name} part that training has not seen: counted as errors")
    return notes


def _shown(labels: Sequence[str], most: int = 12) -> str:
    return ", ".join(labels[:most]) + (", .." if len(labels) > most else "")
