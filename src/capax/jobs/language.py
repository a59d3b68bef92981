"""Language models: a text as characters or words, and what is learned of its training section.

Words are cut so that the symbols of a text, put together, are the text again: a symbol is a word or
a mark with the space before it, if there is one, or a single white space.

Scores are in bits per character, whatever the symbols are. A symbol that the vocabulary does not
have costs what the model says of unknown symbols, and beside that its spelling: a character its
number in Unicode, a word its letters by an n-gram model of the rare words of the training section.
"""

import dataclasses
import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int, Integer

from capax.baselines import ngram
from capax.data.text import Text
from capax.data.vocabulary import Vocabulary
from capax.errors import CapaxError, counted
from capax.jobs import sections
from capax.jobs.preparation import Preparation

KINDS = ("characters", "words")
SEEN_OFTEN = 2
"""What the training section has less often counts as unknown, so that a model learns of unknown
symbols."""
CODE_POINTS = 0x110000
"""Of Unicode: what an unknown character is one of."""
SPELLING_ORDER = 3


def split_words(text: str) -> list[str]:
    """The words, marks, and white spaces of a text; put together, they are the text."""
    return _pattern("".join(sorted(c for c in set(text) if unicodedata.category(c)[0] == "M"))).findall(text)


@functools.lru_cache(maxsize=64)
def _pattern(marks: str) -> re.Pattern[str]:
    """Of symbols, in a text with these combining marks, which belong to the letter before them."""
    joined = f"[\\w{re.escape(marks)}]" if marks else r"\w"
    return re.compile(rf" ?{joined}+(?:['’]{joined}+)*| ?[^\s\w]|\s")


def split(text: str, kind: str) -> Sequence[str]:
    """The symbols of a text."""
    return text if kind == "characters" else split_words(text)


