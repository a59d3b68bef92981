"""Next character of a text cleaned as text8 is: a-z and space (Collins et al. 2017, appendix B, text8)."""

import dataclasses
import functools
import math
import platform
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from capax import contents
from capax.cells.sequence import OneHot
from capax.contents import Content
from capax.errors import CapaxError
from capax.tasks.task import Draw, Scalars, Split, Sums, Task, cross_entropy

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WHERE = "text8.zip is at https://mattmahoney.net/dc/textdata (31 MB); any plain text file will do, too"
HELD_OUT = 0.05
"""The share of the text in the validation section, and in the evaluation section after it: text8's usual 90, 5, and 5 percent."""
MOST_WINDOWS = 4096
"""Windows of a held-out section that are scored, evenly spaced; shorter sections are scored whole."""


def clean(text: str) -> str:
    """Text as in text8 (Mahoney 2011): lower case, digits spelled out, anything else than a-z a single space."""
    text = re.sub("[0-9]", lambda digit: f" {DIGITS[int(digit[0])]} ", text.lower())
    return re.sub("[^a-z]+", " ", text).strip()


def _read(path: Path) -> str:
    try:
        if not path.exists():
            raise CapaxError(f"task text: there is no file {path}; {WHERE}.")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                if len(names) != 1:
                    raise CapaxError(
                        f"task text: {path} holds {len(names)} files where one text is due; unpack it and name the text."
                    )
                raw = archive.read(names[0])
        else:
            raw = path.read_bytes()
    except OSError as error:
        raise CapaxError(f"task text: {path} cannot be read: {error.strerror}.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted, unknown method
        raise CapaxError(
            f"task text: the zip file {path} cannot be unpacked ({error}); unpack it and name the text."
        ) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise CapaxError(f"task text: {path} is not a text file (not UTF-8); convert it to UTF-8.") from None
    if "\0" in text:
        raise CapaxError(f"task text: {path} is not a text file (it has NUL bytes).")
    return text


def _built_in() -> str:
    """The help texts of Python's own `pydoc_data.topics`: real English on every machine."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def read(path: Path | None) -> str:
    """A text file, or the only file in a zip; by default Python's own help texts. Raises `CapaxError` for what is no text."""
    return _built_in() if path is None else _read(path)


@functools.lru_cache(maxsize=4)
def _symbols(path: str | None) -> UInt8[np.ndarray, " letters"]:
    cleaned = clean(read(None if path is None else Path(path)))
    if not cleaned:
        raise CapaxError(f"task text: {path} has no letters a-z.")
    codes = np.frombuffer(cleaned.encode("ascii"), np.uint8)
    return np.where(codes == ord(" "), 0, codes - ord("a") + 1).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Text(Task):
    """Random windows of `length` characters; the first `warm_up` steps bring the state up, the rest count.

    Options: `path`, a text file, text8, or text8.zip (default: Python's own help texts); `window`, T; `warm_up`; `batch_size`.
    Held-out sections are scored on windows that lie side by side, so that no character
    is predicted twice.
    """

    name: ClassVar[str] = "text"
    direction: ClassVar[Literal["maximise", "minimise"]] = "minimise"
    score_label: ClassVar[str] = "bits per character"
    foreseeable: ClassVar[bool] = True

    path: str | None = None
    window: int = 50
    warm_up: int = 13
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up < self.window:
            raise CapaxError(
                f"task text: warm_up must be from 0 to window - 1 = {self.window - 1}, not {self.warm_up}."
            )
        if self.batch_size < 1:
            raise CapaxError(f"task text: batch_size must be at least 1, not {self.batch_size}.")
        if self.path is not None:  # relative paths mean what they meant where the experiment was started
            object.__setattr__(self, "path", str(Path(self.path).resolve()))
        letters, least = len(_symbols(self.path)), math.ceil(2 * (self.window + 1) / HELD_OUT)
        if letters < least:
            raise CapaxError(
                f"task text: {self.path} has {letters} letters; a window of {self.window} needs {least} or more."
            )

    @property
    def inputs(self) -> int:
        return len(ALPHABET)

    @property
    def outputs(self) -> int:
        return len(ALPHABET)

    @property
    def length(self) -> int:
        return self.window

    @property
    def first(self) -> int:
        return self.warm_up

    @property
    def chance(self) -> float:
        return math.log2(len(ALPHABET))

    @property
    def perfect(self) -> float | None:
        return 0.0

    @property
    def chance_loss(self) -> float:
        return math.log(len(ALPHABET))

    def section(self, split: Split) -> tuple[int, int]:
        """Begin and end of a split's section of the text."""
        letters = len(_symbols(self.path))
        held_out = int(letters * HELD_OUT)
        ends = {"train": letters - 2 * held_out, "validation": letters - held_out, "evaluation": letters}
        return (0 if split == "train" else ends[split] - held_out), ends[split]

    def letters(self, split: Split) -> UInt8[np.ndarray, " letters"]:
        """The symbols of a split's section, 0 for space and 1 to 26 for a to z."""
        begin, end = self.section(split)
        return _symbols(self.path)[begin:end]

    def data(self, parameters: int) -> PyTree:
        return jnp.asarray(_symbols(self.path))

    def _windows(self, split: Split) -> int:
        begin, end = self.section(split)
        return min(MOST_WINDOWS, (end - begin - 1 - self.warm_up) // (self.window - self.warm_up))

    def draws(self, split: Split, scalars: Scalars) -> Array:
        return jnp.asarray(1 if split == "train" else math.ceil(self._windows(split) / self.batch_size))

    def draw(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> Draw:
        begin, end = self.section(split)
        if split == "train":
            starts = jax.random.randint(key, (self.batch_size,), begin, end - self.window)
            return self._at(data, starts, jnp.ones((self.batch_size,)))
        windows = self._windows(split)
        number = index * self.batch_size + jnp.arange(self.batch_size)
        stride = (end - begin - 1 - self.window) // max(1, windows - 1)
        return self._at(data, begin + jnp.minimum(number, windows - 1) * stride, (number < windows).astype(jnp.float32))

    def _at(self, data: UInt8[Array, " letters"], starts: Array, weights: Float[Array, " batch"]) -> Draw:
        symbols = data[starts[None, :] + jnp.arange(self.window + 1)[:, None]].astype(jnp.int32)
        scored = self.window - self.warm_up
        weights = jnp.broadcast_to(weights[None, :], (scored, weights.shape[0]))
        return Draw(OneHot(symbols[:-1], self.inputs), symbols[1 + self.warm_up :], weights)

    def sample(self, key: Array, size: int) -> Draw:
        begin, end = self.section("train")
        starts = jax.random.randint(key, (size,), begin, end - self.window)
        return self._at(self.data(0), starts, jnp.ones((size,)))

    def measure(self, outputs: Float[Array, "outputs time batch"], draw: Draw) -> Sums:
        return {"loss": cross_entropy(outputs, draw.targets, draw.weights), "weight": jnp.sum(draw.weights)}

    def scores(self, sums: Mapping[str, float], scalars: Mapping[str, float]) -> dict[str, float]:
        loss = sums["loss"] / sums["weight"]
        return {"score": loss / math.log(2), "loss": loss, "characters": sums["weight"]}

    def baselines(self) -> dict[str, float]:
        return {f"order-{order} Markov": self.markov(order) for order in (1, 2, 3)}

    def contents(self) -> tuple[Content, ...]:
        if self.path is None:
            return (contents.of_bytes(f"help texts of Python {platform.python_version()}", _built_in().encode()),)
        return (contents.of_file(Path(self.path), option="path"),)

    def markov(self, order: int) -> float:
        """Bits per character, on the evaluation section, of a Markov model fitted on the training section.

        Each order is smoothed with the one below, p_k = (count + a p_{k-1}) / (total + a), with the `a` of each order
        that is best on the validation section.
        """
        return _markov(self.path, self.letters("train"), self.letters("validation"), self.letters("evaluation"), order)

    def cost(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        return float(self.batch_size * self.window)


_MARKOV: dict[tuple[str | None, int], float] = {}


def _markov(path: str | None, train: np.ndarray, validation: np.ndarray, evaluation: np.ndarray, order: int) -> float:
    if (path, order) in _MARKOV:
        return _MARKOV[path, order]
    size = len(ALPHABET)
    held_out = {"validation": validation, "evaluation": evaluation}
    p = {name: np.full(len(letters) - order, 1 / size) for name, letters in held_out.items()}
    for k in range(order + 1):
        counts = np.bincount(_contexts(train, k + 1), minlength=size ** (k + 1)).reshape(-1, size)
        totals = counts.sum(axis=1)

        def smoothed(name: str, strength: float, k: int = k, counts: Any = counts, totals: Any = totals, p: Any = p):
            grams = _contexts(held_out[name], k + 1)[order - k :]
            return (counts.reshape(-1)[grams] + strength * p[name]) / (totals[grams // size] + strength)

        strengths = 10 ** np.linspace(-2, 3, 26)
        best = min(strengths, key=lambda strength: -np.mean(np.log2(smoothed("validation", strength))))
        p = {name: smoothed(name, best) for name in held_out}
    _MARKOV[path, order] = float(-np.mean(np.log2(p["evaluation"])))
    return _MARKOV[path, order]


def _contexts(letters: np.ndarray, width: int) -> np.ndarray:
    """Every run of `width` letters as one number, base 27."""
    total = np.zeros(len(letters) - width + 1, np.int64)
    for offset in range(width):
        total = total * len(ALPHABET) + letters[offset : len(letters) - width + 1 + offset]
    return total
