"""Memory capacity: how many real numbers of its input can a network hold? (Collins et al. 2017, section 2.2 and appendix B)"""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.sequence import Held
from capax.tasks.generated import Generated
from capax.tasks.task import Draw, Scalars, Sums

BOUND = math.sqrt(3)
"""Inputs are uniform in [-BOUND, BOUND], which gives them a variance of 1."""


def subspace_error(units: float | int, numbers: int) -> float:
    """max(0, 1 - n_h / n_in): the mean squared error of a network that holds an n_h-dimensional subspace of its input, and the
    least that any network with `units` units in its top layer can have, since its readout is affine (Figure 2c)."""
    return max(0.0, 1 - units / numbers)


@dataclasses.dataclass(frozen=True)
class Memory(Generated):
    """A random vector is shown at the first step, and to be given back after the last one.

    It is uniform in [-sqrt 3, sqrt 3]^n_in (variance 1); after it come zeros. The loss and the score are the squared error of
    the last step's output, per number: 1 for a network that holds nothing, 1 - n_h / n_in for one that holds n_h dimensions.

    Options: `numbers`, n_in; `time_steps`, T (the source: "after 12 time steps"; the step that shows the vector is the first of
    them, as in the capacity task); and those of `Generated` (the source does not give its batch size).
    """

    name: ClassVar[str] = "memory"
    direction: ClassVar[Literal["maximise", "minimise"]] = "minimise"
    score_label: ClassVar[str] = "squared error per number"

    numbers: int = 64
    time_steps: int = 12
    batch_size: int = 128
    held_out: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("numbers", 1)
        self.require("time_steps", 1, 10_000)

    @property
    def inputs(self) -> int:
        return self.numbers

    @property
    def outputs(self) -> int:
        return self.numbers

    @property
    def length(self) -> int:
        return self.time_steps

    @property
    def first(self) -> int:
        return self.time_steps - 1

    @property
    def chance(self) -> float:
        return 1.0  # the mean of the inputs, 0, whatever they are

    @property
    def perfect(self) -> float | None:
        return 0.0

    @property
    def chance_loss(self) -> float:
        return 1.0

    def least_score(self, units: float | int) -> float:
        return subspace_error(units, self.numbers)

    def generate(self, key: Array, size: int, scalars: Scalars) -> Draw:
        x = jax.random.uniform(key, (self.numbers, size), minval=-BOUND, maxval=BOUND)
        return Draw(Held(x, jnp.asarray(False), self.time_steps), x[:, None], jnp.ones((1, size)))

    def measure(self, outputs: Float[Array, "outputs time batch"], draw: Draw) -> Sums:
        errors = jnp.mean((outputs - draw.targets) ** 2, axis=0)
        return {"loss": jnp.sum(draw.weights * errors), "weight": jnp.sum(draw.weights)}

    def scores(self, sums: Mapping[str, float], scalars: Mapping[str, float]) -> dict[str, float]:
        error = sums["loss"] / sums["weight"]
        return {"score": error, "loss": error, "numbers_held": self.numbers * (1 - error)}
