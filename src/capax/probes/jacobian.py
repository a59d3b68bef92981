"""Entries of dh_{t+D} / dh_t: whether a recurrence behaves like independent units, and how long
they remember (Zucchet & Orvieto 2024, Recurrent neural networks: vanishing and exploding gradients
are not the end of the story: gated networks).

Symbols: n = numbers in the state, D = lag, J = dh_{t+D} / dh_t, lambda = the mean of a unit's entry
on the diagonal of dh_{t+1} / dh_t, bias = what is added at every step (see `measure`).
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from capax.cells.cell import Cell, scalar_declarations
from capax.errors import CapaxError
from capax.probes.measurement import Measurement, finite_or_infinite
from capax.probes.subject import Subject, layer_outputs
from capax.theory import autocorrelation, moments

LAGS = 20
STARTS = 3
SEQUENCES = 4
"""Lags are log-spaced; J is averaged over so many times t and sequences."""

POINTS = 256
"""Steps of sequences over which lambda is averaged."""

SHORTEST = 4
"""Time steps: below, no half is left whose autocorrelation could be measured."""

FORGET = "forget_bias"

Update = Callable[[Array, Array, Array], Array]
"""State (n, batch), input (features, batch), bias -> the next state."""


def measure(subject: Subject, *, layer: int = 0) -> Measurement:
    """How the state of one layer's recurrence depends on itself D steps earlier, and what
    independent linear units would do.

    h is the whole state, all its vectors one below the other (the LSTM's h and c; real and
    imaginary parts of a diagonal cell, whose rotation is thus off the diagonal). Only the
    recurrence of this layer counts: it is driven by what reaches it from below. For 20 log-spaced
    lags D up to half of the length: mean modulus of J's entries on the diagonal and off it, the
    ratio of the two (NaN where both vanish or both overflow), and J's largest singular value; means
    over entries, 3 times t, and 4 sequences. Predicted: the same of units h' = lambda h + drive,
    with lambda of the measured network.

    For each number of the state, over the second half of the sequences: E h^2 and E (dh/dbias)^2,
    where the bias is the cell's forget bias, moved for all units at once, or a constant added to
    all of the state at every step where a cell has none. Predicted: the second moment of y' =
    lambda y + drive by `theory.moments.state_variance`, with the measured mean and autocorrelation
    of the drive: for h that of h_{t+1} - lambda h_t, for dh/dbias the bias's direct effect on
    h_{t+1} with h_t held fixed.

    Options: `layer`, from 0, the lowest. Units: lags in steps; all else as the state, squared for
    moments. Source: Zucchet & Orvieto 2024, on gated recurrent networks. Raises `CapaxError` for a
    layer that is not there, or sequences of fewer than 4 steps.
    """
    subject = subject.of_one_length()
    cell, x = _recurrence(subject, layer)
    time, _, batch = x.shape
    if time < SHORTEST:
        raise CapaxError(f"probe jacobian needs sequences of at least {SHORTEST} steps, not {time}.")
    update, initial = _flat(cell)
    h, by_bias, direct = jax.jit(lambda x: _trajectory(update, initial, x))(x)
    lags = np.unique(np.round(np.geomspace(1, time // 2, LAGS)).astype(int))
    half = time // 2
    lam = _eigenvalues(update, h[half - 1 : -1], x[half:])
    J = _mean_sizes(update, h, x, lags, min(batch, SEQUENCES))
    with np.errstate(invalid="ignore"):  # of states that overflowed
        drive = _plain(h[half:]) - lam[:, None] * _plain(h[half - 1 : -1])
    moments_of_units = {
        "state": (_second_moments(h[half:]), _predicted(lam, drive)),
        "sensitivity": (_second_moments(by_bias[half:]), _predicted(lam, _plain(direct[half:]))),
    }
    frame = pd.concat([_rows_of_lags(lags, J, lam), _rows_of_units(moments_of_units)], ignore_index=True)
    described = {
        **subject.describe(),
        "layer": layer,
        "state_size": len(lam),
        "bias": "forget bias" if FORGET in scalar_declarations(type(cell)) else "added to the state",
    }
    return Measurement("jacobian", described, _summary(lags, J, moments_of_units), frame, {"eigenvalues": lam})


def _recurrence(subject: Subject, layer: int) -> tuple[Cell, Float[Array, "time inputs batch"]]:
    """A layer's cell, and what reaches it from below."""
    network = subject.network
    if not 0 <= layer < len(network.layers):
        raise CapaxError(f"probe jacobian: layer must be from 0 to {len(network.layers) - 1}, not {layer}.")
    if layer:
        below = eqx.tree_at(lambda n: n.layers, network, network.layers[:layer])
        return network.cells[layer], eqx.filter_jit(layer_outputs)(below, subject.inputs)[-1]
    return network.cells[0], jax.vmap(network.enter)(subject.inputs)


