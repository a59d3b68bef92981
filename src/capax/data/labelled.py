"""Sequences with labels, one a sequence or one a step, as a file has them; and how the file was
read, so that new data can be read in the same way.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from capax.errors import CapaxError

Symbols = tuple[str, ...]
Steps = Float[np.ndarray, "_ _"] | Symbols
"""One sequence: numbers with NaN for what is missing, or characters or words."""
Label = str | None
"""None: not known."""

Kind = Literal["numbers", "characters", "words"]
KINDS: tuple[Kind, ...] = ("numbers", "characters", "words")
FORMS = ("arrays", "series", "texts", "rows", "conllu", "columns")
"""How a file holds sequences: NumPy arrays; rows that are steps; rows that are texts; rows that are
sequences of numbers; CoNLL-U; columns with empty lines between sequences.
"""

PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "evaluation": ("evaluation", "eval", "test", "testing"),
}
"""How files call the three parts."""
WORD = re.compile(r"\w+|[^\w\s]")
"""A word, or a mark between words."""
LEAST_WORDS = 3
"""Texts of so many words on average are read as words, shorter ones as characters."""


@dataclasses.dataclass(frozen=True)
class Said:
    """What the user says of a file; None is found out. `symbols`: one of `KINDS`."""

    target: str | None = None
    series: str | None = None
    time: str | None = None
    text: str | None = None
    symbols: Kind | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if self.symbols not in (None, *KINDS):
            raise CapaxError(f"symbols must be {', '.join(KINDS[:-1])}, or {KINDS[-1]}, not '{self.symbols}'.")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a file was read. `form`: one of `FORMS`; `kind`: what a step is; the names of columns by
    their role, None where there is none; `features`, those of numbers.
    """

    form: str
    kind: Kind
    target: str
    text: str | None = None
    series: str | None = None
    time: str | None = None
    split: str | None = None
    features: tuple[str, ...] = ()

    @property
    def at_a_step(self) -> tuple[str, ...]:
        """The names of the numbers of a step: one where the columns are steps."""
        return ("value",) if self.form == "rows" else self.features

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {**dataclasses.asdict(self), "features": list(self.features)}

    @staticmethod
    def from_json(given: Any) -> "Layout":
        """A layout as `to_json` gave it. Raises `CapaxError` for anything else."""
        names = [field.name for field in dataclasses.fields(Layout)]
        fits = isinstance(given, Mapping) and set(given) == set(names)
        fits = fits and given["form"] in FORMS and given["kind"] in KINDS and isinstance(given["target"], str)
        fits = fits and all(isinstance(given[name], str | None) for name in ("text", "series", "time", "split"))
        features = given["features"] if fits else None
        if not isinstance(features, list) or not all(isinstance(feature, str) for feature in features):
            raise CapaxError("this does not say how a file of labelled sequences is read.")
        return Layout(**{**given, "features": tuple(features)})


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Sequences with labels.

    `labels`: one a sequence, or a tuple with one a step. `parts`: "train", "validation", or
    "evaluation" of each sequence, where the file names it. `rows`: the rows of answers, with the
    file's own columns; `places`: of each sequence, its row, or those of its steps. `notes`: what
    the file was taken for, one line each.
    """

    steps: tuple[Steps, ...]
    labels: tuple[Any, ...]
    layout: Layout
    rows: pd.DataFrame
    places: tuple[Int[np.ndarray, " _"], ...]
    parts: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def numbers(self) -> list[Float[np.ndarray, "_ features"]]:
        """The sequences, where their steps are numbers."""
        return [steps for steps in self.steps if isinstance(steps, np.ndarray)]

    @property
    def symbols(self) -> list[Symbols]:
        """The sequences, where their steps are characters or words."""
        return [steps for steps in self.steps if isinstance(steps, tuple)]

    def chosen(self, numbers: Any) -> "Labelled":
        """The sequences with these numbers, in this order."""
        pick = lambda values: tuple(values[int(number)] for number in numbers)  # noqa: E731
        parts = None if self.parts is None else pick(self.parts)
        return dataclasses.replace(
            self, steps=pick(self.steps), labels=pick(self.labels), places=pick(self.places), parts=parts
        )


def part(name: str, where: str) -> str:
    """The part that a file calls by this name. Raises `CapaxError` for a name of none."""
    for found, names in PARTS.items():
        if name.strip().lower() in names:
            return found
    raise CapaxError(f"{where}: '{name}' names no part of the data; train, validation, and test are known.")


def as_label(value: Any) -> Label:
    """A cell as a label: whole numbers without a decimal point; None for what is missing."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return text or None


def usual_kind(texts: list[str]) -> Kind:
    """Whether texts are taken as words or as characters, where the user does not say."""
    words = [len(text.split()) for text in texts]
    return "words" if words and sum(words) >= LEAST_WORDS * len(words) else "characters"


def symbols_of(text: str, kind: Kind) -> Symbols:
    """A text as characters, or as words and the marks between them."""
    return tuple(text) if kind == "characters" else tuple(WORD.findall(text))
