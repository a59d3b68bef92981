"""How states, and their sensitivities to each parameter, grow with memory (Zucchet & Orvieto 2024,
section 2).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from capax.cells.diagonal import Diagonal
from capax.networks.network import Network
from capax.probes.measurement import Measurement, finite_or_infinite
from capax.probes.subject import Subject, layer_outputs
from capax.theory import autocorrelation, moments

CHUNK = 16
"""Directions that are followed forward at the same time."""


def measure(subject: Subject, *, directions: int = 64) -> Measurement:
    """E|h|^2 of every layer's output, and E|dh/dtheta|^2 of the top layer's, by forward
    derivatives.

    The mean of h^2 is over units and sequences, at every step. The sensitivity of a group of
    parameters (an array of the network) is the sum over units of (dh/dtheta)^2, its mean over
    sequences, and over the group's parameters: exactly, one forward derivative a parameter, for
    groups of at most `directions` parameters; for larger ones by as many random directions v with
    v^2 = 1 in each coordinate, since E (J v)^2 is the sum over parameters. The network is taken as
    it is: as initialised, or trained.

    Of diagonal cells in the bottom layer, E|h|^2 of the complex state is beside what the closed
    form predicts from the eigenvalues and the measured autocorrelation of the inputs
    (`theory.moments`). What overflows is infinite.

    The frame has one row a group: parameters, sensitivity at the last step, relative to E|h|^2
    there; the summary E|h|^2 at the last step by layer, and the most sensitive group.
    """
    subject = subject.of_one_length()
    x = subject.inputs
    vector, network_of, groups = subject.flat()

    def top(vector: Array) -> Array:
        return layer_outputs(network_of(vector), x)[-1]

    states = finite_or_infinite(jnp.stack([_mean_square(h) for h in jax.jit(layer_outputs)(subject.network, x)]))
    follow = _follower(top, vector)
    rows, curves = [], []
    for number, (name, part) in enumerate(groups.items()):
        if not name.startswith(("entry", "layers")):  # the readout has no say in states
            continue
        curve, exact = _sensitivity(follow, part, vector.size, directions, jax.random.key(subject.seed + number))
        curves.append(curve)
        rows.append(
            {
                "group": name,
                "parameters": part.stop - part.start,
                "sensitivity": curve[-1],
                "relative": _ratio(curve[-1], states[-1, -1]),
                "exact": exact,
            }
        )
    frame = pd.DataFrame(rows)
    most = frame.loc[frame["sensitivity"].idxmax()]
    summary: dict[str, Any] = {
        "state_square_by_layer": [float(value) for value in states[:, -1]],
        "most_sensitive_group": str(most["group"]),
        "largest_sensitivity": float(most["sensitivity"]),
        "infinite": bool(np.isinf(states).any() or np.isinf(frame["sensitivity"]).any()),
    }
    arrays = {"states": states, "sensitivities": np.stack(curves)}
    predicted = _predicted(subject.network, x)
    if predicted is not None:
        summary["state_square_predicted"], summary["state_square_measured"] = predicted
    return Measurement("sensitivity", subject.describe(), summary, frame, arrays)


def _mean_square(h: Float[Array, "time units batch"]) -> Float[Array, " time"]:
    return jnp.mean(h**2, axis=(1, 2))


def _ratio(one: float, other: float) -> float:
    return float("inf") if np.isinf(one) or other == 0 else float(one / other)


def _follower(top: Callable[[Array], Array], vector: Array) -> Callable[[Array], Array]:
    """From directions (k, p) to the summed squares of the derivatives of h along them, (k,
    time).
    """

    def along(direction: Array) -> Array:
        derivative = jax.jvp(top, (vector,), (direction,))[1]
        return jnp.mean(jnp.sum(derivative**2, axis=1), axis=1)

    return jax.jit(jax.vmap(along))


def _sensitivity(
    follow: Callable[[Array], Array], part: slice, size: int, directions: int, key: Array
) -> tuple[Float[np.ndarray, " time"], bool]:
    """The mean over a group's parameters of E|dh/dtheta|^2, at each step; and whether it is
    exact.
    """
    count = part.stop - part.start
    exact = count <= directions
    total, number = 0.0, count if exact else directions
    for begin in range(0, number, CHUNK):
        inside = np.arange(begin, begin + CHUNK)
        if exact:  # basis vectors; beyond the group's end none
            rows = (np.arange(count)[None, :] == inside[:, None]).astype(np.float32)
        else:
            signs = jax.random.rademacher(jax.random.fold_in(key, begin), (CHUNK, count), jnp.float32)
            rows = np.asarray(signs) * (inside < directions)[:, None]
        chosen = np.zeros((CHUNK, size), np.float32)
        chosen[:, part] = rows
        found = finite_or_infinite(follow(jnp.asarray(chosen)))
        total = total + found[inside < number].sum(axis=0)
    return np.asarray(total) / number / (1 if exact else count), exact


def _predicted(network: Network, x: Float[Array, "time inputs batch"]) -> tuple[float, float] | None:
    """E|h|^2 of the bottom layer's complex state, mean over its units, at the end of the sequences:
    by the closed form for stationary inputs, and measured; None where the layer is not diagonal.
    """
    cell = network.layers[0]
    if not isinstance(cell, Diagonal) or network.entry is not None:
        return None
    projected = jax.vmap(cell.project)(x)
    drive_real, drive_imaginary = projected[:2]
    lam = np.asarray(cell.eigenvalues()[0], complex) + 1j * np.asarray(cell.eigenvalues()[1])
    inputs = autocorrelation.measure(np.transpose(np.asarray(x, np.float64), (2, 0, 1)))
    gains = np.mean(np.asarray(drive_real) ** 2 + np.asarray(drive_imaginary) ** 2, axis=(0, 2)) / max(
        inputs(0), 1e-300
    )
    expected = np.asarray([float(moments.state_variance(l, inputs)) for l in lam]) * gains
    last = jax.lax.scan(lambda s, p: (cell.advance(s, p), None), cell.first_state(x.shape[2]), projected)[0]
    found = finite_or_infinite(last[0] ** 2 + last[1] ** 2)
    return float(np.mean(finite_or_infinite(expected))), float(np.mean(found))
