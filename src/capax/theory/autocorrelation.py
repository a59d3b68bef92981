"""Autocorrelations R(D) = E[x_t x_{t+D}] of a stationary input: as a function, as measured, or as a
sum of exponentials."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from capax.errors import CapaxError

MOST_LAGS = 10_000_000
"""Where a sum over lags does not end by itself."""

MOST_POWERS = 2**22
"""Powers of eigenvalues that are in memory at the same time."""


@dataclasses.dataclass(frozen=True)
class Exponentials:
    """R(D) = sum_k weights[k] rates[k]^D, and `white` more at D = 0. With one rate rho and weight
    1: R(D) = rho^|D|."""

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
        """F(a) = sum_{D >= 1} a^D R(D), and a F'(a); a: complex, an array, or traced by JAX."""
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
        """As `Exponentials.sums`."""
        return _power_sums(np.asarray(self.values[1:]), a)


@dataclasses.dataclass(frozen=True)
class Function:
    """R as a function of the lag, summed until what is left cannot matter.

    A function that takes an array of lags is called once with all of them, any other once a lag.
    """

    function: Callable[[Any], Any]

    def __call__(self, lag: int) -> float:
        return float(self.function(lag))

    def sums(self, a: Any) -> tuple[Any, Any]:
        """As `Exponentials.sums`; NaN where |a| is 1 or more, because the sum need not have a value
        there.

        Raises `CapaxError` where |a| is so close to 1 that the sum would not end in time.
        """
        moduli = np.abs(np.asarray(a))
        modulus = float(np.max(moduli, where=moduli < 1, initial=0.0))
        lags = 1 if modulus == 0 else math.ceil(math.log(1e-18) / math.log(modulus))
        if lags > MOST_LAGS:
            raise CapaxError(
                f"a sum over lags with |lambda| = {modulus} needs {lags} lags; give the autocorrelation as exponentials."
            )
        inside = a if (moduli < 1).all() else jnp.where(moduli < 1, a, jnp.nan)
        return _power_sums(self._at(lags), inside)

    def _at(self, lags: int) -> Float[np.ndarray, " lags"]:
        """R(1), .., R(lags)."""
        every = np.arange(1.0, lags + 1)  # floats: powers of whole numbers would overflow
        try:
            values = np.asarray(self.function(every), float)
            checked = {0, lags // 2, lags - 1}
            if values.shape == every.shape and all(np.isclose(values[k], self(k + 1), rtol=1e-4) for k in checked):
                return values
        except Exception:  # the user's function is made for one lag at a time
            pass
        return np.asarray([self(lag) for lag in range(1, lags + 1)])


def _power_sums(values: Float[np.ndarray, " lags"], a: Any) -> tuple[Any, Any]:
    """sum_k values[k - 1] a^k and sum_k k values[k - 1] a^k over k = 1, 2, ..

    With k - 1 = i + width * j the sum is one product over i for each j, and one over j: about
    sqrt(lags) powers of `a` are in memory, not all of them.
    """
    xp = jnp if isinstance(a, jax.Array) else np
    flat = xp.reshape(xp.asarray(a), (-1,))
    width = max(1, math.isqrt(len(values)))
    rows = -(-len(values) // width)
    weighted = np.stack([values, values * np.arange(1, len(values) + 1)])
    table = np.pad(weighted, ((0, 0), (0, rows * width - len(values)))).reshape(2, rows, width)
    at_once = max(1, MOST_POWERS // max(1, rows + width))
    parts = []
    for begin in range(0, flat.shape[0], at_once):
        part = flat[begin : begin + at_once]
        short = _powers(xp, part, width)
        long = _powers(xp, short[:, -1] * part, rows)
        parts.append(xp.einsum("ai,kji,aj->ka", short, table, long, optimize=True) * part[None])
    total, slope = xp.concatenate(parts, axis=1).reshape(2, *np.shape(a))
    return total, slope


def _powers(xp: Any, a: Any, number: int) -> Any:
    """a^0, .., a^(number - 1), by doubling: no logarithm, so that `a` may be 0 and have a
    derivative."""
    powers, factor = xp.ones_like(a)[:, None], a[:, None]
    while powers.shape[1] < number:
        powers, factor = xp.concatenate([powers, powers * factor], axis=1), factor * factor
    return powers[:, :number]


Autocorrelation = Exponentials | Lags | Function


def make(given: "Autocorrelation | Callable[[int], float] | Sequence[float] | np.ndarray | float") -> Autocorrelation:
    """An autocorrelation from a function of the lag, an array R(0), R(1), .., or a number rho for
    R(D) = rho^|D|."""
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
    """The autocorrelation of data, each feature's mean taken out, averaged over sequences, times,
    and features.

    `lags`: how many to measure beside R(0), by default half of the length. Unbiased: a lag's sum is
    divided by its number of pairs.
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
    """A sum of exponentials with weights of at least 0 and a white part, by non-negative least
    squares over a grid of rates."""
    grid = tuple(1 - np.geomspace(1, 1e-4, 33)[1:]) if rates is None else tuple(rates)
    lag = np.arange(len(measured.values))
    design = np.column_stack([*(rate**lag for rate in np.asarray(grid)), lag == 0])
    found, _ = nnls(design, np.asarray(measured.values))
    kept = [(float(weight), float(rate)) for weight, rate in zip(found[:-1], grid, strict=True) if weight > 0]
    return Exponentials(tuple(weight for weight, _ in kept), tuple(rate for _, rate in kept), float(found[-1]))
