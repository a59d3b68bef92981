"""A label for each whole sequence of a user's file."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from capax.baselines.labels import frequencies
from capax.errors import CapaxError
from capax.jobs import classify
from capax.jobs.labelled import PreparedLabels
from capax.tasks.batch import SequenceBatch
from capax.tasks.labelled import OfLabels, sums
from capax.tasks.task import Sums


@dataclasses.dataclass(frozen=True)
class Classify(OfLabels):
    """The label of a whole sequence, from the mean of the outputs over its steps, or from the last
    one.

    Options beside those of `OfLabels`: `symbols`, whether texts are read as "characters" or as
    "words"; `pooling`, "mean" or "last".
    """

    name: ClassVar[str] = "classify"

    symbols: str | None = None
    pooling: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling not in classify.POOLINGS:
            raise CapaxError(f"task classify: pooling must be {' or '.join(classify.POOLINGS)}, not '{self.pooling}'.")

    def prepare(self) -> PreparedLabels:
        return classify.prepare(Path(self.path), self.choices(self.symbols), self.pooling)

    def scored(self, targets: Array, time: int) -> tuple[Array, Array]:
        shape = (time, targets.shape[0])
        return jnp.broadcast_to(targets[None], shape), jnp.ones(shape)

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        pooled = pool(outputs, batch.weights, self.pooling)
        counted = (jnp.max(batch.weights, axis=0) > 0).astype(jnp.float32)
        return sums(pooled[:, None], batch.targets[:1], counted[None])

    def baselines(self) -> dict[str, float]:
        parts, classes = self.prepared.parts, self.outputs
        shares = frequencies(parts["train"].targets, classes)
        known = parts["evaluation"].targets[parts["evaluation"].targets < classes]
        return {"majority": float(-np.log(shares[known]).mean())}


def pool(
    outputs: Float[Array, "outputs time batch"], weights: Float[Array, "time batch"], pooling: str
) -> Float[Array, "outputs batch"]:
    """The mean of the outputs over the steps that count, or the output of the last one."""
    if pooling == "mean":
        return jnp.sum(outputs * weights[None], axis=1) / jnp.maximum(jnp.sum(weights, axis=0), 1.0)[None]
    time = jnp.arange(outputs.shape[1])[:, None]
    last = jnp.max(jnp.where(weights > 0, time, 0), axis=0)
    return jnp.sum(jnp.where((time == last[None])[None], outputs, 0.0), axis=1)
