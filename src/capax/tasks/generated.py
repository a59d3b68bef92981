"""Tasks whose sequences are made up as they are needed: training never sees one twice, and held-out
sets are fixed.
"""

import abc
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from capax.hyperparameters import Interval
from capax.tasks.batch import SequenceBatch
from capax.tasks.options import option
from capax.tasks.task import Scalars, Split, Task

APART = {"validation": 2**32 - 1, "evaluation": 2**32 - 2}
"""What is folded into the data seed's key for a held-out set. Training folds in its step, which is
below 2^31, so that the sets are other sequences than any training step's, whatever the seeds."""


@dataclasses.dataclass(frozen=True)
class Generated(Task):
    """A subclass says its `reporting`, `sizes`, and `facts`, how sequences are made from a key
    (`generate`), and what outputs score (`measure` and `scores`).

        @dataclasses.dataclass(frozen=True)
        class Delay(Generated):
            '''Say again what was shown `delay` steps ago.'''

            reporting: ClassVar[Reporting] = Reporting("squared error")
            delay: int = option(3, Interval(1, 100))

            @property
            def sizes(self):
                return Sizes(inputs=1, outputs=1, length=20 + self.delay, first=self.delay)

            @property
            def facts(self):
                return Facts(chance=1.0, chance_loss=1.0, perfect=0.0)

            def generate(self, key, size, scalars):
                x = jax.random.normal(key, (self.length, 1, size))
                return SequenceBatch(Dense(x), x[: -self.delay, 0], jnp.ones((20, size)))

            def measure(self, outputs, batch):
                return squared_error(outputs, batch)

            def scores(self, sums):
                return mean_loss(sums)

    Options: `batch_size`, fresh sequences at every training step; `held_out`, sequences in the
    validation set, and in the evaluation set, both fixed by `data_seed`, the same for all trials.
    """

    batch_size: int = option(32, Interval(1, 10**6))
    held_out: int = option(1024, Interval(1, 10**7))

    @abc.abstractmethod
    def generate(self, key: Array, size: int, scalars: Scalars) -> SequenceBatch:
        """`size` sequences from a key."""

    def data(self, parameters: int) -> PyTree:
        return ()

    def data_depend_on(self, parameters: int) -> None:
        return None

    def batches(self, split: Split, scalars: Scalars) -> Array:
        return jnp.asarray(1 if split == "train" else math.ceil(self.held_out / self.batch_size))

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        if split == "train":
            return self.generate(key, self.batch_size, scalars)
        held_out = jax.random.fold_in(jax.random.key(self.data_seed), APART[split])
        batch = self.generate(jax.random.fold_in(held_out, index), self.batch_size, scalars)
        inside = index * self.batch_size + jnp.arange(self.batch_size) < self.held_out
        return eqx.tree_at(lambda each: each.weights, batch, batch.weights * inside[None])

    def sample(self, key: Array, size: int) -> SequenceBatch:
        return self.generate(key, size, self.scalars({}, 0))

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        return float(self.batch_size * self.length)

    def evaluation_set(self) -> Iterator[SequenceBatch]:
        """The evaluation set, batch by batch, with the task's default hyperparameters."""
        scalars, data = self.scalars({}, 0), self.data(0)
        for index in range(int(self.batches("evaluation", scalars))):
            yield self.batch_at(data, "evaluation", jax.random.key(0), jnp.asarray(index), scalars)
