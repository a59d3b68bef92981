"""Labels without a network: the commonest label of all, and the commonest label of a word.

Labels are whole numbers from 0 to classes - 1.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

Labels = Int[np.ndarray, " items"]
Probabilities = Float[np.ndarray, "items classes"]

ENDINGS = (1, 2, 3)
SMOOTHING = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of these the one is taken that is best on the validation part."""


def frequencies(labels: Labels, classes: int) -> Float[np.ndarray, " classes"]:
    """The share of each label in the training part: the majority method's probabilities."""
    counts = np.bincount(labels, minlength=classes).astype(float)
    return counts / counts.sum()


@dataclasses.dataclass(frozen=True)
class LabelOfWord:
    """The label that a word has most often in the training part.

    A word that it has not: the commonest label of the training words with the same last three
    letters, else two, else one (`endings`), else of all words. Probabilities are those of the
    word, drawn towards those of its ending, and so on: p_k = (count + a p_{k-1}) / (total + a).

    `tables`: counts of labels, from those of all words, by endings, to those of the word itself.
    """

    endings: tuple[int, ...]
    tables: tuple[Mapping[str, Float[np.ndarray, " classes"]], ...]
    smoothing: float = 1.0

    @staticmethod
    def fit(words: Sequence[str], labels: Labels, classes: int, endings: tuple[int, ...] = ENDINGS) -> "LabelOfWord":
        """**Arguments:** `endings`, by how many last letters unknown words are known, ascending;
        none for the plain method, by which an unknown word has the commonest label of all.
        """
        pairs = collections.Counter(zip(words, labels.tolist(), strict=True))
        keys = [_key(number) for number in (0, *endings, None)]
        tables: list[dict[str, np.ndarray]] = [{} for _ in keys]
        for (word, label), count in pairs.items():
            for table, key in zip(tables, keys, strict=True):
                table.setdefault(key(word), np.zeros(classes))[label] += count
        return LabelOfWord(endings, tuple(tables))

    def chosen(self, words: Sequence[str], labels: Labels) -> "LabelOfWord":
        """The same with the smoothing that gives the validation part the least cross-entropy."""
        rivals = [dataclasses.replace(self, smoothing=smoothing) for smoothing in SMOOTHING]
        return min(rivals, key=lambda one: -np.mean(np.log(one.probabilities(words)[np.arange(len(labels)), labels])))

    def labels(self, words: Sequence[str]) -> Labels:
        """The most frequent label of each word."""
        return _each(words, lambda word: np.argmax(self._known(word)[-1]), int)

    def probabilities(self, words: Sequence[str]) -> Probabilities:
        """Of each word's labels; none is 0."""
        return _each(words, self._smoothed, float)

    def _known(self, word: str) -> list[Float[np.ndarray, " classes"]]:
        """The counts of all words, of its endings, and of the word, as far as there are any."""
        keys = [_key(number)(word) for number in (0, *self.endings, None)]
        found = [table.get(key) for table, key in zip(self.tables, keys, strict=True)]
        return [counts for counts in found if counts is not None]

    def _smoothed(self, word: str) -> Float[np.ndarray, " classes"]:
        known = self._known(word)
        found = np.full(len(known[0]), 1 / len(known[0]))
        for counts in known:
            found = (counts + self.smoothing * found) / (counts.sum() + self.smoothing)
        return found


def _key(letters: int | None) -> Callable[[str], str]:
    """What words are told apart by: so many last letters, or the whole word."""
    if letters is None:
        return lambda word: word
    return lambda word: word[-letters:] if letters else ""


def _each(words: Iterable[str], answer: Callable[[str], Any], kind: type) -> np.ndarray:
    """An answer for each word, found once for equal ones."""
    every = list(words)
    different = {word: answer(word) for word in dict.fromkeys(every)}
    return np.asarray([different[word] for word in every], kind)
