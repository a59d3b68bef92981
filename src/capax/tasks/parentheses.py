"""Parallel parentheses counting: ten streams, each with a count of its own (Collins et al. 2017,
section 4 and appendix B).
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from capax.cells.sequence import MultiHot
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks.batch import SequenceBatch
from capax.tasks.generated import Generated
from capax.tasks.options import STEPS, option
from capax.tasks.task import Scalars, Sums, cross_entropy

BRACKETS = ("()", "<>", "[]", "{}", "⟨⟩", "⟦⟧", "⟪⟫", "«»", "「」", "『』")
"""The types; the source names the first three. Type k opens with symbol 2k and closes with symbol
2k + 1.
"""
NOISE = "abcdefghij"
ALPHABET = "".join(BRACKETS) + NOISE
TYPES = len(BRACKETS)
HIGHEST = 9
"""Counts saturate here."""


def _symbols(words: UInt32[Array, "time half_types batch"]) -> Int[Array, "time types batch"]:
    """Two symbols of each random word of 32 bits: making random bits is what a batch costs.

    Of 40 equally likely codes (to one part in 1638, for 2^16 is no multiple of 40), 20 are the
    brackets, and each letter of noise has two; brackets and noise have exactly one half each.
    """
    halves = jnp.concatenate([words & 0xFFFF, words >> 16], axis=1).astype(jnp.int32)
    codes = (halves * (4 * TYPES)) >> 16
    return jnp.where(codes < 2 * TYPES, codes, TYPES + (codes >> 1))


@jax.jit
def count(symbols: Int[Array, "time types batch"]) -> Int[Array, "types batch"]:
    """The number of open brackets of type k in stream k after the last step: up at "(", down at
    ")", never below 0 and never above 9; everything else is noise.
    """
    opening = 2 * jnp.arange(TYPES)[:, None]

    def step(opened: Array, seen: Array) -> tuple[Array, None]:
        change = (seen == opening).astype(opened.dtype) - (seen == opening + 1).astype(opened.dtype)
        return jnp.clip(opened + change, 0, HIGHEST), None

    return jax.lax.scan(step, jnp.zeros(symbols.shape[1:], symbols.dtype), symbols)[0]


@functools.lru_cache(maxsize=16)
def count_distribution(steps: int) -> np.ndarray:
    """The probabilities of the counts 0 to 9 of any one stream after `time_steps` steps, shape
    (10,).
    """
    up = down = 1 / (4 * TYPES)  # half the symbols are brackets, one in 20 of those is the type's own opening
    step = np.diag(np.full(HIGHEST + 1, 1 - up - down)) + np.diag([up] * HIGHEST, 1) + np.diag([down] * HIGHEST, -1)
    step[0, 0] += down
    step[HIGHEST, HIGHEST] += up
    return np.linalg.matrix_power(step, steps)[0]


@dataclasses.dataclass(frozen=True)
class Parentheses(Generated):
    """Ten streams of brackets and noise; in each, the open brackets of its own type are counted,
    from 0 to 9.

    At each step, each stream has one of 30 symbols, 300 inputs in all: with equal probability noise
    (a to j) or a bracket of any type. The outputs are ten softmaxes over the digits 0 to 9, read
    after the last step. The loss and the score are the sum of the ten cross-entropies, in nats.

    Options: `time_steps`, T; and those of `Generated` (the source does not give its batch size).
    The "count frequencies" baseline knows how often each count occurs, and nothing of the sequence.
    """

    name: ClassVar[str] = "parentheses"
    reporting: ClassVar[Reporting] = Reporting("error (nats, sum over ten counts)")

    time_steps: int = option(175, STEPS)

    @property
    def sizes(self) -> Sizes:
        outputs = TYPES * (HIGHEST + 1)
        return Sizes(TYPES * len(ALPHABET), outputs, self.time_steps, first=self.time_steps - 1)

    @property
    def facts(self) -> Facts:
        chance = TYPES * math.log(HIGHEST + 1)
        return Facts(chance=chance, chance_loss=chance, perfect=0.0)

    def generate(self, key: Array, size: int, scalars: Scalars) -> SequenceBatch:
        symbols = _symbols(jax.random.bits(key, (self.time_steps, TYPES // 2, size)))
        return SequenceBatch(MultiHot(symbols, len(ALPHABET)), count(symbols)[:, None], jnp.ones((1, size)))

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        _, time, size = outputs.shape
        # The ten counts are ten targets: what is one step for the task is ten for the
        # cross-entropy.
        logits = jnp.moveaxis(outputs.reshape(TYPES, HIGHEST + 1, time, size), 0, 1).reshape(-1, TYPES * time, size)
        targets = batch.targets.reshape(TYPES * time, size)
        weights = jnp.tile(batch.weights, (TYPES, 1))
        return {
            "loss": cross_entropy(logits, targets, weights),
            "weight": jnp.sum(batch.weights),
            "correct": jnp.sum(weights * (jnp.argmax(logits, axis=0) == targets)),
        }

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        error = sums["loss"] / sums["weight"]
        return {"score": error, "loss": error, "fraction_correct": sums["correct"] / (TYPES * sums["weight"])}

    def baselines(self) -> dict[str, float]:
        p = count_distribution(self.time_steps)
        nats = -np.log(np.where(p > 0, p, 1.0))  # what cannot be does not occur
        loss = weight = 0.0
        for batch in self.evaluation_set():
            weights = np.asarray(batch.weights, np.float64)
            loss += float(np.sum(weights * nats[np.asarray(batch.targets)]))
            weight += float(np.sum(weights))
        return {"count frequencies": loss / weight}
