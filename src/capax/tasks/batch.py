"""Batches of sequences, as the trainer sees them and as users see them; `lengths` for ragged
ones.
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from capax.cells.sequence import Dense, Sequence


class SequenceBatch(eqx.Module):
    """A batch as the trainer sees it: features first, samples last.

    `targets` and `weights` are those of the steps from the task's first scored one on. `lengths`:
    how many steps of each sequence are real; None where all are. Steps behind a length weigh
    nothing.
    """

    inputs: Sequence
    targets: Shaped[Array, "*parts time batch"]
    weights: Float[Array, "time batch"]
    lengths: Int[Array, " batch"] | None

    def __init__(self, inputs: Sequence, targets: Array, weights: Array, lengths: Array | None = None):
        if lengths is not None:
            first = inputs.length - weights.shape[0]
            weights = weights * (first + jnp.arange(weights.shape[0])[:, None] < lengths[None])
        self.inputs, self.targets, self.weights, self.lengths = inputs, targets, weights, lengths

    def public(self, first: int) -> "Batch":
        """The same batch as users see it; `first` is the first scored step."""
        pad = ((first, 0), (0, 0))
        return Batch(
            jnp.transpose(self.inputs.values_at_every_step(), (2, 0, 1)),
            jnp.pad(self.targets, ((0, 0),) * (self.targets.ndim - 2) + pad).T,
            jnp.pad(self.weights, pad).T,
            self.lengths,
        )


class PairBatch(SequenceBatch):
    """A batch of sources, `inputs` with `lengths`, and of targets: symbols (target time, batch),
    with how many of each are real, `target_lengths`. Symbols behind a length weigh nothing.
    """

    target_lengths: Int[Array, " batch"]

    def __init__(
        self,
        inputs: Sequence,
        targets: Int[Array, "time batch"],
        lengths: Int[Array, " batch"],
        target_lengths: Int[Array, " batch"],
        weights: Float[Array, " batch"] | None = None,
    ):
        """`weights`: of each pair, by default 1."""
        real = (jnp.arange(targets.shape[0])[:, None] < target_lengths[None]).astype(jnp.float32)
        self.inputs, self.targets = inputs, targets
        self.weights = real if weights is None else real * weights[None]
        self.lengths, self.target_lengths = lengths, target_lengths

    @property
    def source_lengths(self) -> Int[Array, " batch"]:
        assert self.lengths is not None
        return self.lengths

    def public(self, first: int) -> "Batch":
        return dataclasses.replace(super().public(first), target_lengths=self.target_lengths)


class Batch(eqx.Module):
    """A batch as users see it. `mask` is 0 at steps that do not count; `lengths`: how many steps of
    each sequence are real, None where all are; `target_lengths`, of tasks of pairs, whose
    targets have a time of their own."""

    inputs: Float[Array, "size time inputs"]
    targets: Shaped[Array, "size target_time *parts"]
    mask: Float[Array, "size target_time"]
    lengths: Int[Array, " size"] | None = None
    target_lengths: Int[Array, " size"] | None = None

    def inside(self, first: int) -> SequenceBatch:
        """The same batch as the trainer sees it."""
        inputs = Dense(jnp.transpose(self.inputs, (1, 2, 0)))
        if self.target_lengths is not None and self.lengths is not None:
            return PairBatch(inputs, self.targets.T, self.lengths, self.target_lengths, self.mask.max(axis=1))
        return SequenceBatch(inputs, self.targets.T[..., first:, :], self.mask.T[first:], self.lengths)
