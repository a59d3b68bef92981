"""Scaling: features with mean 0 and standard deviation 1, measured on training data alone."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from capax.data.sequences import Sequences
from capax.errors import CapaxError


@dataclasses.dataclass(frozen=True)
class Scaler:
    """`mean` and `deviation` of each feature. A feature that is constant has a deviation of 1: it
    becomes 0."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.deviation):
            raise CapaxError("a scaler has as many deviations as means.")
        if not all(map(math.isfinite, (*self.mean, *self.deviation))) or not all(d > 0 for d in self.deviation):
            raise CapaxError("a scaler has finite means, and finite deviations above 0.")

    @staticmethod
    def fit(training: Sequences) -> "Scaler":
        """From the real steps of training sequences; missing values do not count.

        Raises `CapaxError` for a feature without any value.
        """
        means, deviations = [], []
        for feature, column in zip(training.features, training.values[training.real].T, strict=True):
            known = column[~np.isnan(column)]
            if not len(known):
                raise CapaxError(f"'{feature}' has no value in the training data; leave it out.")
            mean, deviation = float(known.mean()), float(known.std())
            constant = deviation <= 1e-12 * max(1.0, abs(mean))  # what rounding leaves of a constant
            means.append(mean)
            deviations.append(1.0 if constant else deviation)
        return Scaler(tuple(means), tuple(deviations))

    def scale(self, values: Float[np.ndarray, "*any features"]) -> Float[np.ndarray, "*any features"]:
        """(values - mean) / deviation; what is missing stays so."""
        return (values - np.asarray(self.mean)) / np.asarray(self.deviation)

    def restore(self, scaled: Float[np.ndarray, "*any features"]) -> Float[np.ndarray, "*any features"]:
        """The inverse of `scale`."""
        return scaled * np.asarray(self.deviation) + np.asarray(self.mean)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}

    @staticmethod
    def from_json(given: dict[str, Any]) -> "Scaler":
        """A scaler as `to_json` gave it. Raises `CapaxError` for anything else."""
        found = [given.get(name) for name in ("mean", "deviation")]
        if not all(isinstance(part, list) and all(isinstance(x, int | float) for x in part) for part in found):
            raise CapaxError("this is no scaler: lists of numbers named 'mean' and 'deviation' are due.")
        mean, deviation = ([float(x) for x in part] for part in found if part is not None)
        return Scaler(tuple(mean), tuple(deviation))
