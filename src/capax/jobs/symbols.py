"""How the steps of a sequence become a network's inputs: numbers, characters, or words. Scales and
vocabularies are those of the training part.
"""

import abc
import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from capax.data.scaling import Scaler
from capax.data.sequences import Sequences
from capax.data.vocabulary import Vocabulary
from capax.errors import CapaxError

Encoded = Float[np.ndarray, "sequences time features"] | Int[np.ndarray, "sequences time streams"]
Words = Sequence[str]

SEEN_OFTEN = 2
"""A symbol that the training part has less often counts as unknown, so that a network learns what
an unknown one is like."""


class View(abc.ABC):
    """What a network sees of a step. `kind`: its name in model files; `streams`: how many symbols
    stand at a step, and `size` how many kinds of each; 0 where steps are numbers.
    """

    kind: ClassVar[str]

    @property
    @abc.abstractmethod
    def streams(self) -> int: ...

    @property
    @abc.abstractmethod
    def size(self) -> int: ...

    @property
    @abc.abstractmethod
    def inputs(self) -> int:
        """Features of a network's input; of symbols, all kinds of all streams."""

    @abc.abstractmethod
    def encode(self, steps: Sequence[Any]) -> tuple[Encoded, Int[np.ndarray, " sequences"]]:
        """Sequences as one array, 0 behind their ends, and their lengths."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What `view_from_json` takes."""


@dataclasses.dataclass(frozen=True)
class Numbers(View):
    """Numbers of mean 0 and deviation 1. A missing value becomes the last known one before it, at
    the beginning the first known one, and the training mean where a sequence has none.
    """

    kind: ClassVar[str] = "numbers"
    scaler: Scaler

    @staticmethod
    def fit(training: Sequence[Float[np.ndarray, "_ features"]], features: Sequence[str]) -> "Numbers":
        """Raises `CapaxError` for a feature without any value."""
        return Numbers(Scaler.fit(Sequences.of(training, features, [""] * len(training))))

    @property
    def streams(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return 0

    @property
    def inputs(self) -> int:
        return len(self.scaler.mean)

    def encode(self, steps: Sequence[Any]) -> tuple[Encoded, Int[np.ndarray, " sequences"]]:
        found, lengths = _empty(steps, (self.inputs,), np.float32)
        for row, each in zip(found, steps, strict=True):
            row[: len(each)] = filled(self.scaler.scale(each))
        return found, lengths

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.scaler.to_json()}


@dataclasses.dataclass(frozen=True)
class Characters(View):
    """A character a step."""

    kind: ClassVar[str] = "characters"
    vocabulary: Vocabulary

    @staticmethod
    def fit(training: Sequence[Words]) -> "Characters":
        return Characters(often(symbol for each in training for symbol in each))

    @property
    def streams(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return self.vocabulary.size

    @property
    def inputs(self) -> int:
        return self.size

    def encode(self, steps: Sequence[Any]) -> tuple[Encoded, Int[np.ndarray, " sequences"]]:
        found, lengths = _empty(steps, (1,), np.int32)
        numbers = self.vocabulary.encode([symbol for each in steps for symbol in each])
        found[_real(found, lengths), 0] = numbers
        return found, lengths

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.vocabulary.to_json()}


def as_it_is(word: str) -> str:
    """The word in small letters."""
    return word.lower()


def last_three(word: str) -> str:
    """Its last three letters, in small letters; shorter words are marked as whole."""
    return word.lower()[-3:] if len(word) > 3 else f"^{word.lower()}"


def last_two(word: str) -> str:
    """Its last two letters, in small letters; shorter words are marked as whole."""
    return word.lower()[-2:] if len(word) > 2 else f"^{word.lower()}"


def last_and_form(word: str) -> str:
    """Its last letter, and what its first character is: a capital, a small letter, a digit, a mark;
    and whether all letters are capitals."""
    return f"{word.lower()[-1:]}{form(word)}"


def form(word: str) -> str:
    """ "A" for capitals alone, "C" for a capital first, "a" for a small letter or one without case,
    "0" for a digit, "." for a mark; "" for an empty word."""
    first = word[:1]
    if first.isupper() or first.istitle():
        return "A" if len(word) > 1 and word.isupper() else "C"
    if first.isalpha():
        return "a"
    return "0" if first.isdigit() else "." if first else ""


STREAMS = {"word": as_it_is, "last three": last_three, "last two": last_two, "last and form": last_and_form}
"""What is seen of a word: a stream of symbols each."""


