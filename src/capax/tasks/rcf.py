"""Random continuous functions: real-valued targets of random inputs, the first ones weighing most
(Collins et al. 2017, section 3 and appendix B).
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, PyTree

from capax.cells.sequence import Held
from capax.errors import CapaxError
from capax.hyperparameters import Choice, Hyperparameter, Interval
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks import shuffling
from capax.tasks.batch import SequenceBatch
from capax.tasks.options import STEPS, option
from capax.tasks.task import Scalars, Split, Sums, Task, mean_loss

MINIBATCH = Choice(
    "batch_size",
    256,
    shuffling.SIZES,
    "Samples of a training step, drawn by their weights; 0: all samples at every step. The source does not give it.",
    tuned=False,
)

MOST_NUMBERS = 5 * 10**9
"""Samples times dimensions: 20 GB."""

CHUNK = 1008
"""Samples in one batch of the whole set: a multiple of 16 fills the vectors of kernels."""

BLOCKS = 1024
"""Training samples are drawn by way of this many blocks of neighbours, each of about the same total
weight.
"""


@functools.lru_cache(maxsize=8)
def beta(samples: int, tau: float) -> Float64[np.ndarray, " samples"]:
    """The samples' weights, beta_i = (i + tau)^-1 / Z for i = 0 .. samples - 1, with sum 1."""
    raw = 1 / (np.arange(samples) + tau)
    return raw / raw.sum()


@functools.lru_cache(maxsize=8)
def _blocks(samples: int, tau: float) -> np.ndarray:
    """Where the blocks begin, and the end of the last one."""
    cumulative = np.cumsum(beta(samples, tau))
    inner = np.searchsorted(cumulative, np.arange(1, BLOCKS) / BLOCKS)
    return np.unique(np.concatenate([[0], inner, [samples]])).astype(np.int32)


@functools.lru_cache(maxsize=1)  # 200 MB, and one for all networks
def _function(seed: int, samples: int, dimensions: int) -> tuple[Array, Array]:
    with jax.ensure_compile_time_eval():
        return _drawn(jax.random.key(seed), samples, dimensions)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _drawn(
    key: Array, samples: int, dimensions: int
) -> tuple[Float[Array, "samples dimensions"], Float[Array, " samples"]]:
    input_key, target_key = jax.random.split(key)
    x = jax.random.normal(input_key, (samples, dimensions))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(target_key, (samples,))


