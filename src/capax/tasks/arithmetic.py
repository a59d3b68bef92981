"""Addition of two whole numbers, read and written as characters (Collins et al. 2017, section 4 and appendix B)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from capax.cells.sequence import OneHot
from capax.errors import CapaxError
from capax.hyperparameters import Hyperparameter, Number
from capax.tasks.generated import Generated
from capax.tasks.task import Draw, Scalars, Sums, cross_entropy

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
    """Whole numbers as characters, left-padded with spaces to `width`, and how many of the characters are not spaces."""
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
    """The character of `string` at each step, if its last one stands before step `end`; spaces where there is none."""
    width = string.shape[0]
    place = at - end + width
    found = jnp.take_along_axis(string, jnp.clip(place, 0, width - 1), axis=0)
    return jnp.where((place >= 0) & (place < width), found, SPACE)


@dataclasses.dataclass(frozen=True)
class Arithmetic(Generated):
    """'-343243+93851=      ' is read, then '-249392' is to be written, a character a step.

    The two whole numbers are uniform in [-largest, largest]; the second one has its own sign, '5+-3='. Inputs and outputs are
    one-hot over the same 14 characters.

    The answer's first character other than a space is due after as many whole steps after '=' as the hyperparameter
    `compute_steps` says, 1 to 6: the example has 6. What is scored is the answer left-padded with spaces to the width of
    the longest one (9 characters), so that its last character is where the unpadded answer's is: as many characters for
    every answer and every number of compute steps, or the tuner would win by adding steps that are easy. The loss and the
    score are the mean cross-entropy of these characters, in nats. While it writes, the network reads spaces.

    Options: `largest`; `time_steps`, the length of all sequences, filled up with spaces; and those of `Generated` (the source does
    not give its batch size). The "position only" baseline knows how often each character occurs at each distance from the
    answer's first one, and nothing of the numbers.
    """

    name: ClassVar[str] = "arithmetic"
    direction: ClassVar[Literal["maximise", "minimise"]] = "minimise"
    score_label: ClassVar[str] = "error (nats per character)"

    largest: int = 10**7
    time_steps: int = 36

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("largest", 1, 10**9)  # a sum must fit into 32 bits
        longest = 2 * len(str(-self.largest)) + len("+=") + int(COMPUTE_STEPS.high) + self.width
        if self.time_steps < longest:
            raise CapaxError(
                f"task arithmetic: time_steps must be at least {longest} for numbers up to {self.largest}, not {self.time_steps}."
            )

    @property
    def width(self) -> int:
        """Characters of the longest answer, sign included: what every answer is padded to."""
        return len(str(-2 * self.largest))

    @property
    def inputs(self) -> int:
        return len(ALPHABET)

    @property
    def outputs(self) -> int:
        return len(ALPHABET)

    @property
    def length(self) -> int:
        return self.time_steps

    @property
    def chance(self) -> float:
        return math.log(len(ALPHABET))

    @property
    def perfect(self) -> float | None:
        return 0.0

    @property
    def chance_loss(self) -> float:
        return self.chance

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        return (COMPUTE_STEPS,)

    def scalars(self, hyperparameters: Mapping[str, Any], parameters: int) -> Scalars:
        steps = hyperparameters.get(COMPUTE_STEPS.name, COMPUTE_STEPS.default)
        return {"compute_steps": jnp.asarray(steps, jnp.int32)}

    def generate(self, key: Array, size: int, scalars: Scalars) -> Draw:
        a, b = jax.random.randint(key, (2, 1, size), -self.largest, self.largest + 1)
        return self.write(a, b, scalars["compute_steps"])

    def write(self, a: Int[Array, "1 batch"], b: Int[Array, "1 batch"], compute_steps: Int[Array, ""]) -> Draw:
        """The sequences that ask for a + b, and the characters that are due."""
        first, second, answer = (written(number, self.width) for number in (a, b, a + b))
        plus = first[1]
        equals = plus + 1 + second[1]
        end = equals + 1 + compute_steps + answer[1]
        at = jnp.arange(self.time_steps)[:, None]
        read = jnp.where(at < plus, _place(first[0], plus, at), _place(second[0], equals, at))
        read = jnp.where(at == plus, PLUS, jnp.where(at == equals, EQUALS, read))
        scored = (at >= end - self.width) & (at < end)
        return Draw(OneHot(read, len(ALPHABET)), _place(answer[0], end, at), scored.astype(jnp.float32))

    def measure(self, outputs: Float[Array, "outputs time batch"], draw: Draw) -> Sums:
        wrong = jnp.max(draw.weights * (jnp.argmax(outputs, axis=0) != draw.targets), axis=0)
        due = jnp.max(draw.weights, axis=0)
        return {
            "loss": cross_entropy(outputs, draw.targets, draw.weights),
            "weight": jnp.sum(draw.weights),
            "answers": jnp.sum(due),
            "correct_answers": jnp.sum(due - wrong),
        }

    def scores(self, sums: Mapping[str, float], scalars: Mapping[str, float]) -> dict[str, float]:
        error = sums["loss"] / sums["weight"]
        return {
            "score": error,
            "loss": error,
            "fraction_correct": sums["correct_answers"] / sums["answers"],
        }

    def baselines(self) -> dict[str, float]:
        return {"position only": self._position_only()}

    def _position_only(self) -> float:
        drawn = np.random.default_rng(0).integers(-self.largest, self.largest + 1, (2, BASELINE_ANSWERS))
        answer, lengths = map(np.asarray, written(jnp.asarray(drawn.sum(axis=0, keepdims=True)), self.width))
        position = np.arange(self.width)[:, None] + lengths  # the answer's first character is always at `width`
        counts = np.zeros((2 * self.width, len(ALPHABET)))
        np.add.at(counts, (position, answer), 1)
        p = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return float(-np.sum(counts[p > 0] * np.log(p[p > 0])) / counts.sum())
