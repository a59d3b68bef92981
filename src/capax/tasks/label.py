"""A label for each step of the sequences of a user's file."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from capax.baselines.labels import frequencies
from capax.jobs import label
from capax.jobs.labelled import PreparedLabels
from capax.tasks.batch import SequenceBatch
from capax.tasks.labelled import OfLabels, sums
from capax.tasks.task import Sums


@dataclasses.dataclass(frozen=True)
class Label(OfLabels):
    """The label of each step: a part of speech, a name's kind, a state.

    Options: those of `OfLabels`. A step without a label is read, and not scored.
    """

    name: ClassVar[str] = "label"

    def prepare(self) -> PreparedLabels:
        return label.prepare(Path(self.path), self.choices())

    def scored(self, targets: Array, time: int) -> tuple[Array, Array]:
        return jnp.maximum(targets.T, 0), (targets.T >= 0).astype(jnp.float32)

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        return sums(outputs, batch.targets, batch.weights)

    def baselines(self) -> dict[str, float]:
        train, held_out = (self.prepared.parts[name].targets for name in ("train", "evaluation"))
        shares = frequencies(train[train >= 0], self.outputs + 1)[: self.outputs]
        known = held_out[(held_out >= 0) & (held_out < self.outputs)]
        return {"majority": float(-np.log(shares[known]).mean())}
