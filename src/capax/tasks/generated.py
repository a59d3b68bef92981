"""Tasks whose sequences are made up as they are needed: training never sees one twice, and held-out sets are fixed."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from capax.tasks.task import Draw, Scalars, Split, Task

APART = {"validation": 2**32 - 1, "evaluation": 2**32 - 2}
"""What is folded into the data seed's key for a held-out set. Training folds in its step, which is below 2^31, so that the
sets are other draws than any training step's, whatever the seeds."""


@dataclasses.dataclass(frozen=True)
class Generated(Task):
    """A subclass says how sequences are made from a key, `generate`, and what they score, `measure` and `scores`.

    Options: `batch_size`, fresh sequences at every training step; `held_out`, sequences in the validation set, and in the
    evaluation set: one draw each, fixed by `data_seed`, the same for all trials.
    """

    batch_size: int = 32
    held_out: int = 1024

    def __post_init__(self) -> None:
        self.require("batch_size", 1)
        self.require("held_out", 1)

    def generate(self, key: Array, size: int, scalars: Scalars) -> Draw:
        """`size` sequences from a key."""
        raise NotImplementedError

    def data(self, parameters: int) -> PyTree:
        return ()

    def draws(self, split: Split, scalars: Scalars) -> Array:
        return jnp.asarray(1 if split == "train" else math.ceil(self.held_out / self.batch_size))

    def draw(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> Draw:
        if split == "train":
            return self.generate(key, self.batch_size, scalars)
        held_out = jax.random.fold_in(jax.random.key(self.data_seed), APART[split])
        drawn = self.generate(jax.random.fold_in(held_out, index), self.batch_size, scalars)
        inside = index * self.batch_size + jnp.arange(self.batch_size) < self.held_out
        return Draw(drawn.inputs, drawn.targets, drawn.weights * inside[None])

    def sample(self, key: Array, size: int) -> Draw:
        return self.generate(key, size, self.scalars({}, 0))

    def cost(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        return float(self.batch_size * self.length)
