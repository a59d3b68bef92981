"""Autocorrelations R(D) = E[x_t x_{t+D}] of a stationary input: as a function, as measured, or as a sum of exponentials."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from capax.errors import CapaxError

MOST_LAGS = 10_000_000
"""Where a sum over lags does not end by itself."""


@dataclasses.dataclass(frozen=True)
class Exponentials:
    """R(D) = sum_k weights[k] rates[k]^D, and `white` more at D = 0. With one rate rho and weight 1: R(D) = rho^|D|."""

    weights: tuple[float, ...]
    rates: tuple[float, ...]
    white: float = 0.0

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.rates):
            raise CapaxError(
                f"an autocorrelation needs as many weights as rates, not {len(self.weights)} and {len(self.rates)}."
            )
        wrong = next((rate for rate in self.rates if not 0 <= rate <= 1), None)
        if wrong is not None:
            raise CapaxError(f"rates of an autocorrelation must be from 0 to 1, not {wrong}.")

    def __call__(self, lag: int) -> float:
        total = sum(weight * rate**lag for weight, rate in zip(self.weights, self.rates, strict=True))
        return total + (self.white if lag == 0 else 0.0)

    def sums(self, a: Any) -> tuple[Any, Any]:
        """F(a) = sum_{D >= 1} a^D R(D), and a F'(a); a may be complex, an array, or traced by JAX."""
        total = slope = 0.0 * a
        for weight, rate in zip(self.weights, self.rates, strict=True):
            q = rate * a
            total = total + weight * q / (1 - q)
            slope = slope + weight * q / (1 - q) ** 2
        return total, slope


@dataclasses.dataclass(frozen=True)
class Lags:
    """R(0), R(1), .. as measured; 0 beyond the last."""

    values: tuple[float, ...]

    def __call__(self, lag: int) -> float:
        return self.values[lag] if lag < len(self.values) else 0.0

    def sums(self, a: Any) -> tuple[Any, Any]:
        """As `Exponentials.sums`, by Horner's rule."""
        total = slope = 0.0 * a
        for lag in range(len(self.values) - 1, 0, -1):
            total = (total + self.values[lag]) * a
            slope = (slope + lag * self.values[lag]) * a
        return total, slope


@dataclasses.dataclass(frozen=True)
class Function:
    """R as a function of the lag, summed until what is left cannot matter."""

    function: Callable[[int], float]

    def __call__(self, lag: int) -> float:
        return float(self.function(lag))

    def sums(self, a: Any) -> tuple[Any, Any]:
        """As `Exponentials.sums`; |a| must be below 1."""
        modulus = float(np.max(np.abs(np.asarray(a))))
        lags = 1 if modulus == 0 else math.ceil(math.log(1e-18) / math.log(modulus))
        if lags > MOST_LAGS:
            raise CapaxError(
                f"a sum over lags with |lambda| = {modulus} needs {lags} lags; give the autocorrelation as exponentials."
            )
        return Lags(tuple(self(lag) for lag in range(lags + 1))).sums(a)


Autocorrelation = Exponentials | Lags | Function


def make(given: "Autocorrelation | Callable[[int], float] | Sequence[float] | np.ndarray | float") -> Autocorrelation:
    """An autocorrelation from a function of the lag, an array R(0), R(1), .., or a number rho for R(D) = rho^|D|."""
    if isinstance(given, Exponentials | Lags | Function):
        return given
    if isinstance(given, int | float):
        return Exponentials((1.0,), (float(given),))
    if callable(given):
        return Function(given)
    values = np.asarray(given, float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise CapaxError("a measured autocorrelation must be a list of finite numbers R(0), R(1), ..")
    return Lags(tuple(map(float, values)))


def measure(x: Float[np.ndarray, "sequences time features"], lags: int | None = None) -> Lags:
    """The autocorrelation of data, each feature's mean taken out, averaged over sequences, times, and features.

    `lags`: how many to measure beside R(0), by default half of the length. Unbiased: a lag's sum is divided by its number of pairs.
    """
    if x.ndim != 3 or x.shape[1] < 2:
        raise CapaxError(
            f"sequences must be (sequences, time, features) with at least two time steps, not of shape {x.shape}."
        )
    centred = x - x.mean(axis=(0, 1), keepdims=True)
    time = x.shape[1]
    most = time // 2 if lags is None else min(lags, time - 1)
    size = 2 ** math.ceil(math.log2(2 * time))
    power = np.abs(np.fft.rfft(centred, size, axis=1)) ** 2
    sums = np.fft.irfft(power.mean(axis=(0, 2)), size)[: most + 1]
    return Lags(tuple(map(float, sums / (time - np.arange(most + 1)))))


def fit(measured: Lags, rates: Sequence[float] | None = None) -> Exponentials:
    """A sum of exponentials with weights of at least 0 and a white part, by non-negative least squares over a grid of rates."""
    grid = tuple(1 - np.geomspace(1, 1e-4, 33)[1:]) if rates is None else tuple(rates)
    lag = np.arange(len(measured.values))
    design = np.column_stack([*(rate**lag for rate in np.asarray(grid)), lag == 0])
    found, _ = nnls(design, np.asarray(measured.values))
    kept = [(float(weight), float(rate)) for weight, rate in zip(found[:-1], grid, strict=True) if weight > 0]
    return Exponentials(tuple(weight for weight, _ in kept), tuple(rate for _, rate in kept), float(found[-1]))