@dataclasses.dataclass(frozen=True)
class WordStreams(View):
    """A word a step, seen in several streams of symbols, so that words which training has not seen
    are known by their endings. `vocabularies`: of each stream, by its name in `STREAMS`.
    """

    kind: ClassVar[str] = "words"
    vocabularies: Mapping[str, Vocabulary]

    @staticmethod
    def fit(training: Sequence[Words], most: int) -> "WordStreams":
        """**Arguments:** `most`: how many symbols a stream has, the commonest, that of all others
        included. Words of one character have one stream."""
        counts = collections.Counter(word for each in training for word in each)
        names = list(STREAMS) if any(len(word) > 1 for word in counts) else ["word"]
        return WordStreams({name: _often_of_words(counts, name, most - 1) for name in names})

    @property
    def streams(self) -> int:
        return len(self.vocabularies)

    @property
    def size(self) -> int:
        return max(vocabulary.size for vocabulary in self.vocabularies.values())

    @property
    def inputs(self) -> int:
        return self.streams * self.size

    def encode(self, steps: Sequence[Any]) -> tuple[Encoded, Int[np.ndarray, " sequences"]]:
        found, lengths = _empty(steps, (self.streams,), np.int32)
        words = [word for each in steps for word in each]
        different = list(dict.fromkeys(words))
        place = {word: number for number, word in enumerate(different)}
        chosen = np.array([place[word] for word in words], int)
        columns = [vocabulary.encode(map(STREAMS[name], different)) for name, vocabulary in self.vocabularies.items()]
        if words:
            found[_real(found, lengths)] = np.stack(columns, axis=1)[chosen]
        return found, lengths

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "streams": {name: list(vocabulary.symbols) for name, vocabulary in self.vocabularies.items()},
        }


def fit(kind: str, training: Sequence[Any], features: Sequence[str], words: int) -> View:
    """The view of a kind from the training part. Raises `CapaxError` as `Numbers.fit`."""
    if kind == "numbers":
        return Numbers.fit(training, features)
    return Characters.fit(training) if kind == "characters" else WordStreams.fit(training, words)


def view_from_json(given: Any) -> View:
    """A view as `to_json` gave it. Raises `CapaxError` for anything else."""
    kind = given.get("kind") if isinstance(given, dict) else None
    if kind == "numbers":
        scaler = Scaler.from_json(given)
        if scaler.mean:
            return Numbers(scaler)
    if kind == "characters":
        return Characters(Vocabulary.from_json(given))
    streams = given.get("streams") if kind == "words" else None
    if not isinstance(streams, dict) or not streams or not set(streams) <= set(STREAMS):
        raise CapaxError("this does not say how the steps of a sequence become inputs.")
    return WordStreams({name: Vocabulary.from_json({"symbols": symbols}) for name, symbols in streams.items()})


def often(symbols: Iterable[str], most: int | None = None) -> Vocabulary:
    """The symbols that are seen often (`SEEN_OFTEN`), the commonest first; all of them where most
    steps would be unknown otherwise."""
    return _often(collections.Counter(symbols), most)


def _often(counts: collections.Counter[str], most: int | None) -> Vocabulary:
    known = [(symbol, count) for symbol, count in counts.most_common(most) if count >= SEEN_OFTEN]
    if 2 * sum(count for _, count in known) < sum(counts.values()):
        known = counts.most_common(most)
    return Vocabulary(tuple(symbol for symbol, _ in known))


def _often_of_words(counts: collections.Counter[str], stream: str, most: int) -> Vocabulary:
    found: collections.Counter[str] = collections.Counter()
    for word, count in counts.items():
        found[STREAMS[stream](word)] += count
    return _often(found, most)


def filled(values: Float[np.ndarray, "time features"]) -> Float[np.ndarray, "time features"]:
    """Scaled values without missing ones: the last known before, else the first known, else 0."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    steps = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(missing, -1, steps), axis=0)
    first = (~missing).argmax(axis=0)[None]
    found = np.take_along_axis(values, np.where(last < 0, first, last), axis=0)
    return np.where(np.isnan(found), 0.0, found)


def _empty(steps: Sequence[Any], rest: tuple[int, ...], kind: Any) -> tuple[Any, Int[np.ndarray, " sequences"]]:
    lengths = np.array([len(each) for each in steps], np.int32)
    return np.zeros((len(steps), int(lengths.max(initial=1)), *rest), kind), lengths


def _real(found: Any, lengths: Int[np.ndarray, " sequences"]) -> Any:
    return np.arange(found.shape[1])[None] < lengths[:, None]
