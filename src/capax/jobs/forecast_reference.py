"""A linear autoregression of all series together, on top of which a network forecasts.

For each target and each step of the horizon it is one linear regression on the last values, those
of the same time in the last seasons, the level, the calendar, and covariates (a direct forecast;
Marcellino, Stock & Watson 2006). Like the network it sees targets relative to the anchor, in units
of the usual change, so that series of different sizes share it.

Symbols: terms (windows, horizon, targets, terms); weights (targets, horizon, terms); forecasts
(windows, horizon, targets).
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from capax.errors import CapaxError

BOUND = 10.0
"""Relative values are cut here, so that what was never seen in training disturbs less."""
SEASONS = 2
"""So many seasons back it looks."""

Nested = tuple[Any, ...]
"""Numbers in tuples of tuples: an array that can be compared and hashed."""


@dataclasses.dataclass(frozen=True)
class Autoregression:
    """`lags`: how many last values it sees; `calendar`: which features of it; `weights` (targets,
    horizon, terms); `quantiles` (targets, horizon, levels) of its errors, and their `spread`
    (targets, horizon), above 0. All in units of the usual change.
    """

    lags: int
    calendar: tuple[str, ...]
    weights: Nested
    quantiles: Nested
    spread: Nested

    def __post_init__(self) -> None:
        shapes = [np.shape(part) for part in (self.weights, self.quantiles, self.spread)]
        if self.lags < 1 or [len(shape) for shape in shapes] != [3, 3, 2] or len({shape[:2] for shape in shapes}) > 1:
            raise CapaxError("an autoregression has weights, quantiles, and a spread for each target and step ahead.")
        if not all(np.isfinite(part).all() for part in self.arrays) or not (self.arrays[2] > 0).all():
            raise CapaxError("an autoregression has finite numbers, and spreads above 0.")

    @functools.cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`weights`, `quantiles`, and `spread`, float32."""
        return tuple(np.asarray(part, np.float32) for part in (self.weights, self.quantiles, self.spread))  # pyright: ignore[reportReturnType]

    @property
    def shape(self) -> tuple[int, ...]:
        """Targets, horizon, terms, and levels."""
        return *self.arrays[0].shape, self.arrays[1].shape[2]

    @staticmethod
    def of(
        lags: int, calendar: Sequence[str], weights: np.ndarray, quantiles: np.ndarray, spread: np.ndarray
    ) -> "Autoregression":
        """From arrays, rounded to float32."""
        return Autoregression(lags, tuple(calendar), *(_nested(part) for part in (weights, quantiles, spread)))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {
            "lags": self.lags,
            "calendar": self.calendar,
            "weights": self.weights,
            "quantiles": self.quantiles,
            "spread": self.spread,
        }

    @staticmethod
    def from_json(given: Any) -> "Autoregression":
        """An autoregression as `to_json` gave it. Raises `CapaxError` for anything else."""
        names = ("weights", "quantiles", "spread")
        try:
            parts = [np.asarray(given[name], np.float32) for name in names]
            lags, calendar = given["lags"], given["calendar"]
        except (KeyError, TypeError, ValueError):
            raise CapaxError("this is no autoregression: lags, weights, quantiles, and spread are due.") from None
        if not isinstance(lags, int) or isinstance(lags, bool) or set(given) != {"lags", "calendar", *names}:
            raise CapaxError("this is no autoregression: 'lags' must be a whole number, and nothing else be there.")
        if not isinstance(calendar, list | tuple) or not all(isinstance(name, str) for name in calendar):
            raise CapaxError("this is no autoregression: 'calendar' must be texts.")
        return Autoregression.of(lags, calendar, *parts)


def _nested(array: Any) -> Any:
    return tuple(map(_nested, array)) if np.ndim(array) else float(np.float32(array))


def count(lags: int, season: int, phases: int, covariates: int) -> int:
    """How many terms there are."""
    return 2 + (SEASONS if season > 1 else 0) + 2 * phases + covariates + lags - 1


def terms(
    xp: Any,
    arrays: Mapping[str, Any],
    series: Any,
    origins: Any,
    sizes: tuple[int, int, int, int],
    phases: Sequence[int],
) -> Any:
    """What the regression sees, (windows, horizon, targets, terms): 1; the level; the last seasons;
    covariates known until the origin, then those known ahead; the calendar; and the lags.

    **Arguments:** `xp`: numpy, or jax.numpy; `arrays`, as `Forecasting.arrays` gives them; `sizes`:
    horizon, lags, season, and the number of covariates that are known until the origin alone;
    `phases`: the numbers of the calendar's features that it sees.
    """
    horizon, lags, season, past = sizes
    anchor, begins = arrays["last"][origins - 1], arrays["begins"][series][:, None]
    windows, targets = anchor.shape

    def relative(at: Any) -> Any:  # (windows, some) to (windows, some, targets)
        there = at >= begins
        value = arrays["last"][xp.where(there, at, begins)] - anchor[:, None]
        return xp.where(there[..., None], xp.clip(value, -BOUND, BOUND), 0.0)

    def everywhere(values: Any) -> Any:  # (windows, horizon or 1, targets or 1, some)
        return xp.broadcast_to(values, (windows, horizon, targets, values.shape[-1]))

    level = xp.clip(anchor * arrays["ratio"][series], -BOUND, BOUND)[:, None, :, None]
    step = np.arange(horizon)[None]
    at = origins[:, None] + step
    found = [everywhere(xp.ones_like(level)), everywhere(level)]
    if season > 1:
        same = origins[:, None] + step % season
        found += [everywhere(relative(same - number * season)[..., None]) for number in range(1, SEASONS + 1)]
    angles = 2 * np.pi * arrays["phases"][at][:, :, None, list(phases)]
    covariates = xp.clip(arrays["covariates"], -BOUND, BOUND)
    found.append(everywhere(covariates[origins - 1][:, None, None, :past]))
    found.append(everywhere(covariates[at][:, :, None, past:]))
    found += [everywhere(part) for number in range(len(phases)) for part in _circle(xp, angles[..., number])]
    before = relative(origins[:, None] - np.arange(2, lags + 1)[None])
    found.append(everywhere(xp.swapaxes(before, 1, 2)[:, None]))
    return xp.concatenate(found, axis=-1)


def _circle(xp: Any, angle: Any) -> tuple[Any, Any]:
    return xp.sin(angle)[..., None], xp.cos(angle)[..., None]


def forecasts(xp: Any, seen: Any, weights: Any) -> Any:
    """Forecasts relative to the anchor (windows, horizon, targets), of terms and weights, which are
    (targets, horizon, terms), or of each window its own, with the windows first.
    """
    of_windows = weights if weights.ndim == 4 else weights[None]
    return xp.sum(seen * xp.swapaxes(of_windows, 1, 2), axis=-1)