@dataclasses.dataclass(frozen=True)
class RandomContinuousFunctions(Task):
    """N random vectors, each with a random number to recall; sample i weighs beta_i = (i + tau)^-1
    / Z, with sum 1.

    One fixed draw: the vectors are Gaussian, brought to unit norm; the numbers are standard normal;
    by squared error of the output after the last of `time_steps` time steps.

    The targets are random, so there is nothing to generalise: training, validation, and evaluation
    set are one, and the score is the weighted squared error over all N samples. A training step
    draws as many samples as the hyperparameter `batch_size` says, sample i with a probability that
    is beta_i to within a few percent, and the quotient of the two is its weight: what is minimised
    is exactly the weighted error, with less noise than with samples that are all drawn alike.

    Options: `samples`, N; `dimensions`, d; `tau`; `time_steps`, T; `input_always`, whether the
    input is shown at every step or at the first one only (the source does not say).
    """

    name: ClassVar[str] = "rcf"
    reporting: ClassVar[Reporting] = Reporting("weighted squared error", splits=("train",))

    samples: int = option(10**6, Interval(1, 10**8))
    dimensions: int = option(50, Interval(1, 10**4))
    tau: float = option(5000.0, Interval(1e-3, 1e12))
    time_steps: int = option(50, STEPS)
    input_always: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples * self.dimensions > MOST_NUMBERS:
            raise CapaxError(
                f"task rcf: samples times dimensions must be at most {MOST_NUMBERS:,} (they are kept in memory), "
                f"not {self.samples * self.dimensions:,}."
            )

    @property
    def weights(self) -> Float64[np.ndarray, " samples"]:
        """beta, with sum 1."""
        return beta(self.samples, self.tau)

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.dimensions, 1, self.time_steps, first=self.time_steps - 1)

    @property
    def facts(self) -> Facts:
        # A guess is the mean of the targets, 0: its expected error is their variance.
        return Facts(chance=1.0, chance_loss=1.0, perfect=0.0)

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        return (MINIBATCH,)

    def minibatch(self, hyperparameters: Mapping[str, Any]) -> int | None:
        return hyperparameters.get(MINIBATCH.name, MINIBATCH.default) or None

    def minibatch_at(self, data: PyTree, size: int, step: Array, key: Array, scalars: Scalars) -> SequenceBatch:
        return self._at(data, *self._chosen(jax.random.fold_in(key, step), size))

    def data(self, parameters: int) -> PyTree:
        """Inputs (samples, dimensions) and targets (samples,)."""
        return _function(self.data_seed, self.samples, self.dimensions)

    def data_depend_on(self, parameters: int) -> None:
        return None

    def batches(self, split: Split, scalars: Scalars) -> Array:
        return jnp.asarray(math.ceil(self.samples / CHUNK))

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        i = index * CHUNK + jnp.arange(CHUNK)
        return self._at(data, i, jnp.where(i < self.samples, self.samples * self._beta(i), 0.0))

    def sample(self, key: Array, size: int) -> SequenceBatch:
        return self._at(self.data(0), *self._chosen(key, size))

    def _beta(self, i: Int[Array, " batch"]) -> Float[Array, " batch"]:
        # The first weight holds the normalisation: beta_i = beta_0 tau / (i + tau).
        return float(self.weights[0] * self.tau) / (i + self.tau)

    def _chosen(self, key: Array, size: int) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
        """Which samples a training step takes, and their weights, 1 in the mean."""
        block_key, place_key = jax.random.split(key)
        edges = jnp.asarray(_blocks(self.samples, self.tau))
        block = jax.random.randint(block_key, (size,), 0, len(edges) - 1)
        begin, width = edges[block], edges[block + 1] - edges[block]
        i = begin + jax.random.randint(place_key, (size,), 0, width)
        return i, self._beta(i) * width * (len(edges) - 1)

    def _at(self, data: PyTree, i: Int[Array, " batch"], weights: Float[Array, " batch"]) -> SequenceBatch:
        x, y = data
        return SequenceBatch(Held(x[i].T, jnp.asarray(self.input_always), self.time_steps), y[i][None], weights[None])

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        return {
            "loss": jnp.sum(batch.weights * (outputs[0] - batch.targets) ** 2),
            "weight": jnp.sum(batch.weights),
        }

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        return mean_loss(sums)

    def baselines(self) -> dict[str, float]:
        return {"linear regression": _linear_regression(self.data_seed, self.samples, self.dimensions, self.tau)}

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        size = self.minibatch(hyperparameters)
        return float((math.ceil(self.samples / CHUNK) * CHUNK if size is None else size) * self.time_steps)


@functools.lru_cache(maxsize=8)
def _linear_regression(seed: int, samples: int, dimensions: int, tau: float) -> float:
    """The weighted error of the weighted least squares fit with a constant."""
    x, y = map(np.asarray, _function(seed, samples, dimensions))
    moments = np.zeros((dimensions + 2, dimensions + 2))  # of inputs, 1, and target
    for begin in range(0, samples, 100_000):
        part = slice(begin, begin + 100_000)
        columns = np.column_stack([x[part], np.ones_like(y[part]), y[part]]).astype(np.float64)
        moments += (columns * beta(samples, tau)[part, None]).T @ columns
    known, with_target, target = moments[:-1, :-1], moments[:-1, -1], moments[-1, -1]
    return float(target - with_target @ np.linalg.lstsq(known, with_target, rcond=None)[0])
