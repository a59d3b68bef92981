"""What a network forecasts of windows: quantiles in the unit of the targets."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from capax.fitting.forecast_baselines import Quantiles
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_scales import Scale, stacked
from capax.jobs.forecast_split import Windows
from capax.networks.parts import Assembled
from capax.tasks import forecast_windows

BATCH = 256


class Forward:
    """A network's quantiles of windows. It is compiled once for each size of arrays; to have few
    sizes, arrays are made longer to a power of 2.
    """

    def __init__(self, network: Assembled, preparation: Forecasting):
        self._network, self._preparation = network, preparation

        @eqx.filter_jit
        def batch(network: Any, arrays: Any, series: jax.Array, origins: jax.Array) -> tuple[jax.Array, jax.Array]:
            expected = forecast_windows.reference(preparation, arrays, series, origins)
            seen = forecast_windows.inputs(preparation, arrays, series, origins, expected)
            outputs = network(jnp.moveaxis(seen, 2, 0))[:, preparation.context :]
            found = forecast_windows.quantiles(preparation, jnp.transpose(outputs, (2, 1, 0)))
            relative = jnp.transpose(found, (3, 2, 0, 1)) + expected[..., None]
            return relative, forecast_windows.anchors(arrays, origins)

        self._batch = batch

    def __call__(self, arrays: dict[str, np.ndarray], windows: Windows, scales: Sequence[Scale]) -> Quantiles:
        """Quantiles in order of size.

        **Arguments:** `arrays`, as the preparation gives them; `scales` of the series.
        """
        steps, number = len(arrays["last"]), len(windows.origins)
        size = min(BATCH, _power(number))
        on_device = {name: jnp.asarray(_longer(array, steps)) for name, array in arrays.items()}
        outputs, anchors = [], []
        for begin in range(0, number, size):
            chosen = np.minimum(np.arange(begin, begin + size), number - 1)
            series, origins = (part[chosen].astype(np.int32) for part in (windows.series, windows.origins))
            found = self._batch(self._network, on_device, jnp.asarray(series), jnp.asarray(origins))
            outputs.append(np.asarray(found[0], np.float64))
            anchors.append(np.asarray(found[1], np.float64))
        relative, count = np.concatenate(outputs)[:number], len(self._preparation.targets)
        scaled = np.sort(relative + np.concatenate(anchors)[:number, None, :, None], axis=-1)
        mean, _, change = stacked(scales)
        return scaled * change[windows.series][:, None, :, None] + mean[windows.series][:, None, :count, None]


def _power(size: int) -> int:
    """The power of 2 that is as large, or the next."""
    return 1 << max(0, size - 1).bit_length()


def _longer(array: np.ndarray, steps: int) -> np.ndarray:
    """An array of so many steps, with zeros behind them that no window reads; else as it is."""
    if len(array) != steps:
        return array
    return np.concatenate([array, np.zeros((_power(steps) - steps, *array.shape[1:]), array.dtype)])


def at_levels(
    quantiles: Quantiles, trained: Sequence[float], wanted: Sequence[float]
) -> Float[np.ndarray, "windows horizon targets wanted"]:
    """Quantiles at other levels, interpolated between the nearest trained ones; beyond these, that
    of the last.
    """
    above = np.clip(np.searchsorted(trained, wanted), 1, max(1, len(trained) - 1))
    if len(trained) == 1:
        return np.repeat(quantiles, len(wanted), axis=-1)
    low, high = np.asarray(trained)[above - 1], np.asarray(trained)[above]
    share = np.clip((np.asarray(wanted) - low) / (high - low), 0.0, 1.0)
    return quantiles[..., above - 1] * (1 - share) + quantiles[..., above] * share