def _flat(cell: Cell) -> tuple[Update, Float[Array, " n"]]:
    """One step on the state as one vector, and the initial state."""
    leaves, structure = jax.tree.flatten(cell.initial)
    ends = list(itertools.accumulate(leaf.shape[0] for leaf in leaves))[:-1]
    forgets = FORGET in scalar_declarations(type(cell))

    def update(h: Array, x: Array, bias: Array) -> Array:
        state = jax.tree.unflatten(structure, jnp.split(h, ends))
        moved = eqx.tree_at(lambda c: getattr(c, FORGET), cell, getattr(cell, FORGET) + bias) if forgets else cell
        after = jnp.concatenate(jax.tree.leaves(moved.step(state, moved.project(x))[0]))
        return after if forgets else after + bias

    return update, jnp.concatenate(leaves)


def _trajectory(update: Update, initial: Array, x: Array) -> tuple[Array, Array, Array]:
    """h, dh/dbias, and the bias's direct effect on each step, of shape (time, n, batch)."""
    bias, one = jnp.zeros(()), jnp.ones(())

    def step(carry: tuple[Array, Array], x: Array) -> Any:
        h, slope = carry
        direct = jax.jvp(lambda bias: update(h, x, bias), (bias,), (one,))[1]
        carry = jax.jvp(lambda h, bias: update(h, x, bias), (h, bias), (slope, one))
        return carry, (*carry, direct)

    h = jnp.broadcast_to(initial[:, None], (initial.shape[0], x.shape[2]))
    return jax.lax.scan(step, (h, jnp.zeros_like(h)), x)[1]


def _pushed(update: Update, h: Float[Array, " n"], x: Array, J: Float[Array, "n n"]) -> tuple[Array, Array]:
    """The next state, and dh_{t+1} / dh_t times J, column by column in forward mode."""
    after, push = jax.linearize(lambda h: update(h[:, None], x[:, None], jnp.zeros(()))[:, 0], h)
    return after, jax.vmap(push, 1, 1)(J)


