"""What logistic regression sees of a sequence or of a step: summaries of numbers, counts of
characters and words, words with their neighbours.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Float

LEAST = 2
"""Features that the training part has less often are left out."""
MOST = 50_000
"""So many features are kept, the commonest."""
GRAMS = (1, 2, 3)
SUMMARIES = ("mean", "deviation", "least", "most", "first", "last", "slope")


def summaries(steps: Sequence[Float[np.ndarray, "_ features"]]) -> Float[np.ndarray, "sequences summaries"]:
    """Of each feature: mean, standard deviation, least, most, first, and last value, and the slope
    of its least-squares line over the steps; of known values. NaN where none is known.
    """
    return np.stack([_summary(each) for each in steps])


def _summary(values: Float[np.ndarray, "time features"]) -> Float[np.ndarray, " summaries"]:
    found = np.full((len(SUMMARIES), values.shape[1]), np.nan)
    for number, column in enumerate(values.T):
        time = np.flatnonzero(~np.isnan(column))
        known = column[time]
        if len(known):
            centred = time - time.mean()
            slope = centred @ known / max(1.0, float(centred @ centred))
            found[:, number] = known.mean(), known.std(), known.min(), known.max(), known[0], known[-1], slope
    return found.ravel()


@dataclasses.dataclass(frozen=True)
class Standard:
    """Mean 0 and deviation 1 on the training part; what is missing becomes 0."""

    mean: Float[np.ndarray, " features"]
    deviation: Float[np.ndarray, " features"]

    @staticmethod
    def fit(training: Float[np.ndarray, "items features"]) -> "Standard":
        known = ~np.isnan(training)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, training, 0.0).sum(axis=0) / count
        variance = np.where(known, (training - mean) ** 2, 0.0).sum(axis=0) / count
        return Standard(mean, np.where(variance > 1e-24, np.sqrt(variance), 1.0))

    def __call__(self, x: Float[np.ndarray, "items features"]) -> Float[np.ndarray, "items features"]:
        return np.nan_to_num((x - self.mean) / self.deviation)


def grams(symbols: Sequence[str]) -> list[str]:
    """All runs of one to three symbols."""
    return ["\x1f".join(symbols[at : at + size]) for size in GRAMS for at in range(len(symbols) - size + 1)]


def words_and_pairs(words: Sequence[str]) -> list[str]:
    """Words, and pairs of neighbours, in small letters."""
    small = [word.lower() for word in words]
    return [*small, *(f"{one}\x1f{other}" for one, other in itertools.pairwise(small))]


def around_words(words: Sequence[str]) -> list[list[str]]:
    """For each word: itself, its last one to three letters, how it begins, and the words before and
    behind with their endings.
    """
    small = ["", "", *(word.lower() for word in words), "", ""]
    found = []
    for at, word in enumerate(words, start=2):
        own = [f"w {small[at]}", f"form {_form(word)}", *(f"e{size} {small[at][-size:]}" for size in GRAMS)]
        near = [f"{name} {small[at + by]}" for name, by in (("b", -1), ("bb", -2), ("n", 1), ("nn", 2))]
        ends = [f"{name} {small[at + by][-3:]}" for name, by in (("be", -1), ("ne", 1))]
        found.append([*own, *near, *ends, f"bw {small[at - 1]}\x1f{small[at]}"])
    return found


def around_numbers(
    values: Float[np.ndarray, "time features"], reach: int = 2
) -> Float[np.ndarray, "time features_around"]:
    """For each step: its numbers, and those of the `reach` steps before and behind; NaN outside."""
    outside = np.full((reach, values.shape[1]), np.nan)
    padded = np.concatenate([outside, values, outside])
    return np.concatenate([padded[by : by + len(values)] for by in range(2 * reach + 1)], axis=1)


def _form(word: str) -> str:
    """Whether a word begins with a capital, is of capitals alone, or has digits."""
    return f"{word[:1].isupper():d}{word.isupper():d}{any(c.isdigit() for c in word):d}{word[:1].isalnum():d}"


@dataclasses.dataclass(frozen=True)
class Bag:
    """Counts of features that are texts, as rows of a sparse matrix. `columns`: the features of the
    training part."""

    columns: Mapping[str, int]

    @staticmethod
    def fit(training: Iterable[Sequence[str]]) -> "Bag":
        counts = collections.Counter(feature for each in training for feature in each)
        kept = [feature for feature, count in counts.most_common(MOST) if count >= LEAST]
        return Bag({feature: number for number, feature in enumerate(kept)})

    def __call__(self, items: Sequence[Sequence[str]], *, length_one: bool = False) -> scipy.sparse.csr_matrix:
        """**Arguments:** `length_one`: each row is divided by its Euclidean length, so that long
        texts do not weigh more."""
        columns = [[self.columns[feature] for feature in each if feature in self.columns] for each in items]
        ends = np.cumsum([0, *map(len, columns)])
        flat = np.array([column for each in columns for column in each], int)
        shape = (len(items), max(1, len(self.columns)))
        found = scipy.sparse.csr_matrix((np.ones(len(flat), np.float32), flat, ends), shape=shape)
        found.sum_duplicates()
        if not length_one:
            return found
        lengths = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
        shares = scipy.sparse.diags((1 / np.maximum(lengths, 1e-12)).astype(np.float32))
        return scipy.sparse.csr_matrix(shares @ found)
