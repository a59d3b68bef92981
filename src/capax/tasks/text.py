"""Next character of a text, cleaned as text8 is (Collins et al. 2017, appendix B, text8) or as it
is."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree

from capax.baselines.markov import bits_per_symbol
from capax.cells.sequence import OneHot
from capax.contents import Content
from capax.data import text as data_text
from capax.data import text8
from capax.data.vocabulary import Vocabulary
from capax.errors import CapaxError
from capax.hyperparameters import Interval
from capax.jobs import sections
from capax.jobs.sections import HELD_OUT, section
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks.batch import SequenceBatch
from capax.tasks.options import option
from capax.tasks.task import Scalars, Split, Sums, Task, cross_entropy

ALPHABETS = ("text8", "unicode")
WHERE = "text8.zip is at https://mattmahoney.net/dc/textdata (31 MB); any plain text file will do, too"
HELD_OUT_SPLITS: tuple[Split, Split] = ("validation", "evaluation")
MOST_WINDOWS = sections.MOST_WINDOWS
LEAST_SHARE = 1e-4
"""A smaller share of letters that cleaning drops is not worth a word."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A text as the task has it: its `symbols`, of `size` kinds; where it is from; `remarks` that
    a reader should know."""

    symbols: Integer[np.ndarray, " letters"]
    size: int
    source: Content
    remarks: tuple[str, ...]


_PREPARED: dict[tuple[str, str], Prepared] = {}
"""By content and alphabet: a file may change while its path stays. The last few are kept."""
MOST_PREPARED = 4


def _read(path: str | None, encoding: str | None) -> data_text.Text:
    try:
        missing = path is not None and not Path(path).exists()
    except OSError:  # no right to look, or no name for a file: reading it says so
        missing = False
    if missing:
        raise CapaxError(f"task text: there is no file {path}; {WHERE}.")
    return data_text.read(None if path is None else Path(path), encoding, option="text.encoding")


@functools.lru_cache(maxsize=16)
def _sha256(path: str | None, encoding: str | None, changed: tuple[int, int] | None) -> str:
    """Of a text as it is now; `changed`: when its file was, and its size."""
    del changed
    return _read(path, encoding).source.sha256


def _changed(path: str | None) -> tuple[int, int] | None:
    try:
        found = None if path is None else Path(path).stat()
    except OSError:  # reading it will say what is wrong
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size)


def _prepared(path: str | None, encoding: str | None, alphabet: str, sha256: str) -> Prepared:
    """The text with this content. Raises `CapaxError` where the file has another one by now."""
    if (sha256, alphabet) not in _PREPARED:
        text = _read(path, encoding)
        if text.source.sha256 != sha256:
            raise CapaxError(
                f"task text: {text.source.name} is not the text that it was (SHA-256 {sha256[:12]}.., now "
                f"{text.source.sha256[:12]}..); give the text of then, or begin anew."
            )
        if len(_PREPARED) >= MOST_PREPARED:
            del _PREPARED[next(iter(_PREPARED))]
        _PREPARED[sha256, alphabet] = _as_text8(text, path) if alphabet == "text8" else _as_it_is(text, path)
    return _PREPARED[sha256, alphabet]


def _as_text8(text: data_text.Text, path: str | None) -> Prepared:
    cleaned = text8.clean(text.characters)
    if not cleaned.strip():
        raise CapaxError(f"task text: {path} has no letters a-z; text.alphabet=unicode takes it as it is.")
    remarks = [f"The text: {text.source.name}, cleaned as text8 is: {len(cleaned):,} letters and spaces."]
    dropped = text8.share_dropped(text.characters)
    if dropped >= LEAST_SHARE:
        remarks.append(
            f"Cleaning dropped {dropped:.2g} of the text's letters, which are not a to z "
            "(text.alphabet=unicode takes the text as it is)."
        )
    symbols = text8.symbols(cleaned)
    return Prepared(symbols, len(text8.ALPHABET), text.source, (*remarks, *sections.caution(len(symbols))))


def _as_it_is(text: data_text.Text, path: str | None) -> Prepared:
    """Each character is a symbol. The vocabulary is that of the training section; one more symbol
    stands for all others."""
    if not text.characters:
        raise CapaxError(f"task text: {path} is empty.")
    begin, _ = section("validation", len(text.characters))
    vocabulary = Vocabulary.fit(text.characters[:begin])
    symbols = vocabulary.encode(text.characters).astype(np.min_scalar_type(vocabulary.size))
    unknown = int((symbols == vocabulary.unknown).sum())
    remarks = [
        f"The text: {text.source.name}, as it is: {len(symbols):,} characters, {len(vocabulary.symbols):,} different ones in "
        f"the training section; {unknown:,} others, held out, count as one unknown symbol."
    ]
    return Prepared(symbols, vocabulary.size, text.source, (*remarks, *sections.caution(len(symbols))))


_MARKOV: dict[tuple[str, str, int], float] = {}
"""By content, alphabet, and order."""
_REPEATED: dict[tuple[str, str, int, int], dict[str, int]] = {}
"""By content, alphabet, window, and warm-up."""


@dataclasses.dataclass(frozen=True)
class Text(Task):
    """Random windows of `length` characters; the first `warm_up` steps bring the state up, the rest
    count.

    Options: `path`, a text file, plain or packed, such as text8.zip (default: Python's own help
    texts); its `encoding`, where that is not UTF-8; `alphabet`: "text8" cleans it to a-z and space,
    "unicode" takes every character as it is; `sha256` of the text, filled in where it is not given,
    and else held to; `window`, T; `warm_up`; `batch_size`. Held-out sections are scored on windows
    that lie side by side, so that no character is predicted twice; how many of them stand word for
    word in the training section is said.
    """

    name: ClassVar[str] = "text"
    reporting: ClassVar[Reporting] = Reporting("bits per character")
    foreseeable: ClassVar[bool] = True

    path: str | None = None
    window: int = option(50, Interval(1, 10**6))
    warm_up: int = option(13, Interval(0, 10**6))
    batch_size: int = option(32, Interval(1, 10**6))
    alphabet: str = "text8"
    encoding: str | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warm_up >= self.window:
            raise CapaxError(
                f"task text: warm_up must be from 0 to window - 1 = {self.window - 1}, not {self.warm_up}."
            )
        if self.data_seed:
            raise CapaxError(
                "task text: data_seed changes nothing, since the sections of a text are fixed; leave it out."
            )
        if self.path is not None:  # relative paths mean what they meant where the experiment was started
            object.__setattr__(self, "path", str(Path(self.path).resolve()))
        if self.alphabet not in ALPHABETS:
            raise CapaxError(f"task text: alphabet must be text8 or unicode, not {self.alphabet!r}.")
        if not self.sha256:
            object.__setattr__(self, "sha256", _sha256(self.path, self.encoding, _changed(self.path)))
        letters, least = len(self._prepared.symbols), math.ceil(2 * (self.window + 1) / HELD_OUT)
        if letters < least:
            raise CapaxError(
                f"task text: {self.path or self.source.name} has {letters} letters; a window of {self.window} needs {least} or more."
            )

    @property
    def _prepared(self) -> Prepared:
        return _prepared(self.path, self.encoding, self.alphabet, self.sha256)

    @property
    def source(self) -> Content:
        """The text: its name, hash, and size, however its file is packed or encoded."""
        found = self._prepared.source
        if self.path is None:
            return found
        return dataclasses.replace(found, name=Path(self.path).name, path=self.path, option="path")

    def remarks(self) -> tuple[str, ...]:
        return (*self._prepared.remarks, self._said_of_repeats())

    def _said_of_repeats(self) -> str:
        counts = {split: (self.repeated(split), self._windows(split)) for split in HELD_OUT_SPLITS}
        return sections.said_of_repeats(counts, self.window + 1)

    @property
    def sizes(self) -> Sizes:
        return Sizes(self._prepared.size, self._prepared.size, self.window, first=self.warm_up)

    @property
    def facts(self) -> Facts:
        kinds = self._prepared.size
        return Facts(chance=math.log2(kinds), chance_loss=math.log(kinds), perfect=0.0)

    def section(self, split: Split) -> tuple[int, int]:
        """Begin and end of a split's section of the text."""
        return section(split, len(self._prepared.symbols))

    def letters(self, split: Split) -> Integer[np.ndarray, " letters"]:
        """The symbols of a split's section; with the alphabet of text8 0 for space and 1 to 26 for
        a to z."""
        begin, end = self.section(split)
        return self._prepared.symbols[begin:end]

    def data(self, parameters: int) -> PyTree:
        return jnp.asarray(self._prepared.symbols)

    def data_depend_on(self, parameters: int) -> None:
        return None

    def _windows(self, split: Split) -> int:
        return self._counted(split)[0]

    def _stride(self, split: Split) -> int:
        """From one scored window of a held-out section to the next."""
        return self._counted(split)[1]

    def _counted(self, split: Split) -> tuple[int, int]:
        begin, end = self.section(split)
        return sections.windows(end - begin, self.window, self.warm_up, MOST_WINDOWS)

    def repeated(self, split: Split) -> int:
        """How many of the windows on which a held-out section is scored stand word for word in the
        training section, the last target included."""
        key = (self.sha256, self.alphabet, self.window, self.warm_up)
        if key not in _REPEATED:
            starts = {
                split: self.section(split)[0] + self._stride(split) * np.arange(self._windows(split))
                for split in HELD_OUT_SPLITS
            }
            _, end = self.section("train")
            _REPEATED[key] = sections.repeated(self._prepared.symbols, starts, self.window + 1, end)
        return _REPEATED[key][split]

    def batches(self, split: Split, scalars: Scalars) -> Array:
        return jnp.asarray(1 if split == "train" else math.ceil(self._windows(split) / self.batch_size))

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        begin, end = self.section(split)
        if split == "train":
            starts = jax.random.randint(key, (self.batch_size,), begin, end - self.window)
            return self._at(data, starts, jnp.ones((self.batch_size,)))
        windows, stride = self._windows(split), self._stride(split)
        number = index * self.batch_size + jnp.arange(self.batch_size)
        return self._at(data, begin + jnp.minimum(number, windows - 1) * stride, (number < windows).astype(jnp.float32))

    def _at(self, data: Integer[Array, " letters"], starts: Array, weights: Float[Array, " batch"]) -> SequenceBatch:
        symbols = data[starts[None, :] + jnp.arange(self.window + 1)[:, None]].astype(jnp.int32)
        scored = self.window - self.warm_up
        weights = jnp.broadcast_to(weights[None, :], (scored, weights.shape[0]))
        return SequenceBatch(OneHot(symbols[:-1], self.inputs), symbols[1 + self.warm_up :], weights)

    def sample(self, key: Array, size: int) -> SequenceBatch:
        begin, end = self.section("train")
        starts = jax.random.randint(key, (size,), begin, end - self.window)
        return self._at(self.data(0), starts, jnp.ones((size,)))

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        return {"loss": cross_entropy(outputs, batch.targets, batch.weights), "weight": jnp.sum(batch.weights)}

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        loss = sums["loss"] / sums["weight"]
        return {"score": loss / math.log(2), "loss": loss, "characters": sums["weight"]}

    def baselines(self) -> dict[str, float]:
        return {f"order-{order} Markov": self.markov(order) for order in (1, 2, 3)}

    def contents(self) -> tuple[Content, ...]:
        return (self.source,)

    def markov(self, order: int) -> float:
        """Bits per character, on the evaluation section, of a Markov model fitted on the training
        section.

        Each order is smoothed with the one below, p_k = (count + a p_{k-1}) / (total + a), with the
        `a` of each order that is best on the validation section.
        """
        key = (self.sha256, self.alphabet, order)
        if key not in _MARKOV:
            sections = (self.letters("train"), self.letters("validation"), self.letters("evaluation"))
            _MARKOV[key] = bits_per_symbol(*sections, self.outputs, order)
        return _MARKOV[key]

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        return float(self.batch_size * self.window)
