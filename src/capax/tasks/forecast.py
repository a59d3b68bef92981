"""Forecasts of a user's own series: quantiles of the steps behind an origin."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from capax.cells.sequence import Dense
from capax.data import zones
from capax.errors import CapaxError
from capax.hyperparameters import Interval
from capax.jobs.forecast import LEVELS, Forecasting
from capax.jobs.forecast_fitting_reference import block_of
from capax.jobs.forecast_preparing import REFERENCES, Prepared, Wishes, prepare
from capax.jobs.forecast_split import LEAST_BEFORE
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks import forecast_windows as gathering
from capax.tasks.batch import SequenceBatch
from capax.tasks.from_file import FromFile
from capax.tasks.options import option
from capax.tasks.task import Scalars, Split, Sums

LEAST_CHANCE = 0.01
"""Of the loss by which divergence is judged: that of a constant series is 0."""

SCALED = (
    "scaled pinball loss: in units of the usual change of each target within the horizon, as training has it, and not "
    "in the target's own unit"
)

PASSES, LEAST_STEPS = 25, 200
"""docs/decisions/forecasting.md has what was measured."""


@dataclasses.dataclass(frozen=True)
class Forecast(FromFile[Prepared]):
    """Windows of the series of a file: training windows at random origins, held-out ones evenly
    spaced. Parts are cut by time: the last `share` of each series is for evaluation, the `share`
    before it for validation.

    Options: `target`, the columns that are forecast, several with commas between; `time` and
    `series`, the columns of these roles; `covariates`, known until the origin, and `future`, known
    in the horizon, too; `horizon`, `context`, and `season` in steps; `quantiles`, their levels;
    `encoding` and `decimal` mark of the file; `batch_size`. `reference`: "anchor", outputs are
    relative to the last known value; "autoregression", to a linear autoregression, which the
    network then corrects. What is not given is found, or usual.

    Outputs are the quantiles of the first target, then those of the next. The loss is the mean
    pinball loss over quantiles, targets, and steps, in units of the usual change in the horizon:
    the scaled pinball loss.
    """

    name: ClassVar[str] = "forecast"
    reporting: ClassVar[Reporting] = Reporting("scaled pinball loss", verb="forecasts best")

    target: str | None = None
    time: str | None = None
    series: str | None = None
    covariates: str | None = None
    future: str | None = None
    horizon: int | None = option(None, Interval(1, 10_000))
    context: int | None = option(None, Interval(1, 10_000))
    season: int | None = option(None, Interval(1, 100_000))
    reference: str = REFERENCES[0]
    share: float = option(0.1, Interval(0.001, 0.4))
    quantiles: str = ",".join(map(str, LEVELS))
    encoding: str | None = None
    decimal: str | None = None
    batch_size: int = option(32, Interval(1, 10**6))

    def __post_init__(self) -> None:
        self.levels  # noqa: B018 - checked when the task is made
        if self.data_seed:
            raise CapaxError("task forecast: data_seed changes nothing, since parts are cut by time; leave it out.")
        if self.reference not in REFERENCES:
            shown = " or ".join(f"'{name}'" for name in REFERENCES)
            raise CapaxError(f"task forecast: reference is {shown}, not '{self.reference}'.")
        super().__post_init__()

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the quantiles. Raises `CapaxError` for what is none."""
        try:
            found = tuple(sorted({float(level) for level in self.quantiles.split(",")}))
        except ValueError:
            found = ()
        if not found or not all(0 < level < 1 for level in found):
            raise CapaxError(
                f"task forecast: quantiles are numbers between 0 and 1 with commas between, such as .1,.5,.9, not "
                f"'{self.quantiles}'."
            )
        return found

    def alternatives(self) -> dict[str, list[Any]]:
        """Both references, where the training part is long enough for a regression."""
        return {"reference": list(REFERENCES)} if self.prepared.can_have_reference else {}

    @property
    def network_adds(self) -> str:
        return "" if self.preparation.reference is None else " + linear regression"

    @property
    def simpler(self) -> bool:
        return self.preparation.reference is not None

    def prepare(self) -> Prepared:
        """Both references share what is read of the file."""
        if self.reference != REFERENCES[0]:
            return dataclasses.replace(self, reference=REFERENCES[0]).prepared.with_reference()
        fields = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(Wishes) if field.name != "levels"
        }
        return prepare(Path(self.path), Wishes(**fields, levels=self.levels))

    def reading(self) -> dict[str, Any]:
        """With "zone", whether time stamps have one."""
        time, path = self.preparation.time, Path(self.path)
        return {**super().reading(), "zone": zones.zone(path, time, self.encoding) is not None}

    def remarks(self) -> tuple[str, ...]:
        return (*super().remarks(), SCALED)

    @property
    def preparation(self) -> Forecasting:
        """What was learned of the training part."""
        return self.prepared.preparation

    @property
    def sizes(self) -> Sizes:
        found = self.preparation
        return Sizes(found.inputs, found.outputs, found.length, first=found.context)

    @property
    def facts(self) -> Facts:
        """Chance: what outputs of 0 are, on training windows: the anchor for every quantile, or the
        autoregression."""
        chance = _chance(self)
        return Facts(chance=chance, chance_loss=max(chance, LEAST_CHANCE))

    def starts(self) -> dict[str, Any]:
        return {"learning_rate": 3e-3, "schedule": "cosine", "dropout": 0.3}

    def most_steps(self) -> int:
        """So many that each training window is seen 25 times, if only those count that forecast
        steps of their own: others are nearly the same.
        """
        apart = int(self._training_origins().sum()) / self.preparation.horizon
        return max(LEAST_STEPS, round(PASSES * apart / self.batch_size))

    def data(self, parameters: int) -> PyTree:
        prepared = self.prepared
        held_out = {part: prepared.windows(part) for part in ("validation", "evaluation")}
        found = {
            "arrays": prepared.preparation.arrays(prepared.panel),
            "counts": np.cumsum(self._training_origins()).astype(np.int32),
            **{
                part: {"series": windows.series.astype(np.int32), "origins": windows.origins.astype(np.int32)}
                for part, windows in held_out.items()
            },
        }
        if prepared.fitted is not None:
            parts = prepared.parts
            found["of_blocks"] = prepared.fitted.of_blocks
            found["trained"] = (parts.validation - parts.begins).astype(np.int32)
        return jax.tree.map(jnp.asarray, found)

    def _training_origins(self) -> Int[np.ndarray, " series"]:
        """How many origins the training part of each series has."""
        parts = self.prepared.parts
        return np.maximum(parts.validation - parts.begins - LEAST_BEFORE - self.preparation.horizon + 1, 0)

    def batches(self, split: Split, scalars: Scalars) -> Array:
        if split == "train":
            return jnp.asarray(1)
        return jnp.asarray(math.ceil(len(self.prepared.windows(split).origins) / self.batch_size))

    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        if split == "train":
            return self._training(data, key, self.batch_size)
        held_out = data[split]
        number = index * self.batch_size + jnp.arange(self.batch_size)
        count = held_out["origins"].shape[0]
        chosen = jnp.minimum(number, count - 1)
        weights = (number < count).astype(jnp.float32)
        return self.windows(data["arrays"], held_out["series"][chosen], held_out["origins"][chosen], weights)

    def _drawn(self, data: PyTree, key: Array, size: int) -> tuple[Int[Array, " size"], Int[Array, " size"]]:
        """Series and origins of training windows, each origin of all series equally likely."""
        after = data["counts"]
        number = jax.random.randint(key, (size,), 0, after[-1])
        series = jnp.searchsorted(after, number, side="right").astype(jnp.int32)
        first = jnp.concatenate([jnp.zeros((1,), after.dtype), after[:-1]])[series]
        return series, data["arrays"]["begins"][series] + LEAST_BEFORE + number - first

    def windows(
        self,
        arrays: gathering.Arrays,
        series: Int[Array, " batch"],
        origins: Int[Array, " batch"],
        weights: Float[Array, " batch"],
        fitted: Float[Array, "batch targets horizon terms"] | None = None,
    ) -> SequenceBatch:
        """The windows at these origins. Targets (2 targets, horizon, batch): what came, relative to
        the anchor and to what is expected without a network, and then 1 where it is known, else 0.
        `fitted`: weights of the autoregression for each window; None: its own.
        """
        preparation = self.preparation
        expected = gathering.reference(preparation, arrays, series, origins, fitted)
        seen = gathering.inputs(preparation, arrays, series, origins, expected)
        at = origins[None] + jnp.arange(preparation.horizon)[:, None]
        came = arrays["targets"][at] - gathering.anchors(arrays, origins)[None] - jnp.swapaxes(expected, 0, 1)
        known = ~jnp.isnan(came)
        targets = jnp.concatenate([jnp.where(known, came, 0.0), known.astype(jnp.float32)], axis=-1)
        counted = weights[None] * known.any(axis=-1)
        return SequenceBatch(Dense(seen), jnp.moveaxis(targets, -1, 0), counted)

    def sample(self, key: Array, size: int) -> SequenceBatch:
        return self._training(self.data(0), key, size)

    def _training(self, data: PyTree, key: Array, size: int) -> SequenceBatch:
        """Training windows, each with an autoregression fitted without its block of time."""
        series, origins = self._drawn(data, key, size)
        fitted = None
        if "of_blocks" in data:
            positions = origins - data["arrays"]["begins"][series]
            fitted = data["of_blocks"][block_of(positions, data["trained"][series])]
        return self.windows(data["arrays"], series, origins, jnp.ones((size,)), fitted)

    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        levels = jnp.asarray(self.levels, jnp.float32)[None, :, None, None]
        count = len(self.preparation.targets)
        came, known = batch.targets[:count], batch.targets[count:] * batch.weights[None]
        above = came[:, None] - gathering.quantiles(self.preparation, outputs)
        losses = jnp.mean(jnp.maximum(levels * above, (levels - 1) * above), axis=1)
        return {"loss": jnp.sum(known * losses), "weight": jnp.sum(known)}

    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        loss = sums["loss"] / max(sums["weight"], 1e-9)
        return {"score": loss, "loss": loss}

    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        return float(self.batch_size * self.preparation.length)


_CHANCES: dict[Forecast, float] = {}


def _chance(task: Forecast) -> float:
    if task not in _CHANCES:
        prepared = task.prepared
        if prepared.fitted is not None:
            return prepared.fitted.loss
        found, arrays = prepared.windows("train"), prepared.preparation.arrays(prepared.panel)
        at = found.origins[:, None] + np.arange(prepared.preparation.horizon)
        came = arrays["targets"][at] - arrays["last"][found.origins - 1][:, None]
        levels = np.asarray(task.levels)
        losses = np.maximum(levels * came[..., None], (levels - 1) * came[..., None])
        known = losses[~np.isnan(losses)]
        _CHANCES[task] = float(known.mean()) if len(known) else 0.0
    return _CHANCES[task]
