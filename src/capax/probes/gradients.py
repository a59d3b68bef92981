"""Gradients through time: how they shrink or grow with the lag, and where they leave what numbers
can hold.

Symbols: h_t = the state of all layers at step t, one vector; k = lag; J_t = dh_t / dh_{t-1}; P_k =
dh_T / dh_{T-k} = J_T .. J_{T-k+1}.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from capax.networks import ways
from capax.networks.network import Network
from capax.probes.measurement import Measurement
from capax.probes.subject import Subject
from capax.theory.gradients import LARGEST, SMALLEST_NORMAL

LAGS = 48
"""At which norms are computed: the first ones all, later ones log-spaced."""

PRECISIONS = ("fp32", "fp64")


def measure(subject: Subject, *, sequences: int = 4) -> Measurement:
    """Norms of the loss's gradient with respect to past states, and of products of the recurrence's
    Jacobians, against the lag.

    - gradient: |dL/dh_t| over units and sequences, where h_t is the state of all layers on its way
      to the next step (so of L what comes later), and L the task's loss on the batch, or, without a
      task, half the mean square of the last outputs. Of layers without states (transformers) with
      respect to what enters the lowest one at step t.
    - jacobian: the largest singular value of P_k; the geometric mean over `sequences`.
    - of a cell whose state has several vectors, the same along each alone, dc_T/dc_{T-k} by its own
      block of every J_t: of an LSTM's c, the product of its forget gates, the path that does not go
      through h.

    All in double precision, products with their scale kept apart, so that what no float could hold
    is still measured. The summary has the growth of P_k over the second half of the lags, as a
    factor a step and as its logarithm (the largest Lyapunov exponent, nats a step); the first lag
    at which |P_k| is below the smallest normal number of FP32 and FP64 (the horizon), and above the
    largest (the explosion): measured, or extrapolated by that growth where it lies beyond the
    sequences; None where it never is.

    The frame has one row a quantity and lag: log10 of the norm, and the norm (0 or infinite where a
    float64 cannot hold it).
    """
    subject = subject.of_one_length()
    network = subject.network
    with jax.enable_x64(True):
        network = jax.tree.map(_double, network)
        x = jnp.asarray(np.asarray(subject.inputs, np.float64))
        curves = {"gradient": _loss_gradients(subject, network, x)}
        if network.recurrent:
            lags = _lags(x.shape[0])
            for name, logs in _products(network, x[:, :, :sequences], lags).items():
                curves[name] = (lags, logs)
    frame = pd.concat([_rows(name, lags, logs) for name, (lags, logs) in curves.items()], ignore_index=True)
    summary: dict[str, Any] = {}
    if "jacobian" in curves:
        summary = _summary(*curves["jacobian"])
        for name, (lags, logs) in curves.items():
            if name not in ("gradient", "jacobian"):
                summary[f"{name}_factor"] = _exp(_rate(lags, logs))
    lags, logs = curves["gradient"]
    summary["gradient_of_the_first_step"] = _exp(logs[-1])
    summary["gradient_of_the_last_step"] = _exp(logs[0])
    arrays = {f"lags_{name}": lags for name, (lags, _) in curves.items()}
    arrays |= {f"logs_{name}": logs for name, (_, logs) in curves.items()}
    return Measurement("gradients", subject.describe(), summary, frame, arrays)


def _exp(log: float) -> float:
    """0 or infinite where a float64 cannot hold it."""
    return math.inf if log > math.log(LARGEST["fp64"]) else math.exp(log)


def _double(leaf: Any) -> Any:
    return jnp.asarray(np.asarray(leaf, np.float64)) if eqx.is_inexact_array(leaf) else leaf


def _lags(time: int) -> np.ndarray:
    """From 1 to the number of steps."""
    return np.unique(
        np.round(np.concatenate([np.arange(1, min(time, 32) + 1), np.geomspace(1, time, LAGS)])).astype(int)
    )


def _step(network: Network, state: Array, x: Array, sizes: list[int], structure: Any) -> tuple[Array, Array]:
    """One step of all layers, from their states as one vector: the new one, and the top layer's
    output.
    """
    leaves = jnp.split(state, np.cumsum(sizes)[:-1].tolist())
    states = jax.tree.unflatten(structure, leaves)
    output, states = ways.one_step(network.layers, states, network.enter(x), network.between())
    return jnp.concatenate(jax.tree.leaves(states)), output


def _vector(network: Network, batch: int) -> tuple[Array, list[int], Any]:
    """The initial state of all layers as one vector, for a batch, the sizes of its parts, and their
    structure.
    """
    leaves, structure = jax.tree.flatten(ways.first_states(network.layers, batch))
    return jnp.concatenate(leaves), [leaf.shape[0] for leaf in leaves], structure


def _loss_gradients(
    subject: Subject, network: Network, x: Float[Array, "time inputs batch"]
) -> tuple[np.ndarray, np.ndarray]:
    """Lags up to the first step, and the logarithm of |dL/dh_t|; from 1 on where a state is on its
    way to the next step.
    """

    def outputs(moved: Array) -> Array:
        if not network.recurrent:
            states = ways.first_states(network.layers, x.shape[2])
            entered = jax.vmap(network.enter)(x) + moved
            return network.read_all(ways.plainly(network.layers, states, entered, network.between()), x)
        initial, sizes, structure = _vector(network, x.shape[2])

        def step(state: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            state, output = _step(network, state, given[0], sizes, structure)
            return state + given[1], output

        return network.read_all(jax.lax.scan(step, initial, (x, moved))[1], x)

    def loss(moved: Array) -> Array:
        if subject.task is None:
            return 0.5 * jnp.mean(outputs(moved)[:, -1] ** 2)
        sums = subject.task.measure(outputs(moved)[:, subject.task.first :], subject.draw)
        return sums["loss"] / sums["weight"]

    size = sum(_vector(network, 1)[1]) if network.recurrent else network.layers[0].units
    gradient = jax.jit(jax.grad(loss))(jnp.zeros((x.shape[0], size, x.shape[2])))
    logs = _log(np.asarray(jax.jit(_norms)(gradient)))[::-1]
    first = 1 if network.recurrent and len(logs) > 1 else 0
    return np.arange(first, len(logs)), logs[first:]


def _norms(gradient: Float[Array, "time units batch"]) -> Float[Array, " time"]:
    """With the largest entry of each step taken out before squaring."""
    largest = jnp.max(jnp.abs(gradient), axis=(1, 2))
    scale = jnp.where(largest > 0, largest, 1.0)[:, None, None]
    return largest * jnp.sqrt(jnp.sum((gradient / scale) ** 2, axis=(1, 2)))


def _log(values: np.ndarray) -> np.ndarray:
    """Natural logarithms; of what is no number, as after an overflow, infinite."""
    with np.errstate(divide="ignore"):
        return np.where(np.isnan(values), np.inf, np.log(np.abs(values)))


def _products(network: Network, x: Float[Array, "time inputs batch"], lags: np.ndarray) -> dict[str, np.ndarray]:
    """The logarithms of norms of products of Jacobians at the lags, of all of the state and along
    its vectors.
    """
    initial, sizes, structure = _vector(network, 1)
    parts = {"jacobian": slice(0, sum(sizes))}
    if len(network.cells[0].states) > 1:
        names = [f"layers.{l}.{name}" for l, cell in enumerate(network.cells) for name in cell.states]
        ends = np.cumsum(sizes).tolist()
        parts |= {name: slice(end - size, end) for name, end, size in zip(names, ends, sizes, strict=True)}
    wanted = np.isin(np.arange(1, x.shape[0] + 1), lags)

    def update(state: Array, x: Array) -> Array:
        return _step(network, state[:, None], x[:, None], sizes, structure)[0][:, 0]

    def one(x: Float[Array, "time inputs"]) -> dict[str, Array]:
        def forward(state: Array, x: Array) -> tuple[Array, Array]:
            return update(state, x), state

        before = jax.lax.scan(forward, initial[:, 0], x)[1]

        def back(carry: dict[str, tuple[Array, Array]], given: Any) -> Any:
            state, x, norm_wanted = given
            jacobian = jax.jacfwd(update)(state, x)
            carry = {name: _times(*carry[name], jacobian[part, part]) for name, part in parts.items()}
            norms = {
                name: jax.lax.cond(norm_wanted, _log_norm, lambda *_: jnp.zeros(()), *product)
                for name, product in carry.items()
            }
            return carry, norms

        start = {name: (jnp.eye(part.stop - part.start), jnp.zeros(())) for name, part in parts.items()}
        return jax.lax.scan(back, start, (before[::-1], x[::-1], jnp.asarray(wanted)))[1]

    found = jax.jit(lambda x: jax.lax.map(one, x))(jnp.moveaxis(x, 2, 0))
    return {name: _mean(np.asarray(logs)[:, lags - 1]) for name, logs in found.items()}


def _times(product: Array, log: Array, jacobian: Array) -> tuple[Array, Array]:
    """The product with one more Jacobian, its size kept as a logarithm."""
    product = product @ jacobian
    size = jnp.max(jnp.abs(product))
    return product / jnp.where(size > 0, size, 1.0), log + jnp.log(size)


def _log_norm(product: Array, log: Array) -> Array:
    return log + jnp.log(jnp.linalg.norm(product, 2))


def _mean(logs: Float[np.ndarray, "sequences lags"]) -> Float[np.ndarray, " lags"]:
    """Over sequences; where one vanishes for good and another explodes, the explosion counts. What
    is no number comes after an overflow, unless the same sequence had vanished before.
    """
    vanished = np.maximum.accumulate(np.isneginf(logs), axis=1)
    logs = np.where(np.isnan(logs), np.where(vanished, -np.inf, np.inf), logs)
    exploded = np.isposinf(logs).any(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(exploded, np.inf, logs.mean(axis=0))


def _rows(name: str, lags: np.ndarray, logs: np.ndarray) -> pd.DataFrame:
    with np.errstate(over="ignore", under="ignore"):
        return pd.DataFrame({"quantity": name, "lag": lags, "log10": logs / math.log(10), "norm": np.exp(logs)})


def _rate(lags: np.ndarray, logs: np.ndarray) -> float:
    """Growth of a product in nats a step: the slope over the second half of the lags."""
    if not np.isfinite(logs[-1]):
        return float(logs[-1])
    middle = int(np.searchsorted(lags, lags[-1] / 2))
    if middle >= len(lags) - 1:
        return float(logs[-1] / lags[-1])
    return float((logs[-1] - logs[middle]) / (lags[-1] - lags[middle]))


def _summary(lags: np.ndarray, logs: np.ndarray) -> dict[str, Any]:
    rate = _rate(lags, logs)
    found: dict[str, Any] = {
        "factor_per_step": _exp(rate),
        "lyapunov_exponent": rate,
    }
    for precision in PRECISIONS:
        for name, bound, sign in (
            ("horizon", SMALLEST_NORMAL[precision], -1.0),
            ("explosion", LARGEST[precision], 1.0),
        ):
            lag, extrapolated = _first_beyond(lags, sign * logs, sign * math.log(bound), sign * rate)
            found[f"{name}_{precision}"] = lag
            found[f"{name}_{precision}_extrapolated"] = extrapolated
    return found


def _first_beyond(lags: np.ndarray, values: np.ndarray, bound: float, rate: float) -> tuple[int | None, bool]:
    """The first lag at which a curve is above a bound, between lags on straight lines, behind the
    last one by its rate; and whether it lies there.
    """
    lags, values = np.concatenate([[0], lags]), np.concatenate([[0.0], values])
    above = np.flatnonzero(values > bound)
    if len(above):
        place = above[0]
        low, high = values[place - 1], values[place]
        if not np.isfinite(high) or not np.isfinite(low):
            return int(lags[place]), False
        exact = lags[place - 1] + (bound - low) / (high - low) * (lags[place] - lags[place - 1])
        return _next(float(exact)), False
    if rate <= 1e-12 or not np.isfinite(values[-1]):
        return None, False
    return _next(float(lags[-1] + (bound - values[-1]) / rate)), True


def _next(exact: float) -> int:
    """The least whole number above; what is whole but for rounding counts as whole."""
    nearest = round(exact)
    return nearest + 1 if abs(exact - nearest) < 1e-6 * max(1.0, exact) else math.floor(exact) + 1
