"""Windows of series, gathered from long arrays as they are needed: a network's inputs before and
behind an origin.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from capax.jobs import forecast_reference as linear
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_reference import BOUND

Arrays = Mapping[str, Array]
"""What `Forecasting.arrays` gives."""


def anchors(arrays: Arrays, origins: Int[Array, " batch"]) -> Float[Array, "batch targets"]:
    """The last known values before each origin, in units of change."""
    return arrays["last"][origins - 1]


def reference(
    preparation: Forecasting,
    arrays: Arrays,
    series: Int[Array, " batch"],
    origins: Int[Array, " batch"],
    weights: Float[Array, "batch targets horizon terms"] | None = None,
) -> Float[Array, "batch horizon targets"]:
    """What is expected without a network, relative to the anchor: the forecasts of the linear
    autoregression, with its own weights, or those of each window; 0 where there is none.
    """
    found = preparation.reference
    if found is None:
        return jnp.zeros((len(origins), preparation.horizon, len(preparation.targets)))
    sizes = preparation.horizon, found.lags, preparation.season, len(preparation.past)
    phases = [preparation.calendar.index(name) for name in found.calendar]
    seen = linear.terms(jnp, arrays, series, origins, sizes, phases)
    return linear.forecasts(jnp, seen, found.arrays[0] if weights is None else weights)


def quantiles(
    preparation: Forecasting, outputs: Float[Array, "outputs horizon batch"]
) -> Float[Array, "targets levels horizon batch"]:
    """Quantiles relative to what is expected, of a network's outputs: outputs of 0 are those of the
    autoregression's errors.
    """
    split = outputs.reshape(len(preparation.targets), len(preparation.levels), *outputs.shape[1:])
    if preparation.reference is None:
        return split
    _, errors, spread = preparation.reference.arrays
    return jnp.swapaxes(jnp.asarray(errors), 1, 2)[..., None] + spread[:, None, :, None] * split


def inputs(
    preparation: Forecasting,
    arrays: Arrays,
    series: Int[Array, " batch"],
    origins: Int[Array, " batch"],
    expected: Float[Array, "batch horizon targets"],
) -> Float[Array, "time features batch"]:
    """What a network sees (`Forecasting.features`). Of targets and of covariates that are known
    until the origin, it reads nothing from the origin on. `expected`: what `reference` gives.
    """
    ahead = jnp.arange(-preparation.context, preparation.horizon)[:, None]
    at = origins[None] + ahead
    real = at >= arrays["begins"][series][None]
    before, behind = real & (ahead < 0), jnp.broadcast_to(ahead >= 0, at.shape)
    safe = jnp.where(real, at, origins[None])
    anchor = anchors(arrays, origins)
    parts = [_relative(arrays, safe, before, anchor)]
    if preparation.season > 1:
        parts.append(_seasonal(preparation, arrays, series, origins, ahead, anchor))
    level = jnp.broadcast_to(_squashed(anchor * arrays["ratio"][series]), (len(ahead), *anchor.shape))
    far = jnp.broadcast_to(jnp.maximum(ahead + 1, 0) / preparation.horizon, at.shape)[..., None]
    parts += [level, level * far]
    if preparation.reference is not None:
        context = ((preparation.context, 0), (0, 0), (0, 0))
        parts.append(jnp.pad(jnp.clip(jnp.swapaxes(expected, 0, 1), -BOUND, BOUND), context))
    past, shown = len(preparation.past), before[..., None]
    covariates = jnp.clip(arrays["covariates"][safe], -BOUND, BOUND)
    parts.append(jnp.where(shown, covariates[..., :past], 0.0))
    parts.append(jnp.where(real[..., None], covariates[..., past:], 0.0))
    parts.append(_missing(preparation, arrays, safe, before, real))
    parts += [before[..., None].astype(jnp.float32), behind[..., None].astype(jnp.float32), far]
    angles = 2 * jnp.pi * arrays["phases"][safe]
    for number in range(len(preparation.calendar)):
        angle = angles[..., number : number + 1]
        parts += [jnp.where(real[..., None], part, 0.0) for part in (jnp.sin(angle), jnp.cos(angle))]
    return jnp.moveaxis(jnp.concatenate(parts, axis=-1), -1, 1)


def _relative(
    arrays: Arrays, at: Int[Array, "time batch"], shown: Array, anchor: Float[Array, "batch targets"]
) -> Float[Array, "time batch targets"]:
    """Targets relative to the anchor where they are shown, else 0."""
    values = arrays["last"][at] - anchor[None]
    return jnp.where(shown[..., None], jnp.clip(values, -BOUND, BOUND), 0.0)


def _seasonal(
    preparation: Forecasting,
    arrays: Arrays,
    series: Int[Array, " batch"],
    origins: Int[Array, " batch"],
    ahead: Int[Array, "time one"],
    anchor: Float[Array, "batch targets"],
) -> Float[Array, "time batch targets"]:
    """Targets at the same time of the last season that is known: of a step in the context one
    season before it, of one in the horizon the last that lies before the origin.
    """
    season = preparation.season
    back = season * jnp.where(ahead < 0, 1, ahead // season + 1)
    at = origins[None] + ahead - back
    there = at >= arrays["begins"][series][None]
    return _relative(arrays, jnp.where(there, at, origins[None]), there, anchor)


def _missing(preparation: Forecasting, arrays: Arrays, at: Array, before: Array, real: Array) -> Array:
    """1 where a column has no value, as far as it may be seen."""
    ahead = jnp.array([name in preparation.future for name in preparation.gaps], bool)
    seen = jnp.where(ahead, real[..., None], before[..., None])
    return jnp.where(seen, arrays["missing"][at], 0.0)


def _squashed(x: Array) -> Array:
    """From -1 to 1."""
    return jnp.tanh(x / 2)
