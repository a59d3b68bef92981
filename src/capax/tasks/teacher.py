"""A linear system to be learned from its responses to noise: memory whose length is known (Zucchet
& Orvieto 2024).
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from capax.cells.sequence import Dense
from capax.hyperparameters import Interval
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks.batch import SequenceBatch
from capax.tasks.generated import Generated
from capax.tasks.options import STEPS, option
from capax.tasks.task import Scalars, Sums

TEACHERS = 1000
"""How many teachers are drawn: trial after trial takes the next, by the seed of its data."""


def moved(eigenvalues: np.ndarray, least_modulus: float, largest_phase: float) -> np.ndarray:
    """Eigenvalues moved to moduli of least_modulus + (1 - least_modulus) tanh |l|, their phases
    times largest_phase / pi. Real ones stay real: negative ones become positive where phases are
    limited.
    """
    modulus = least_modulus + (1 - least_modulus) * np.tanh(np.abs(eigenvalues))
    phase = np.angle(eigenvalues) * largest_phase / np.pi
    if largest_phase < np.pi:
        phase = np.where(np.imag(eigenvalues) == 0, 0.0, phase)
    return modulus * np.exp(1j * phase)


def response(random: np.random.Generator, hidden: int, length: int, least_modulus: float, largest_phase: float) -> Any:
    """The impulse response of a random linear system h' = A h + B x, y = C h' + D x: shape
    (length,), in double precision.

    A is Gaussian with variance 1 / hidden, its eigenvalues then moved; B, C, and D are Gaussian
    with variances 1, 1 / hidden, and 1.
    """
    values, vectors = np.linalg.eig(random.normal(size=(hidden, hidden)) / hidden**0.5)
    values = moved(values, least_modulus, largest_phase)
    B, C, D = random.normal(size=hidden), random.normal(size=hidden) / hidden**0.5, random.normal()
    drive = np.linalg.solve(vectors, B.astype(complex))
    powers = values[None, :] ** np.arange(length)[:, None]
    found = np.real(powers @ ((C @ vectors) * drive))
    found[0] += D
    return found


@dataclasses.dataclass(frozen=True)
class Teacher(Generated):
    """White Gaussian noise goes in, and what a random linear system makes of it is to come out, at
    every step.

    The teacher y = C h + D x, h' = A h + B x has one input, one output, and `hidden` state
    variables; its eigenvalues have moduli above `least_modulus` (nu_0) and phases up to
    `largest_phase` (theta_0), so that it remembers for about 1 / (1 - nu_0) steps. Teachers are
    redrawn with the data: while hyperparameters are chosen all trials learn the same one; every
    rerun has another. The loss and the score are the squared error per step; also reported is its
    share of the teacher's power.

    Options: those above; `time_steps`, T; `told`, True if a cell that has hyperparameters of these
    names starts with the teacher's nu_0 and theta_0, else with a nu_0 of 0; and those of
    `Generated`.
    """

    name: ClassVar[str] = "teacher"
    reporting: ClassVar[Reporting] = Reporting("squared error per step")

    hidden: int = option(10, Interval(1, 1000))
    least_modulus: float = option(0.99, Interval(0.0, 1.0, below=True))
    largest_phase: float = option(math.pi, Interval(0.0, math.pi))
    time_steps: int = option(300, STEPS)
    told: bool = False
    batch_size: int = option(128, Interval(1, 10**6))
    held_out: int = option(512, Interval(1, 10**7))

    @property
    def sizes(self) -> Sizes:
        return Sizes(1, 1, self.time_steps)

    @property
    def facts(self) -> Facts:
        # A guess is the mean of the outputs, 0: its expected error is the power of the median
        # teacher.
        chance = float(np.median(self.powers()))
        return Facts(chance=chance, chance_loss=chance, perfect=0.0)

    def starts(self) -> dict[str, Any]:
        told = {"least_modulus": self.least_modulus, "largest_phase": self.largest_phase}
        return told if self.told else {"least_modulus": 0.0}

    @functools.lru_cache(maxsize=8)  # noqa: B019  (a task is its options, and few are in use)
    def responses(self) -> Float[np.ndarray, "teachers time"]:
        """The impulse responses of all teachers."""
        options = self.hidden, self.time_steps, self.least_modulus, self.largest_phase
        seeds = np.random.SeedSequence([self.data_seed, 10]).spawn(TEACHERS)
        return np.stack([response(np.random.default_rng(seed), *options) for seed in seeds])

    def powers(self) -> Float[np.ndarray, " teachers"]:
        """The mean square of each teacher's output, over the steps of a sequence."""
        remaining = np.arange(self.time_steps, 0, -1) / self.time_steps
        return self.responses() ** 2 @ remaining

    def data(self, parameters: int) -> PyTree:
        return jnp.asarray(self.responses(), jnp.float32)

    def batch_at(self, data: PyTree, split: Any, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        drawn = super().batch_at(data, split, key, index, scalars)
        number = jnp.asarray(scalars.get("data_seed", 0)) % TEACHERS
        return _taught(data[number], drawn)

    def generate(self, key: Array, size: int, scalars: Scalars) -> SequenceBatch:
        """Inputs alone; `batch_at` adds what the teacher says to them."""
        x = jax.random.normal(key, (self.time_steps, 1, size))
        return SequenceBatch(Dense(x), jnp.zeros((1, self.time_steps, size)), jnp.ones((self.time_steps, size)))

    def sample(self, key: Array, size: int) -> SequenceBatch:
        """Sequences with the first teacher, the one of the trials."""
        return _taught(self.data(0)[0], super().sample(key, size))

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        errors = jnp.sum((outputs - batch.targets) ** 2, axis=0)
        power = jnp.sum(batch.targets**2, axis=0)
        return {
            "loss": jnp.sum(batch.weights * errors),
            "power": jnp.sum(batch.weights * power),
            "weight": jnp.sum(batch.weights),
        }

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        error = sums["loss"] / sums["weight"]
        return {"score": error, "loss": error, "share_of_power": sums["loss"] / sums["power"]}


def _taught(impulse: Float[Array, " time"], batch: SequenceBatch) -> SequenceBatch:
    """The batch with the teacher's outputs: the convolution of its impulse response with the
    inputs, as one product.
    """
    lag = jnp.arange(impulse.shape[0])[:, None] - jnp.arange(impulse.shape[0])[None, :]
    toeplitz = jnp.where(lag >= 0, impulse[jnp.maximum(lag, 0)], 0.0)
    targets = toeplitz @ batch.inputs.values_at_every_step()[:, 0]
    return SequenceBatch(batch.inputs, targets[None], batch.weights)
