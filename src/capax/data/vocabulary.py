"""Vocabularies: symbols (characters, words, labels) as numbers, learned from training data."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from capax.errors import CapaxError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What an unknown symbol is decoded to."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """`symbols`, numbered from 0; whatever is not among them has one number more, `unknown`."""

    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.symbols)) < len(self.symbols):
            raise CapaxError("a vocabulary has each symbol once.")

    @staticmethod
    def fit(symbols: Iterable[str], most: int | None = None) -> "Vocabulary":
        """All symbols of the training data, or the `most` commonest of them; the commonest first,
        equally common ones in the order in which they come.

        A text is an iterable of its characters.
        """
        return Vocabulary(tuple(symbol for symbol, _ in collections.Counter(symbols).most_common(most)))

    @property
    def unknown(self) -> int:
        """The number of symbols that are not in the vocabulary."""
        return len(self.symbols)

    @property
    def size(self) -> int:
        """How many numbers there are, that of unknown symbols included."""
        return len(self.symbols) + 1

    def encode(self, symbols: Iterable[str]) -> Int[np.ndarray, " symbols"]:
        """The number of each symbol."""
        if isinstance(symbols, str):
            return self._encode_characters(symbols)
        numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        return np.array([numbers.get(symbol, self.unknown) for symbol in symbols], np.int64)

    def _encode_characters(self, text: str) -> Int[np.ndarray, " symbols"]:
        """As `encode`, by a table of code points: a long text has millions of characters."""
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        own = [(ord(symbol), number) for number, symbol in enumerate(self.symbols) if len(symbol) == 1]
        table = np.full(max([int(points.max(initial=0)), *(point for point, _ in own)]) + 1, self.unknown, np.int64)
        for point, number in own:
            table[point] = number
        return table[points]

    def decode(self, numbers: Sequence[int] | Integer[np.ndarray, " symbols"]) -> list[str]:
        """The symbol of each number; U+FFFD for unknown ones. What `encode` knew comes back as it
        was."""
        known = (*self.symbols, REPLACEMENT)
        return [known[number] for number in numbers]

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {"symbols": list(self.symbols)}

    @staticmethod
    def from_json(given: dict[str, Any]) -> "Vocabulary":
        """A vocabulary as `to_json` gave it. Raises `CapaxError` for anything else."""
        symbols = given.get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
            raise CapaxError("this is no vocabulary: a list of texts named 'symbols' is due.")
        return Vocabulary(tuple(symbols))
