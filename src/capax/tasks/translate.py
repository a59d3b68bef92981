"""Sequence to sequence on a user's own pairs."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from capax.architecture import Architecture
from capax.cells.sequence import OneHot
from capax.data import pairs
from capax.errors import CapaxError
from capax.hyperparameters import Interval
from capax.jobs.translate import DECODERS, KINDS, Part, PreparedPairs, Translating, prepare
from capax.reporting import Facts, Reporting, Sizes
from capax.scoring import ctc
from capax.tasks.batch import PairBatch
from capax.tasks.from_file import EMBEDDING, FromFile
from capax.tasks.options import option
from capax.tasks.task import Scalars, Split, Sums, cross_entropy

Rows = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Translate(FromFile[PreparedPairs]):
    """Random pairs of a file. Parts are cut by source: a tenth for validation, a tenth for
    evaluation, at most `evaluated` sources each. The same seed, `data_seed`, cuts the same parts.

    Options: `source` and `target`, the columns; `source_symbols` and `target_symbols`, "characters"
    or "words", which stand between spaces; `header`, whether the first line names the columns;
    `encoding` of the file; `most`, symbols of a vocabulary; `backwards`, whether networks read a
    source from its last symbol to its first; `batch_size`. `decoder`: "attention", for networks of
    the kind "encoder-decoder"; "ctc", connectionist temporal classification (`scoring.ctc`), for
    targets in the order of their sources, and for networks that say something at each step of a
    source. What is not given is found, or usual.

    The loss is the negative logarithm of a target's probability, in nats for each of its symbols
    and its end.
    """

    name: ClassVar[str] = "translate"
    reporting: ClassVar[Reporting] = Reporting("nats per symbol", verb="translates best")

    source: str | None = None
    target: str | None = None
    source_symbols: str | None = None
    target_symbols: str | None = None
    header: bool | None = None
    encoding: str | None = None
    evaluated: int = option(3000, Interval(1, 10**6))
    most: int = option(20_000, Interval(1, 50_000))
    backwards: bool = True
    decoder: str = DECODERS[0]
    batch_size: int = option(64, Interval(1, 10**6))

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("source_symbols", "target_symbols"):
            given = getattr(self, name)
            if given is not None and given not in KINDS:
                raise CapaxError(f"task translate: {name} are {' or '.join(KINDS)}, not '{given}'.")
        if self.decoder not in DECODERS:
            raise CapaxError(f"task translate: decoder is {' or '.join(DECODERS)}, not '{self.decoder}'.")

    def alternatives(self) -> dict[str, list[Any]]:
        """Both decoders, where targets are no longer than "ctc" can say."""
        return {} if self.prepared.slots is None else {"decoder": list(DECODERS)}

    @property
    def network_adds(self) -> str:
        return " with CTC" if self.preparation.ctc else ""

    def architecture(self) -> Architecture:
        if self.preparation.ctc:
            return Architecture("bidirectional", embedding=EMBEDDING)
        return Architecture("encoder-decoder", attention="dot", embedding=EMBEDDING)

    def prepare(self) -> PreparedPairs:
        """Both decoders share what is read of the file."""
        if self.decoder == "ctc":
            return dataclasses.replace(self, decoder=DECODERS[0]).prepared.with_ctc()
        found = pairs.read(
            Path(self.path), source=self.source, target=self.target, header=self.header, encoding=self.encoding
        )
        return prepare(
            found,
            source_symbols=self.source_symbols,
            target_symbols=self.target_symbols,
            seed=self.data_seed,
            evaluated=self.evaluated,
            most=self.most,
            backwards=self.backwards,
            where=self.path,
        )

    @property
    def preparation(self) -> Translating:
        """What was learned of the training part."""
        return self.prepared.preparation

    @property
    def sizes(self) -> Sizes:
        found = self.preparation
        return Sizes(found.inputs, found.outputs, self.prepared.parts["train"].sources.shape[1])

    @property
    def facts(self) -> Facts:
        chance = math.log(self.preparation.end + 1)
        return Facts(chance=chance, chance_loss=chance, perfect=0.0)

    def starts(self) -> dict[str, Any]:
        return {"learning_rate": 4e-3, "schedule": "cosine", "dropout": 0.2}

    def data(self, parameters: int) -> PyTree:
        return {name: _rows(part, self.preparation) for name, part in self.prepared.parts.items()}

    def batches(self, split: Split, scalars: Scalars) -> Array:
        rows = len(self.prepared.parts[split].rows)
        return jnp.asarray(1 if split == "train" else math.ceil(rows / self.batch_size))

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> PairBatch:
        rows = data[split]
        count = rows["sources"].shape[0]
        if split == "train":
            return self._at(rows, jax.random.randint(key, (self.batch_size,), 0, count), None)
        number = index * self.batch_size + jnp.arange(self.batch_size)
        return self._at(rows, jnp.minimum(number, count - 1), (number < count).astype(jnp.float32))

    def _at(self, rows: Rows, chosen: Int[Array, " batch"], weights: Float[Array, " batch"] | None) -> PairBatch:
        sources = OneHot(rows["sources"][chosen].T, self.inputs)
        return PairBatch(
            sources, rows["targets"][chosen].T, rows["source_lengths"][chosen], rows["target_lengths"][chosen], weights
        )

    def sample(self, key: Array, size: int) -> PairBatch:
        rows = _rows(self.prepared.parts["train"], self.preparation)
        return self._at(rows, jax.random.randint(key, (size,), 0, rows["sources"].shape[0]), None)

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: PairBatch) -> Sums:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight = jnp.sum(batch.weights)
        if not self.preparation.ctc:
            return {"loss": cross_entropy(outputs, batch.targets, batch.weights), "weight": weight}
        slots = self.preparation.slots
        found = ctc.losses(
            ctc.places(outputs, slots),
            slots * batch.source_lengths,
            batch.targets.T,
            jnp.maximum(batch.target_lengths - 1, 0),
        )
        return {"loss": jnp.sum(batch.weights.max(axis=0) * found), "weight": weight}

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        loss = sums["loss"] / sums["weight"]
        return {"score": loss, "loss": loss, "symbols": sums["weight"]}

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        train = self.prepared.parts["train"]
        source, target = train.sources.shape[1], train.targets.shape[1]
        return float(self.batch_size * (source if self.preparation.ctc else (source + target) / 2))


def _rows(part: Part, preparation: Translating) -> Rows:
    names = ("source_lengths", "targets", "target_lengths")
    sources = preparation.as_read(part.sources, part.source_lengths)
    return {"sources": jnp.asarray(sources), **{name: jnp.asarray(getattr(part, name)) for name in names}}
