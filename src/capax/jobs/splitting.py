"""Sequences in three parts: for training, for choosing, and for the scores that are reported."""

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Int

from capax.errors import CapaxError, counted

PARTS = ("train", "validation", "evaluation")
HELD_OUT = 0.1
"""The share of sequences in the validation part, and in the evaluation part."""
LEAST = 3

Numbers = Int[np.ndarray, " chosen"]


def split(strata: Sequence[Hashable], seed: int, parts: Sequence[str] | None, where: str) -> dict[str, Numbers]:
    """The numbers of the sequences of each part, in their order.

    Without `parts`, a tenth is for validation and a tenth for evaluation. Within each stratum, such
    as the sequences of a label, the order is that of hashes of the seed and a sequence's number, so
    it does not depend on what is in a sequence, nor on any library. A part has of each stratum as
    near its share as whole sequences allow; of a stratum of one sequence, training has it.

    With `parts`, those that a file names, the file is followed; where it names no sequence for
    validation, or none for evaluation, a tenth of the training part becomes it.

    Raises `CapaxError` for fewer than three sequences, and where there is none for training.
    """
    if len(strata) < LEAST:
        sequences = counted(len(strata), "sequence")
        raise CapaxError(
            f"{where} has {sequences} with labels; a part to train on, one to choose by, and one to report need {LEAST}."
        )
    named = np.asarray(["train"] * len(strata) if parts is None else parts, dtype=object)
    ranks = _ranks(strata, seed, named == "train")
    for name in ("evaluation", "validation"):
        if (named == name).any():
            continue
        training = np.flatnonzero(named == "train")
        share = max(1, round(HELD_OUT * len(strata))) if parts is None else max(1, round(HELD_OUT * len(training)))
        first = training[np.argsort(ranks[training], kind="stable")][:share]
        named[first] = name
    found = {name: np.flatnonzero(named == name) for name in PARTS}
    empty = next((name for name in PARTS if not len(found[name])), None)
    if empty is not None:
        raise CapaxError(f"{where} has no sequence with a label in the {empty} part.")
    return found


def _ranks(strata: Sequence[Hashable], seed: int, counted: np.ndarray) -> np.ndarray:
    """Where each sequence stands within its stratum, from 0 to 1, in the order of hashes; ties
    between strata are broken by hashes, too."""
    hashes = [hashlib.sha256(f"{seed}:{number}".encode()).digest() for number in range(len(strata))]
    members: dict[Hashable, list[int]] = {}
    for number, stratum in enumerate(strata):
        if counted[number]:
            members.setdefault(stratum, []).append(number)
    places = np.full(len(strata), np.inf)
    for numbers in members.values():
        numbers.sort(key=lambda number: hashes[number])
        for rank, number in enumerate(numbers):
            places[number] = (rank + 0.5) / len(numbers)
    order = sorted(range(len(strata)), key=lambda number: (places[number], hashes[number]))
    found = np.empty(len(strata))
    found[order] = np.arange(len(strata))
    return found
