"""Memory capacity: how many real numbers of its input can a network hold? (Collins et al. 2017,
section 2.2 and appendix B)
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.sequence import Held
from capax.hyperparameters import Interval
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks.batch import SequenceBatch
from capax.tasks.generated import Generated
from capax.tasks.options import STEPS, option
from capax.tasks.task import Scalars, Sums

BOUND = math.sqrt(3)
"""Inputs are uniform in [-BOUND, BOUND], which gives them a variance of 1."""


def subspace_error(units: float | int, numbers: int) -> float:
    """max(0, 1 - n_h / n_in): the mean squared error of a network that holds an n_h-dimensional
    subspace of its input, and the least that any network with `units` units in its top layer can
    have, since its readout is affine (Figure 2c).
    """
    return max(0.0, 1 - units / numbers)


@dataclasses.dataclass(frozen=True)
class Memory(Generated):
    """A random vector is shown at the first step, and to be given back after the last one.

    It is uniform in [-sqrt 3, sqrt 3]^n_in (variance 1); after it come zeros. The loss and the
    score are the squared error of the last step's output, per number: 1 for a network that holds
    nothing, 1 - n_h / n_in for one that holds n_h dimensions.

    Options: `numbers`, n_in; `time_steps`, T (the source: "after 12 time steps"; the step that
    shows the vector is the first of them, as in the capacity task); and those of `Generated` (the
    source does not give its batch size).
    """

    name: ClassVar[str] = "memory"
    reporting: ClassVar[Reporting] = Reporting("squared error per number")

    numbers: int = option(64, Interval(1, 10**5))
    time_steps: int = option(12, STEPS)
    batch_size: int = option(128, Interval(1, 10**6))
    held_out: int = option(2048, Interval(1, 10**7))

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.numbers, self.numbers, self.time_steps, first=self.time_steps - 1)

    @property
    def facts(self) -> Facts:
        # A guess is the mean of the inputs, 0, whatever they are: its expected error is their
        # variance.
        least = functools.partial(subspace_error, numbers=self.numbers)
        return Facts(chance=1.0, chance_loss=1.0, perfect=0.0, least_score=least)

    def generate(self, key: Array, size: int, scalars: Scalars) -> SequenceBatch:
        x = jax.random.uniform(key, (self.numbers, size), minval=-BOUND, maxval=BOUND)
        return SequenceBatch(Held(x, jnp.asarray(False), self.time_steps), x[:, None], jnp.ones((1, size)))

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        errors = jnp.mean((outputs - batch.targets) ** 2, axis=0)
        return {"loss": jnp.sum(batch.weights * errors), "weight": jnp.sum(batch.weights)}

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        error = sums["loss"] / sums["weight"]
        return {"score": error, "loss": error, "numbers_held": self.numbers * (1 - error)}
