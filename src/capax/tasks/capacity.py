"""Perceptron capacity: how many random labels of random inputs can a network store? (Collins et al.
2017, section 2.1)
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, UInt32

from capax.cells.sequence import Held
from capax.errors import CapaxError
from capax.hyperparameters import Choice, Hyperparameter, Interval, Number
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks import shuffling
from capax.tasks.batch import SequenceBatch
from capax.tasks.options import STEPS, option
from capax.tasks.task import Scalars, Split, Sums, Task

SAMPLES = Number(
    "samples_per_parameter",
    default=3.5,
    low=0.1,
    high=10.0,
    log=True,
    meaning="Size of the data set, in samples for each parameter of the network.",
)
ALWAYS = Choice(
    "input_always", True, (True, False), "Whether the input is shown at every time step, or at the first one alone."
)

MINIBATCH = Choice(
    "batch_size",
    0,
    shuffling.SIZES,
    "Samples of a training step, each once in a round through the data set; 0: all samples at every step.",
    tuned=False,
)

CHUNK = 720
"""Samples in one draw; a training step runs through as many as it needs. Measured: 500 to 1000 stay
in cache, and a multiple of 16 fills the vectors (720 against 500: 9% faster, RNN of 991
parameters).
"""

ROUNDS = 8
"""Rounds of mixing in the draw of distinct inputs."""

CONFIDENCE_Z = 1.959964
"""Two-sided 95% quantile of the normal distribution."""


def mutual_information(samples: float, fraction: float) -> float:
    """I(Y; Yhat) = b + b (p log2 p + (1 - p) log2(1 - p)) in bits (Collins et al. 2017, eq. 22); 0
    for p <= 1/2.

    **Arguments:** `samples`, b; `fraction`, p, of the samples classified correctly.
    """
    if fraction <= 0.5:
        return 0.0
    uncertainty = -sum(q * math.log2(q) for q in (fraction, 1 - fraction) if q > 0)
    return samples * (1 - uncertainty)


def compression_bound(samples: float, cross_entropy_bits: float) -> float:
    """max(0, b - total cross-entropy in bits): what the labels shrink by when coded with the
    network's outputs, a lower bound of the stored information that needs no threshold. Never
    exceeds b.
    """
    return max(0.0, samples - max(0.0, cross_entropy_bits))


def wilson_interval(correct: float, samples: float, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Wilson's score interval for the probability behind `correct` of `samples` (Wilson 1927)."""
    p = correct / samples
    centre = (p + z * z / (2 * samples)) / (1 + z * z / samples)
    half = z / (1 + z * z / samples) * math.sqrt(p * (1 - p) / samples + z * z / (4 * samples * samples))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _distinct(key: Array, number: int, bits: int) -> UInt32[Array, " number"]:
    """The first `number` values of a random permutation of 0 .. 2^bits - 1, without making the
    whole permutation.

    Rounds of adding and multiplying by random (odd) numbers modulo 2^bits and of xor with the upper
    half: each is one-to-one, so distinct numbers stay distinct, and a smaller data set is the
    beginning of a larger one.
    """
    mask = jnp.uint32(2**bits - 1)
    codes = jnp.arange(number, dtype=jnp.uint32)
    for addend, factor in jax.random.bits(key, (ROUNDS, 2)):
        codes = ((codes + addend) * (factor | 1)) & mask
        codes = codes ^ (codes >> (bits + 1) // 2)
    return codes


@dataclasses.dataclass(frozen=True)
class Capacity(Task):
    """X uniform in {0,1}^(n_in x b), all columns distinct, Y uniform in {0,1}^b, one fixed draw;
    one logit, read after `time_steps` time steps. Training, validation, and evaluation set are one:
    the task is memorisation.

    Options: `bits`, n_in (b is at most 2^n_in, so that all columns can be distinct); `time_steps`,
    T.
    """

    name: ClassVar[str] = "capacity"
    reporting: ClassVar[Reporting] = Reporting(
        "stored information (bits)",
        direction="maximise",
        splits=("train",),
        reruns=False,
        interval="95%, Wilson",
        columns=("samples", "fraction_correct"),
        maxima=("compression_bits",),
        stored="bits",
        verb="stores most",
    )

    bits: int = option(20, Interval(4, 24))
    time_steps: int = option(5, STEPS)

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.bits, 1, self.time_steps, first=self.time_steps - 1)

    @property
    def facts(self) -> Facts:
        return Facts(chance=0.0, chance_loss=math.log(2))  # the best is b bits: the tuner chooses b

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        return SAMPLES, ALWAYS, MINIBATCH

    def starts(self) -> dict[str, Any]:
        # Memorising the whole data set at every step bears, and needs, larger steps than sampled
        # data do.
        return {"learning_rate": 0.03, "learning_rate_decay": 0.01}

    def samples(self, hyperparameters: Mapping[str, Any], parameters: int) -> int:
        """b, from the tuned samples per parameter."""
        return max(1, round(hyperparameters.get(SAMPLES.name, SAMPLES.default) * parameters))

    def scalars(self, hyperparameters: Mapping[str, Any], parameters: int) -> Scalars:
        samples = self.samples(hyperparameters, parameters)
        return {
            "samples": jnp.asarray(samples, jnp.int32),
            "always": jnp.asarray(hyperparameters.get(ALWAYS.name, ALWAYS.default)),
            "prime": jnp.asarray(shuffling.prime(samples if self.minibatch(hyperparameters) else 1), jnp.uint32),
        }

    def _limit(self, parameters: int) -> int:
        """The largest data set, in whole draws: a slice never runs over the end, and the samples
        past b weigh nothing.
        """
        return math.ceil(SAMPLES.high * parameters / CHUNK) * CHUNK

    def check(self, parameters: int) -> None:
        self._check_distinct(math.ceil(SAMPLES.high * parameters))

    def data(self, parameters: int) -> PyTree:
        return self._columns(jax.random.key(self.data_seed), self._limit(parameters))

    def _check_distinct(self, number: int) -> None:
        if number > 2**self.bits:
            raise CapaxError(
                f"task capacity: {number} samples cannot be distinct with {self.bits} bits each; "
                f"set bits to {math.ceil(math.log2(number))} or more, or choose a smaller budget."
            )

    def _columns(self, key: Array, number: int) -> tuple[Float[Array, "bits number"], Float[Array, " number"]]:
        input_key, label_key = jax.random.split(key)
        codes = _distinct(input_key, number, self.bits)
        columns = (codes[None, :] >> jnp.arange(self.bits, dtype=jnp.uint32)[:, None]) & 1
        return columns.astype(jnp.float32), jax.random.bernoulli(label_key, 0.5, (number,)).astype(jnp.float32)

    def batches(self, split: Split, scalars: Scalars) -> Array:
        return (scalars["samples"] + CHUNK - 1) // CHUNK

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        columns, labels = data
        start = index * CHUNK
        x = jax.lax.dynamic_slice_in_dim(columns, start, CHUNK, axis=1)
        y = jax.lax.dynamic_slice_in_dim(labels, start, CHUNK)
        inside = (start + jnp.arange(CHUNK) < scalars["samples"]).astype(jnp.float32)
        return SequenceBatch(Held(x, scalars["always"], self.time_steps), y[None], inside[None])

    def training_set(self, data: PyTree, scalars: Scalars) -> tuple[SequenceBatch, Array]:
        x, y = data
        inside = (jnp.arange(y.shape[0]) < scalars["samples"]).astype(jnp.float32)
        return SequenceBatch(Held(x, scalars["always"], self.time_steps), y[None], inside[None]), scalars["samples"]

    def minibatch(self, hyperparameters: Mapping[str, Any]) -> int | None:
        return hyperparameters.get(MINIBATCH.name, MINIBATCH.default) or None

    def minibatch_at(self, data: PyTree, size: int, step: Array, key: Array, scalars: Scalars) -> SequenceBatch:
        columns, labels = data
        i = shuffling.places(key, step, size, scalars["prime"])
        inside = (i < scalars["samples"]).astype(jnp.float32)
        return SequenceBatch(Held(columns[:, i], scalars["always"], self.time_steps), labels[i][None], inside[None])

    def sample(self, key: Array, size: int) -> SequenceBatch:
        self._check_distinct(size)
        x, y = self._columns(key, size)
        return SequenceBatch(Held(x, jnp.asarray(True), self.time_steps), y[None], jnp.ones((1, size)))

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        logits = outputs[0]
        losses = jax.nn.softplus(logits) - batch.targets * logits
        correct = (logits > 0) == (batch.targets > 0.5)
        return {
            "loss": jnp.sum(batch.weights * losses),
            "weight": jnp.sum(batch.weights),
            "correct": jnp.sum(batch.weights * correct),
        }

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        samples, correct = sums["weight"], sums["correct"]
        low, high = wilson_interval(correct, samples)
        return {
            "score": mutual_information(samples, correct / samples),
            "score_low": mutual_information(samples, low),
            "score_high": mutual_information(samples, high),
            "loss": sums["loss"] / samples,
            "samples": samples,
            "fraction_correct": correct / samples,
            "fraction_low": low,
            "fraction_high": high,
            "compression_bits": compression_bound(samples, sums["loss"] / math.log(2)),
        }

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        size = self.minibatch(hyperparameters)
        whole = math.ceil(self.samples(hyperparameters, parameters) / CHUNK) * CHUNK
        return float((whole if size is None else size) * self.time_steps)
