"""Connectionist temporal classification (Graves et al. 2006): a target sequence from a network that
says a symbol, or none, at each of its steps.

Each step of the source has `slots` places, and a network of slots x symbols outputs says at each of
them one of the symbols, the last of which is the blank: no symbol. What is said is the target once
equal neighbours are taken as one and blanks are left out. The probability of a target is the sum
over all ways to say it (eq. 3). It is for targets in the order of their sources: sounds of letters.

Symbols: B sequences, T steps of the source, P = T x slots places, K symbols with the blank.
"""

import math

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from capax.errors import CapaxError

HARDLY = 9.0
"""Symbols whose logarithm is so far behind the likeliest of a place begin no new target."""
IMPOSSIBLE = 1e4
"""A target with a greater loss than this has no way to be said."""


Target = tuple[int, ...]
Beginnings = dict[Target, tuple[float, float]]
"""Of each beginning of a target, the logarithms of the probabilities of all ways to say it that end
with a blank, and of those that do not."""


def places(outputs: Float[Array, "slotsK T B"], slots: int) -> Float[Array, "B P K"]:
    """A network's outputs as logits of each place."""
    split = outputs.reshape(slots, -1, *outputs.shape[1:])
    return jnp.transpose(split, (3, 2, 0, 1)).reshape(outputs.shape[2], -1, split.shape[1])


def losses(
    logits: Float[Array, "B P K"],
    lengths: Int[Array, " B"],
    targets: Int[Array, "B symbols"],
    target_lengths: Int[Array, " B"],
) -> Float[Array, " B"]:
    """The negative natural logarithm of the probability of each target.

    A target that does not fit in the places of its source counts as if each symbol, and its end,
    were guessed.

    **Arguments:** `lengths`, places of each sequence that are real.
    """
    blank = logits.shape[2] - 1
    behind = jnp.arange(logits.shape[1])[None] >= lengths[:, None]
    none = jnp.arange(targets.shape[1])[None] >= target_lengths[:, None]
    found = optax.ctc_loss(logits, behind.astype(jnp.float32), targets, none.astype(jnp.float32), blank_id=blank)
    return jnp.where(found < IMPOSSIBLE, found, (target_lengths + 1) * math.log(blank + 1))


def search(
    logs: Float[np.ndarray, "B P K"], lengths: Int[np.ndarray, " B"], *, width: int, best: int = 1
) -> list[list[Target]]:
    """The `best` targets of each sequence, the likeliest first: a beam search over beginnings of
    targets, which sums the ways to say each (Graves et al. 2006, section 3.2; with the beam of
    Hannun et al. 2014).

    **Arguments:** `logs`, of probabilities of each symbol at each place; `lengths`, places that are
    real; `width`, beginnings that are kept.

    Raises `CapaxError` for a width below 1, and where `best` is more than the width.
    """
    if width < 1:
        raise CapaxError(f"a beam search needs a width of at least 1, not {width}.")
    if not 1 <= best <= width:
        raise CapaxError(f"best must be from 1 to the width of the beam, {width}, not {best}.")
    return [_one(each[:length], width)[:best] for each, length in zip(logs.astype(float), lengths, strict=True)]


def _one(logs: Float[np.ndarray, "P K"], width: int) -> list[Target]:
    blank = logs.shape[1] - 1
    beginnings: Beginnings = {(): (0.0, -math.inf)}
    for place in logs:
        likely = [int(c) for c in np.flatnonzero(place[:blank] > place.max() - HARDLY)]
        grown: Beginnings = {}
        for said, (silent, spoken) in beginnings.items():
            both = _sum(silent, spoken)
            _add(grown, said, both + place[blank], spoken + place[said[-1]] if said else -math.inf)
            for symbol in likely:
                before = silent if said and said[-1] == symbol else both
                _add(grown, (*said, symbol), -math.inf, before + place[symbol])
        beginnings = dict(sorted(grown.items(), key=lambda item: -_sum(*item[1]))[:width])
    return list(beginnings)


def _add(grown: Beginnings, said: Target, silent: float, spoken: float) -> None:
    before = grown.get(said)
    grown[said] = (silent, spoken) if before is None else (_sum(before[0], silent), _sum(before[1], spoken))


def _sum(one: float, other: float) -> float:
    """The logarithm of the sum of two numbers, of their logarithms."""
    high, low = (one, other) if one > other else (other, one)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