@dataclasses.dataclass(frozen=True)
class Language(Preparation):
    """`kind` of symbols, "characters" or "words"; `vocabulary`, those of the training section."""

    job: ClassVar[str] = "language"
    kind: str
    vocabulary: Vocabulary

    @property
    def inputs(self) -> int:
        return self.vocabulary.size

    @property
    def outputs(self) -> int:
        return self.vocabulary.size

    @property
    def begin(self) -> int:
        """What stands before a text that has nothing before it: a line break, or the commonest
        symbol where there is none."""
        return self.vocabulary.symbols.index("\n") if "\n" in self.vocabulary.symbols else 0

    @property
    def symbols(self) -> bool:
        return True

    def split(self, text: str) -> Sequence[str]:
        """The symbols of a text."""
        return split(text, self.kind)

    def encode(self, text: str) -> Int[np.ndarray, " symbols"]:
        """The numbers of a text's symbols."""
        return self.vocabulary.encode(self.split(text))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Language":
        kind = given.get("kind")
        if kind not in KINDS:
            raise CapaxError(f"this is no preparation of a text: its symbols are {' or '.join(KINDS)}, not {kind!r}.")
        vocabulary = Vocabulary.from_json(dict(given))
        if not vocabulary.symbols:
            raise CapaxError("this is no preparation of a text: its vocabulary is empty.")
        return cls(kind, vocabulary)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a text: `symbols` by number; of each, how many `characters` it has, and what its
    `spelling` costs in nats, 0 where the vocabulary has it."""

    symbols: Integer[np.ndarray, " symbols"]
    characters: Int[np.ndarray, " symbols"]
    spelling: Float[np.ndarray, " symbols"]


@dataclasses.dataclass(frozen=True)
class PreparedText:
    """The three sections of a text by name, what was learned of the training section, and what the
    text was taken for, a sentence each."""

    preparation: Language
    parts: Mapping[str, Section]
    notes: tuple[str, ...]


def prepare(text: Text, *, kind: str, most: int, window: int, warm_up: int, where: str) -> PreparedText:
    """Cut a text into sections, and learn the vocabulary of the training section.

    **Arguments:** `kind` of symbols; `most` of them in the vocabulary, the commonest; `window` and
    `warm_up`, steps, for which the text must be long enough.

    Raises `CapaxError` for a text that is too short.
    """
    characters = text.characters
    parts = {
        name: characters[slice(*sections.section(name, len(characters)))]
        for name in ("train", "validation", "evaluation")
    }
    cut = {name: split(part, kind) for name, part in parts.items()}
    shortest = min(len(part) for part in cut.values())
    if shortest < 2 * (window + 1):
        raise CapaxError(
            f"{where} is too short: the smallest of its sections, 5% of the text, has {shortest:,} {kind}; windows of {window} "
            f"need {2 * (window + 1):,}. A smaller window will do: window=20, warm_up=5."
        )
    vocabulary = _vocabulary(cut["train"], most)
    preparation = Language(kind, vocabulary)
    spelling = _Spelling.fit(cut["train"], vocabulary) if kind == "words" else None
    made = {name: _section(part, vocabulary, spelling) for name, part in cut.items()}
    notes = (
        *text.notes,
        *_said(preparation, made, len(characters)),
        *sections.caution(len(characters)),
        _said_of_repeats(made, window, warm_up, kind),
    )
    return PreparedText(preparation, made, notes)


def _vocabulary(symbols: Sequence[str], most: int) -> Vocabulary:
    """The symbols that are seen often; all, where most of the text would be unknown otherwise."""
    counts = Counter(symbols)
    often = [symbol for symbol, count in counts.most_common(most) if count >= SEEN_OFTEN]
    if 2 * sum(counts[symbol] for symbol in often) < len(symbols):
        return Vocabulary(tuple(symbol for symbol, _ in counts.most_common(most)))
    return Vocabulary(tuple(often))


def _section(symbols: Sequence[str], vocabulary: Vocabulary, spelling: "_Spelling | None") -> Section:
    numbers = vocabulary.encode(symbols)
    kind = np.min_scalar_type(vocabulary.size)
    unknown = np.flatnonzero(numbers == vocabulary.unknown)
    cost = np.zeros(len(numbers), np.float32)
    if spelling is None:
        cost[unknown] = math.log(CODE_POINTS)
        return Section(numbers.astype(kind), np.ones(len(numbers), np.int32), cost)
    cost[unknown] = [spelling.nats(symbols[place]) for place in unknown.tolist()]
    return Section(numbers.astype(kind), np.array([len(symbol) for symbol in symbols], np.int32), cost)


@dataclasses.dataclass(frozen=True)
class _Spelling:
    """An n-gram model of the characters of words that are not in the vocabulary, as the training
    section has them; the symbol behind those of `letters` ends a word."""

    letters: Vocabulary
    model: ngram.Ngram

    @staticmethod
    def fit(symbols: Sequence[str], vocabulary: Vocabulary) -> "_Spelling":
        known = set(vocabulary.symbols)
        words = [word for word in dict.fromkeys(symbols) if word not in known] or list(known)
        letters = Vocabulary.fit(letter for word in words for letter in word)
        end = letters.size
        row = np.concatenate([np.concatenate([[end + 1], letters.encode(word), [end]]) for word in words])
        return _Spelling(letters, ngram.fit(row, end + 1, SPELLING_ORDER))

    def nats(self, word: str) -> float:
        return _nats(self, word)


@functools.lru_cache(maxsize=2**16)
def _nats(spelling: _Spelling, word: str) -> float:
    letters = spelling.letters.encode(word)
    node, total = np.array([spelling.model.begin]), 0.0
    for letter in (*letters.tolist(), spelling.letters.size):
        node, log = spelling.model.step(node, np.array([letter]))
        total -= float(log[0])
    return total + math.log(CODE_POINTS) * int((letters == spelling.letters.unknown).sum())


def _said(preparation: Language, parts: Mapping[str, Section], characters: int) -> list[str]:
    other = KINDS[preparation.kind == KINDS[0]]
    vocabulary = preparation.vocabulary
    notes = [
        f"symbols: {preparation.kind}, {len(vocabulary.symbols):,} different ones in the training section; "
        f"otherwise: --set symbols={other}",
        f"sections, one behind the other: {', '.join(f'{len(part.symbols):,} for {name}' for name, part in parts.items())}",
    ]
    for name, part in parts.items():
        unknown = int((part.symbols == vocabulary.unknown).sum())
        if unknown:
            share = f"{unknown:,} of {counted(len(part.symbols), 'symbol')} ({unknown / len(part.symbols):.2%})"
            notes.append(f"{share} of the {name} section count as unknown")
    return notes


def _said_of_repeats(parts: Mapping[str, Section], window: int, warm_up: int, kind: str) -> str:
    row = np.concatenate([parts[name].symbols for name in ("train", *sections.HELD_OUT_SPLITS)])
    begin, counts, starts = len(parts["train"].symbols), {}, {}
    for name in sections.HELD_OUT_SPLITS:
        size = len(parts[name].symbols)
        counts[name], stride = sections.windows(size, window, warm_up, sections.MOST_WINDOWS)
        starts[name] = begin + stride * np.arange(counts[name])
        begin += size
    found = sections.repeated(row, starts, window + 1, len(parts["train"].symbols))
    return sections.said_of_repeats({name: (found[name], counts[name]) for name in found}, window + 1, kind)
