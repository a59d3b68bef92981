"""How long what drives a network stays alike: the autocorrelation of its inputs and of each layer's
outputs (Zucchet & Orvieto 2024, Recurrent neural networks: vanishing and exploding gradients are
not the end of the story).
"""

import equinox as eqx
import numpy as np
import pandas as pd
from jaxtyping import Float

from capax.errors import CapaxError
from capax.probes.measurement import Measurement, finite_or_infinite
from capax.probes.subject import Subject, layer_outputs
from capax.theory import autocorrelation, moments
from capax.theory.autocorrelation import Exponentials, Lags

MEMORY = np.geomspace(1, 1000, 31)
"""Steps t for which a unit with |lambda| = 1 - 1/t remembers."""

INPUT = "input"

WINDOW = 5
"""Correlation times that are summed over to get one."""


def measure(subject: Subject, *, lags: int = 128) -> Measurement:
    """How long inputs and layers' outputs stay alike: their autocorrelation, and a sum of
    exponentials fitted to it.

    R(D) = E[x_t x_{t+D}], each feature's mean taken out, over sequences, times, and features;
    features of symbols are one-hot. The table has R(D) / R(0), as measured and as fitted with
    weights of at least 0 and a white part. Such a fit is convex: it is coarse where R starts flat,
    as behind a recurrence; "fit_error" is the largest distance of the two.

    For the inputs and each layer: the variance R(0), and the correlation time, the sum of R(D) /
    R(0) over D >= 0, in steps. The sum ends at the first lag that is 5 times the sum or more, since
    what lies beyond is noise (Sokal 1997, Monte Carlo methods in statistical mechanics). Where
    nothing varies, what is divided by R(0) is undefined, NaN.

    The arrays have, one row a sequence, what `theory.moments` predicts from the fit for a unit that
    reads one such feature, with a real lambda = 1 - 1/t for the steps t in "memory": "state" E h^2
    and "sensitivity" E (dh/dlambda)^2.

    Options: `lags`, how many to measure beside 0, as far as sequences are longer. Units: lags and
    times in steps, variances those of the sequence, squared. Source: Zucchet & Orvieto 2024, on the
    autocorrelation of real sequences. Raises `CapaxError` for no lags, or sequences of fewer than
    two steps.
    """
    if lags < 1:
        raise CapaxError(f"probe autocorrelation: lags must be at least 1, not {lags}.")
    subject = subject.of_one_length()
    layers = eqx.filter_jit(layer_outputs)(subject.network, subject.inputs)
    sequences = {INPUT: subject.inputs, **{f"layer {number}": outputs for number, outputs in enumerate(layers)}}
    frames, summary, states, sensitivities = [], {}, [], []
    for name, values in sequences.items():
        measured = _measured(np.transpose(np.asarray(values, np.float64), (2, 0, 1)), lags)
        fitted, scale = _fitted(measured), measured[0]
        frames.append(_table(name, measured, fitted))
        slug, relative = name.replace(" ", "_"), frames[-1]["measured"].to_numpy()
        summary[f"{slug}_variance"] = float(scale)
        summary[f"{slug}_correlation_time"] = _correlation_time(relative)
        with np.errstate(invalid="ignore"):
            summary[f"{slug}_fit_error"] = float(np.max(np.abs(frames[-1]["fitted"].to_numpy() - relative)))
        state, sensitivity = _predicted(fitted, scale)
        states.append(state)
        sensitivities.append(sensitivity)
    arrays = {"memory": MEMORY, "state": np.stack(states), "sensitivity": np.stack(sensitivities)}
    return Measurement("autocorrelation", subject.describe(), summary, pd.concat(frames, ignore_index=True), arrays)


def _measured(x: Float[np.ndarray, "sequences time features"], lags: int) -> np.ndarray:
    """R(0), R(1), ..; all infinite of what overflowed."""
    if not np.isfinite(x).all():
        return np.full(min(lags, x.shape[1] - 1) + 1, np.inf)
    return np.asarray(autocorrelation.measure(x, lags).values)


def _correlation_time(relative: np.ndarray) -> float:
    sums = np.cumsum(relative)
    beyond = np.flatnonzero(
        np.arange(len(sums)) >= WINDOW * np.fmax(sums, 1.0)
    )  # fmax: at least the lag 0 of white noise
    return float(sums[beyond[0] if len(beyond) else -1])


def _fitted(measured: np.ndarray) -> Exponentials | None:
    """A fit of R(D) / R(0), None where there is nothing to fit."""
    scale = measured[0]
    if not 0 < scale < np.inf:
        return None
    return autocorrelation.fit(Lags(tuple(map(float, measured / scale))))


def _table(name: str, measured: np.ndarray, fitted: Exponentials | None) -> pd.DataFrame:
    lag = np.arange(len(measured))
    if fitted is not None:
        shown, fit = measured / measured[0], np.asarray([fitted(int(D)) for D in lag])
    else:
        shown = fit = np.full(len(lag), np.inf if np.isinf(measured[0]) else np.nan)
    return pd.DataFrame({"sequence": name, "lag": lag, "measured": shown, "fitted": fit})


def _predicted(fitted: Exponentials | None, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """E h^2 and E (dh/dlambda)^2 at each memory: both are proportional to R."""
    if fitted is None:
        return np.full(len(MEMORY), scale), np.full(len(MEMORY), scale)  # 0 of nothing, infinite of what overflowed
    lam = 1 - 1 / MEMORY
    found = (moment(lam, fitted) for moment in (moments.state_variance, moments.sensitivity_variance))
    state, sensitivity = (scale * finite_or_infinite(values) for values in found)
    return state, sensitivity
