"""Forecasts as a table."""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from capax.jobs.forecast import Forecasting


def frame(
    preparation: Forecasting,
    series: str | None,
    stamps: Shaped[np.ndarray, " steps"] | None,
    quantiles: Float[np.ndarray, "steps targets levels"],
    levels: Sequence[float],
) -> pd.DataFrame:
    """The forecast of one series: its name, where there are several, and the time stamps, where
    there are any; "step" ahead, from 1; and for each target and level a column such as
    "temperature q0.5".
    """
    steps = np.arange(len(quantiles))
    columns: dict[str, Any] = {}
    if series is not None:
        columns[preparation.series or "series"] = [series] * len(steps)
    if preparation.time is not None and stamps is not None:
        columns[preparation.time] = stamps
    parts = [pd.DataFrame({**columns, "step": steps + 1})]
    for target, name in enumerate(preparation.targets):
        parts.append(by_level(quantiles[:, target], levels, f"{name} "))
    return pd.concat(parts, axis=1)


def in_zone(found: pd.DataFrame, time: str | None, zone: datetime.tzinfo | None) -> pd.DataFrame:
    """The same forecasts with their time stamps, which are in UTC, in a zone; without one, as they
    are.
    """
    if zone is None or time is None or time not in found or found[time].dtype.kind != "M":
        return found
    return found.assign(**{time: found[time].dt.tz_localize("UTC").dt.tz_convert(zone)})


def by_level(quantiles: Float[np.ndarray, "steps levels"], levels: Sequence[float], prefix: str = "") -> pd.DataFrame:
    """A column for each level."""
    names = [f"{prefix}q{level:g}" for level in levels]
    return pd.DataFrame(quantiles, columns=names)  # pyright: ignore[reportArgumentType]
