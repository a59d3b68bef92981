"""Addition of two whole numbers, read and written as characters (Collins et al. 2017, section 4 and
appendix B).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from capax.cells.sequence import OneHot
from capax.errors import CapaxError
from capax.hyperparameters import Hyperparameter, Interval, Number
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks.batch import SequenceBatch
from capax.tasks.generated import Generated
from capax.tasks.options import STEPS, option
from capax.tasks.task import Scalars, Sums, cross_entropy

ALPHABET = "0123456789+-= "
PLUS, MINUS, EQUALS, SPACE = (ALPHABET.index(character) for character in "+-= ")
COMPUTE_STEPS = Number(
    "compute_steps",
    default=6,
    low=1,
    high=6,
    whole=True,
    meaning="Whole steps between '=' and the first character of the answer.",
)
BASELINE_ANSWERS = 200_000
"""Answers from which the baseline's frequencies are counted."""


def written(numbers: Int[Array, "1 batch"], width: int) -> tuple[Int[Array, "width batch"], Int[Array, "1 batch"]]:
    """Whole numbers as characters, left-padded with spaces to `width`, and how many of the
    characters are not spaces.
    """
    powers = jnp.asarray([10**place for place in reversed(range(width - 1))])[:, None]
    size = jnp.abs(numbers)
    digits = jnp.where((size >= powers) | (powers == 1), (size // powers) % 10, SPACE)
    digits = jnp.concatenate([jnp.full_like(size, SPACE), digits])  # room for the sign
    lengths = jnp.sum(digits != SPACE, axis=0, keepdims=True)
    sign = (jnp.arange(width)[:, None] == width - 1 - lengths) & (numbers < 0)
    return jnp.where(sign, MINUS, digits), lengths + (numbers < 0)


def _place(
    string: Int[Array, "width batch"], end: Int[Array, "1 batch"], at: Int[Array, "steps 1"]
) -> Int[Array, "steps batch"]:
    """The character of `string` at each step, if its last one stands before step `end`; spaces
    where there is none.
    """
    width = string.shape[0]
    place = at - end + width
    found = jnp.take_along_axis(string, jnp.clip(place, 0, width - 1), axis=0)
    return jnp.where((place >= 0) & (place < width), found, SPACE)


@dataclasses.dataclass(frozen=True)
class Arithmetic(Generated):
    """'-343243+93851=' and spaces are read, then '-249392' is to be written, a character a step.

    The two whole numbers are uniform in [-largest, largest]; the second one has its own sign,
    '5+-3='. Inputs and outputs are one-hot over the same 14 characters.

    The answer's first character other than a space is due after as many whole steps after '=' as
    the hyperparameter `compute_steps` says, 1 to 6. What is scored is the answer
    left-padded with spaces to the width of the longest one (9 characters), so that its last
    character is where the unpadded answer's is: as many characters for every answer and every
    number of compute steps, or the tuner would win by adding steps that are easy. The loss and the
    score are the mean cross-entropy of these characters, in nats. While it writes, the network
    reads spaces.

    Options: `largest`; `time_steps`, the length of all sequences, filled up with spaces; and those
    of `Generated` (the source does not give its batch size). The "position only" baseline knows how
    often each character occurs at each distance from the answer's first one, and nothing of the
    numbers.
    """

    name: ClassVar[str] = "arithmetic"
    reporting: ClassVar[Reporting] = Reporting("error (nats per character)")

    largest: int = option(10**7, Interval(1, 10**9))  # a sum must fit into 32 bits
    time_steps: int = option(36, STEPS)

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = 2 * len(str(-self.largest)) + len("+=") + int(COMPUTE_STEPS.high) + self.width
        if self.time_steps < longest:
            raise CapaxError(
                f"task arithmetic: time_steps must be at least {longest} for numbers up to {self.largest}, "
                f"not {self.time_steps}."
            )

    @property
    def width(self) -> int:
        """Characters of the longest answer, sign included: what every answer is padded to."""
        return len(str(-2 * self.largest))

    @property
    def sizes(self) -> Sizes:
        return Sizes(len(ALPHABET), len(ALPHABET), self.time_steps)

    @property
    def facts(self) -> Facts:
        chance = math.log(len(ALPHABET))
        return Facts(chance=chance, chance_loss=chance, perfect=0.0)

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        return (COMPUTE_STEPS,)

    def generate(self, key: Array, size: int, scalars: Scalars) -> SequenceBatch:
        a, b = jax.random.randint(key, (2, 1, size), -self.largest, self.largest + 1)
        return self.write(a, b, scalars["compute_steps"])

    def write(self, a: Int[Array, "1 batch"], b: Int[Array, "1 batch"], compute_steps: Int[Array, ""]) -> SequenceBatch:
        """The sequences that ask for a + b, and the characters that are due."""
        first, second, answer = (written(number, self.width) for number in (a, b, a + b))
        plus = first[1]
        equals = plus + 1 + second[1]
        end = equals + 1 + compute_steps + answer[1]
        at = jnp.arange(self.time_steps)[:, None]
        read = jnp.where(at < plus, _place(first[0], plus, at), _place(second[0], equals, at))
        read = jnp.where(at == plus, PLUS, jnp.where(at == equals, EQUALS, read))
        scored = (at >= end - self.width) & (at < end)
        return SequenceBatch(OneHot(read, len(ALPHABET)), _place(answer[0], end, at), scored.astype(jnp.float32))

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        wrong = jnp.max(batch.weights * (jnp.argmax(outputs, axis=0) != batch.targets), axis=0)
        due = jnp.max(batch.weights, axis=0)
        return {
            "loss": cross_entropy(outputs, batch.targets, batch.weights),
            "weight": jnp.sum(batch.weights),
            "answers": jnp.sum(due),
            "correct_answers": jnp.sum(due - wrong),
        }

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        error = sums["loss"] / sums["weight"]
        return {
            "score": error,
            "loss": error,
            "fraction_correct": sums["correct_answers"] / sums["answers"],
        }

    def baselines(self) -> dict[str, float]:
        nats = -np.log(self._character_frequencies())
        loss = weight = 0.0
        for batch in self.evaluation_set():
            due = np.asarray(batch.weights).T > 0  # as many characters for every answer that counts
            counted = np.any(due, axis=1)
            answers = np.asarray(batch.targets).T[counted][due[counted]].reshape(-1, self.width).T
            loss += float(np.sum(nats[_positions(answers), answers]))
            weight += answers.size
        return {"position only": loss / weight}

    def _character_frequencies(self) -> Float[np.ndarray, "positions characters"]:
        """How often each character stands at each distance from an answer's first one, counted in
        answers that are not the evaluation set's; one more of each, so that none is impossible."""
        drawn = np.random.default_rng(0).integers(-self.largest, self.largest + 1, (2, BASELINE_ANSWERS))
        answers = np.asarray(written(jnp.asarray(drawn.sum(axis=0, keepdims=True)), self.width)[0])
        counts = np.ones((2 * self.width, len(ALPHABET)))
        np.add.at(counts, (_positions(answers), answers), 1)
        return counts / counts.sum(axis=1, keepdims=True)


def _positions(answers: Int[np.ndarray, "width answers"]) -> Int[np.ndarray, "width answers"]:
    """The place of each character of padded answers, where the first one that is no space is at
    `width`.
    """
    width = answers.shape[0]
    return np.arange(width)[:, None] + np.sum(answers != SPACE, axis=0)
