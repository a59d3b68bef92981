"""When a trial has diverged: the criterion, in one place, and what a trial says of it."""

import dataclasses
from typing import Literal

Kind = Literal["non-finite loss", "non-finite gradient", "exploded loss", "non-finite score"]
KINDS: tuple[Kind, ...] = ("non-finite loss", "non-finite gradient", "exploded loss", "non-finite score")
"""What is wrong; compiled programs say it as 1 + the position here."""

EXPLODED = 1e4
"""A training loss this many times that of a random guess is a divergence, though it is finite."""

CRITERION = (
    "A trial has diverged where its training loss or the gradient's norm is not finite, where its training loss is "
    f"{EXPLODED:,.0f} times that of a random guess or more, or where its final scores are not finite."
)
"""The criterion as run directories record it and reports print it."""


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Why and when a trial diverged. `step`: the training steps that it had done, from 0."""

    kind: Kind
    step: int

    def __str__(self) -> str:
        what = f"loss above {EXPLODED:,.0f} times chance" if self.kind == "exploded loss" else self.kind
        return f"{what} at the end" if self.kind == "non-finite score" else f"{what} at step {self.step + 1}"