def _eigenvalues(update: Update, h: Array, x: Array) -> np.ndarray:
    """The mean of the diagonal of dh_{t+1} / dh_t over points spread over times and sequences; x[t]
    is read in the state h[t].
    """
    time, n, batch = h.shape
    points = np.unique(np.linspace(0, time * batch - 1, POINTS).astype(int))

    def diagonal(point: tuple[Array, Array]) -> Array:
        t, sequence = point
        return jnp.diagonal(_pushed(update, h[t, :, sequence], x[t, :, sequence], jnp.eye(n))[1])

    found = jax.jit(lambda points: jax.lax.map(diagonal, points))((points // batch, points % batch))
    return finite_or_infinite(_plain(found)).mean(axis=0)


def _mean_sizes(update: Update, h: Array, x: Array, lags: np.ndarray, sequences: int) -> dict[str, np.ndarray]:
    """By name, the mean sizes of J at each lag. J is held for one time and sequence, and at the
    lags alone.
    """
    n = h.shape[1]
    segments = jnp.asarray(np.stack([np.r_[0, lags[:-1]], lags], axis=1))

    @jax.jit
    def products(h: Float[Array, " n"], x: Float[Array, "time inputs"]) -> Float[Array, "lags n n"]:
        def to_lag(carry: Any, segment: Array) -> Any:
            carry = jax.lax.fori_loop(segment[0], segment[1], lambda d, c: _pushed(update, c[0], x[d], c[1]), carry)
            return carry, carry[1]

        return jax.lax.scan(to_lag, (h, jnp.eye(n)), segments)[1]

    starts = np.unique(np.linspace(h.shape[0] // 4, h.shape[0] - 1 - lags[-1], STARTS).astype(int))
    found = [
        _sizes(_plain(products(h[t, :, s], x[t + 1 : t + 1 + lags[-1], :, s])))
        for t, s in itertools.product(starts, range(sequences))
    ]
    sizes = {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}
    return {**sizes, "ratio": _quotient(sizes["off_diagonal"], sizes["diagonal"])}


def _sizes(J: Float[np.ndarray, "lags n n"]) -> dict[str, np.ndarray]:
    J, n = finite_or_infinite(J), J.shape[1]
    off = np.abs(J[:, ~np.eye(n, dtype=bool)])
    return {
        "diagonal": np.abs(np.diagonal(J, axis1=1, axis2=2)).mean(axis=1),
        "off_diagonal": off.mean(axis=1) if n > 1 else np.zeros(len(J)),
        "spectral_norm": np.asarray([np.linalg.norm(one, 2) if np.isfinite(one).all() else np.inf for one in J]),
    }


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where both vanish, or both are infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return above / below


def _of_known(function: Callable[[np.ndarray], Any], values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(function(known)) if len(known) else math.nan


def _plain(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)


def _second_moments(y: Float[Array, "time n batch"]) -> np.ndarray:
    return np.mean(finite_or_infinite(y) ** 2, axis=(0, 2))


def _predicted(lam: np.ndarray, drive: Float[np.ndarray, "time n batch"]) -> np.ndarray:
    """E y^2 of y' = lam y + drive, unit by unit, with the drive's measured mean and
    autocorrelation.
    """
    found = np.full(len(lam), np.inf)
    for unit in np.flatnonzero(np.abs(lam) < 1):
        own = drive[:, unit].T[..., None]
        if np.isfinite(own).all():
            variance = moments.state_variance(float(lam[unit]), autocorrelation.measure(own))
            found[unit] = float(variance) + (own.mean() / (1 - lam[unit])) ** 2
    return found


def _rows_of_lags(lags: np.ndarray, J: dict[str, np.ndarray], lam: np.ndarray) -> pd.DataFrame:
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.abs(lam)[None] ** lags[:, None]
    zero = np.zeros(len(lags))
    predicted = {"diagonal": powers.mean(1), "off_diagonal": zero, "ratio": zero, "spectral_norm": powers.max(1)}
    parts = [
        pd.DataFrame({"quantity": name, "lag": lags, "measured": J[name], "predicted": predicted[name]})
        for name in predicted
    ]
    return pd.concat(parts, ignore_index=True).astype({"lag": "Int64"})


def _rows_of_units(found: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"quantity": name, "unit": np.arange(len(measured)), "measured": measured, "predicted": predicted})
        for name, (measured, predicted) in found.items()
    ]
    return pd.concat(parts, ignore_index=True).astype({"unit": "Int64"})


def _summary(
    lags: np.ndarray, J: dict[str, np.ndarray], of_units: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, float | int]:
    """Sizes at the shortest, the median, and the longest lag; the largest ratio; the median unit's
    predicted over measured moments.
    """
    found: dict[str, float | int] = {}
    for name, place in {"shortest": 0, "median": len(lags) // 2, "longest": -1}.items():
        found[f"lag_{name}"] = int(lags[place])
        found |= {f"{size}_{name}": float(J[size][place]) for size in ("diagonal", "off_diagonal")}
    found["largest_ratio"] = _of_known(np.max, J["ratio"])
    for name, (measured, predicted) in of_units.items():
        found[f"{name}_predicted_to_measured"] = _of_known(np.median, _quotient(predicted, measured))
    return found
