"""Language models of a user's own text: the next character, or the next word."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from capax.architecture import Architecture
from capax.cells.sequence import OneHot, Sequence
from capax.data import text
from capax.errors import CapaxError
from capax.hyperparameters import Interval
from capax.jobs import sections
from capax.jobs.language import KINDS, Language, PreparedText, prepare
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks.batch import SequenceBatch
from capax.tasks.from_file import EMBEDDING, FromFile
from capax.tasks.options import option
from capax.tasks.task import Scalars, Split, Sums, cross_entropy


class TextBatch(SequenceBatch):
    """Windows of a text, with the `characters` of each scored symbol, and the nats of its
    `spelling`."""

    characters: Float[Array, "time batch"]
    spelling: Float[Array, "time batch"]

    def __init__(self, inputs: Sequence, targets: Array, weights: Array, characters: Array, spelling: Array):
        super().__init__(inputs, targets, weights)
        self.characters, self.spelling = characters, spelling


@dataclasses.dataclass(frozen=True)
class LanguageModel(FromFile[PreparedText]):
    """Random windows of a text file as it is, any Unicode; the first `warm_up` steps bring the
    state up, the rest count. The last tenth of the text is held out, half of it for validation and
    half for evaluation, each scored on windows side by side, so that no symbol is predicted twice.

    Options: `symbols`, "characters" or "words"; `most` of them in the vocabulary (jobs/language.py
    says what becomes of others); `encoding`, where it is not UTF-8; `window`, T; `warm_up`;
    `batch_size`.
    """

    name: ClassVar[str] = "language"
    reporting: ClassVar[Reporting] = Reporting("bits per character")
    foreseeable: ClassVar[bool] = True

    symbols: str = "characters"
    most: int = option(2000, Interval(1, 50_000))
    encoding: str | None = None
    window: int = option(100, Interval(1, 10**6))
    warm_up: int = option(20, Interval(0, 10**6))
    batch_size: int = option(32, Interval(1, 10**6))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.symbols not in KINDS:
            raise CapaxError(f"task language: symbols are {' or '.join(KINDS)}, not '{self.symbols}'.")
        if self.warm_up >= self.window:
            raise CapaxError(
                f"task language: warm_up must be from 0 to window - 1 = {self.window - 1}, not {self.warm_up}."
            )
        if self.data_seed:
            raise CapaxError(
                "task language: data_seed changes nothing, since the sections of a text are fixed; leave it out."
            )

    def prepare(self) -> PreparedText:
        found = text.read(Path(self.path), self.encoding, option="encoding")
        if not found.characters:
            raise CapaxError(f"{self.path} is empty.")
        return prepare(
            found, kind=self.symbols, most=self.most, window=self.window, warm_up=self.warm_up, where=self.path
        )

    @property
    def preparation(self) -> Language:
        """What was learned of the training section."""
        return self.prepared.preparation

    def architecture(self) -> Architecture:
        return Architecture(embedding=EMBEDDING)

    @property
    def sizes(self) -> Sizes:
        found = self.preparation
        return Sizes(found.inputs, found.outputs, self.window, first=self.warm_up)

    @property
    def facts(self) -> Facts:
        kinds, train = self.preparation.outputs, self.prepared.parts["train"]
        symbols_per_character = len(train.symbols) / int(train.characters.sum())
        spelled = float(train.spelling.sum()) / int(train.characters.sum())
        chance = (math.log(kinds) * symbols_per_character + spelled) / math.log(2)
        return Facts(chance=chance, chance_loss=math.log(kinds), perfect=0.0)

    def data(self, parameters: int) -> PyTree:
        return {
            name: {
                "symbols": jnp.asarray(part.symbols),
                "characters": jnp.asarray(np.minimum(part.characters, 65_535), jnp.uint16),
                "spelling": jnp.asarray(part.spelling, jnp.float32),
            }
            for name, part in self.prepared.parts.items()
        }

    def starts(self) -> dict[str, Any]:
        return {"learning_rate": 5e-3, "schedule": "cosine"}

    def windows(self, split: Split) -> Int[np.ndarray, " windows"]:
        """Where in its section each window begins on which a held-out section is scored."""
        size = len(self.prepared.parts[split].symbols)
        count, stride = sections.windows(size, self.window, self.warm_up, sections.MOST_WINDOWS)
        return stride * np.arange(count)

    def batches(self, split: Split, scalars: Scalars) -> Array:
        return jnp.asarray(1 if split == "train" else math.ceil(len(self.windows(split)) / self.batch_size))

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> TextBatch:
        if split == "train":
            return self._drawn(data["train"], key, self.batch_size)
        places = self.windows(split)
        count, stride = len(places), int(places[1] - places[0]) if len(places) > 1 else 0
        number = index * self.batch_size + jnp.arange(self.batch_size)
        starts = jnp.minimum(number, count - 1) * stride
        return self._at(data[split], starts, (number < count).astype(jnp.float32))

    def _drawn(self, part: dict[str, Array], key: Array, size: int) -> TextBatch:
        starts = jax.random.randint(key, (size,), 0, len(part["symbols"]) - self.window)
        return self._at(part, starts, jnp.ones((size,)))

    def _at(self, part: dict[str, Array], starts: Int[Array, " batch"], weights: Float[Array, " batch"]) -> TextBatch:
        places = starts[None, :] + jnp.arange(self.window + 1)[:, None]
        scored = places[1 + self.warm_up :]
        symbols = part["symbols"][places].astype(jnp.int32)
        return TextBatch(
            OneHot(symbols[:-1], self.inputs),
            symbols[1 + self.warm_up :],
            jnp.broadcast_to(weights[None, :], scored.shape),
            part["characters"][scored].astype(jnp.float32),
            part["spelling"][scored],
        )

    def sample(self, key: Array, size: int) -> TextBatch:
        return self._drawn(self.data(0)["train"], key, size)

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        sums = {"loss": cross_entropy(outputs, batch.targets, batch.weights), "weight": jnp.sum(batch.weights)}
        if isinstance(batch, TextBatch):
            sums["characters"] = jnp.sum(batch.weights * batch.characters)
            sums["spelling"] = jnp.sum(batch.weights * batch.spelling)
        return sums

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Bits per character, as jobs/language.py counts them; the perplexity of a symbol, an
        unknown one being one."""
        loss = sums["loss"] / sums["weight"]
        characters = sums.get("characters", sums["weight"])
        bits = (sums["loss"] + sums.get("spelling", 0.0)) / characters / math.log(2)
        return {"score": bits, "loss": loss, "perplexity": math.exp(min(loss, 700.0)), "characters": characters}

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        return float(self.batch_size * self.window)
