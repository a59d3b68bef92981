"""Sequences of unequal length in one array, with how long each is."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from capax.errors import CapaxError


@dataclasses.dataclass(frozen=True)
class Sequences:
    """A ragged batch.

    `values` (sequences, time, features), 0 behind each sequence's end; `lengths`, how many of its
    steps are real; `features` and `names` (of the sequences); `notes`, what the file was taken for,
    one line each. A missing value is NaN. `samples`: each sequence is complete in itself, as in an
    array (sequences, time, features). Otherwise they are series, of which parts may be cut.
    """

    values: Float[np.ndarray, "sequences time features"]
    lengths: Int[np.ndarray, " sequences"]
    features: tuple[str, ...]
    names: tuple[str, ...]
    samples: bool = False
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(
        parts: Sequence[Float[np.ndarray, "_ features"]],
        features: Sequence[str],
        names: Sequence[str],
        *,
        samples: bool = False,
        notes: Sequence[str] = (),
    ) -> "Sequences":
        """From one array (time, features) a sequence."""
        lengths = np.array([len(part) for part in parts], int)
        values = np.zeros((len(parts), int(lengths.max(initial=0)), len(features)))
        for row, part in zip(values, parts, strict=True):
            row[: len(part)] = part
        return Sequences(values, lengths, tuple(features), tuple(names), samples, tuple(notes))

    @property
    def real(self) -> Bool[np.ndarray, "sequences time"]:
        """Which steps are real, and not behind the end."""
        return np.arange(self.values.shape[1]) < self.lengths[:, None]

    def missing(self) -> int:
        """How many values of real steps are missing."""
        return int(np.isnan(self.values[self.real]).sum())

    def filled(self) -> "Sequences":
        """Each missing value becomes the last known one before it in its sequence; at the
        beginning, the first known one.

        Raises `CapaxError` for a sequence that has no value of a feature at all.
        """
        values = self.values.copy()
        for row, length, name in zip(values, self.lengths, self.names, strict=True):
            for number, feature in enumerate(self.features):
                column = row[:length, number]
                known = np.flatnonzero(~np.isnan(column))
                if not len(known) and length:
                    raise CapaxError(
                        f"series '{name}' has no value of '{feature}'; leave the series or the column out."
                    )
                before = np.searchsorted(known, np.arange(length), side="right") - 1
                row[:length, number] = column[known[np.maximum(before, 0)]]
        return dataclasses.replace(self, values=values)

    def windows(self, length: int) -> Float[np.ndarray, "windows length features"]:
        """Windows of `length` steps side by side, as many whole ones as each sequence has; none
        reaches from one sequence into another."""
        parts = [
            row[: size // length * length].reshape(-1, length, len(self.features))
            for row, size in zip(self.values, self.lengths, strict=True)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, length, len(self.features)))
