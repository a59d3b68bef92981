"""What a user hands to a network, one sequence or a batch of them, as a sequence that networks
read.
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from capax.cells.cell import real_steps
from capax.cells.sequence import Dense, OneHot, Sequence
from capax.errors import CapaxError


def as_batch(x: Array, features: int) -> tuple[Sequence, bool]:
    """The sequence, and whether it is a single one. Numbers are (time, features) or (batch, time,
    features); symbols, whole numbers from 0 to features - 1, are (time,) or (batch, time).

    Raises `CapaxError` for another shape.
    """
    x = jnp.asarray(x)
    symbols = jnp.issubdtype(x.dtype, jnp.integer)
    axes = 1 if symbols else 2
    if x.ndim not in (axes, axes + 1) or (not symbols and x.shape[-1] != features):
        due = "(time,) or (batch, time)" if symbols else f"(time, {features}) or (batch, time, {features})"
        raise CapaxError(f"a network with {features} inputs reads arrays of shape {due}, not {x.shape}.")
    single = x.ndim == axes
    batch = x[None] if single else x
    return (OneHot(batch.T, features) if symbols else Dense(jnp.moveaxis(batch, 0, 2))), single


def as_lengths(lengths: Array | int | None, sequence: Sequence) -> Array | None:
    """Lengths of a batch as an array (batch,).

    Raises `CapaxError` for lengths that are no steps of the sequence; what is traced cannot be
    looked at.
    """
    if lengths is None:
        return None
    found, time = jnp.atleast_1d(jnp.asarray(lengths)), sequence.length
    if not jnp.issubdtype(found.dtype, jnp.integer):
        raise CapaxError(f"lengths are whole numbers of steps, not of type {found.dtype}.")
    if isinstance(lengths, Tracer):
        return found
    known = np.asarray(lengths)
    if ((known < 0) | (known > time)).any():
        raise CapaxError(f"lengths must be from 0 to the {time} steps of the sequences, not {known.tolist()}.")
    return found


def cleared(sequence: Sequence, lengths: Array | None) -> Sequence:
    """The sequence with nothing behind its lengths."""
    return sequence if lengths is None else sequence.cleared(real_steps(lengths, sequence.length))
