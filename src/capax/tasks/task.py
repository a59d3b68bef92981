"""The contract of a task: data drawn from a key, a loss for training, a score for the tuner and another for the report.

Inside, arrays have their features first, as in cells: outputs are (outputs, time, batch) from the first scored step on,
targets (time, batch), or (parts, time, batch) where a step has several: numbers or symbols. The public methods `batch`,
`loss`, and `score` speak (batch, time, features), as users do.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from capax.cells.sequence import Dense, Sequence
from capax.contents import Content
from capax.errors import CapaxError
from capax.hyperparameters import Hyperparameter

Split = Literal["train", "validation", "evaluation"]
Sums = dict[str, Float[Array, ""]]
Scalars = dict[str, Array]


class Draw(eqx.Module):
    """A batch as the trainer sees it: a sequence, the targets of the scored steps, and their weights."""

    inputs: Sequence
    targets: Shaped[Array, "*parts time batch"]
    weights: Float[Array, "time batch"]


class Batch(eqx.Module):
    """A batch as users see it; `mask` is 0 at steps that do not count."""

    inputs: Float[Array, "size time inputs"]
    targets: Shaped[Array, "size time *parts"]
    mask: Float[Array, "size time"]


@dataclasses.dataclass(frozen=True)
class Task:
    """One task with its options (the fields). Frozen and hashable: it is a static part of the compiled program.

    Class variables: `name`; `direction` of the score; `score_label` with its unit; `memorisation`, True where
    training, validation, and evaluation set are one by definition; `foreseeable`, True where targets are among later
    inputs, so that a layer that sees the future would read them.
    """

    name: ClassVar[str]
    direction: ClassVar[Literal["maximise", "minimise"]]
    score_label: ClassVar[str]
    memorisation: ClassVar[bool] = False
    foreseeable: ClassVar[bool] = False

    data_seed: int = 0

    def require(self, option: str, least: float | int, most: float | int | None = None) -> None:
        """Raise `CapaxError` unless the value of an option is from `least` to `most`."""
        value = getattr(self, option)
        if value < least or (most is not None and value > most):
            allowed = f"at least {least}" if most is None else f"from {least} to {most}"
            raise CapaxError(f"task {self.name}: {option} must be {allowed}, not {value}.")

    @property
    def inputs(self) -> int:
        """Number of input features."""
        raise NotImplementedError

    @property
    def outputs(self) -> int:
        """Number of output features."""
        raise NotImplementedError

    @property
    def length(self) -> int:
        """Time steps of a sequence."""
        raise NotImplementedError

    @property
    def first(self) -> int:
        """The first time step whose output counts."""
        return 0

    @property
    def chance(self) -> float:
        """The score of a random guess."""
        raise NotImplementedError

    @property
    def perfect(self) -> float | None:
        """The best score there can be, where it is known."""
        raise NotImplementedError

    def least_score(self, units: float | int) -> float | None:
        """The best score that a network with so many units per layer can have, where it is known."""
        return None

    @property
    def chance_loss(self) -> float:
        """The training loss of a random guess, in nats or squared units: the scale by which divergence is judged."""
        raise NotImplementedError

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The task's own hyperparameters."""
        return ()

    def starts(self) -> dict[str, Any]:
        """Defaults of hyperparameters of the cell or the optimiser that are better for this task."""
        return {}

    def scalars(self, hyperparameters: Mapping[str, Any], parameters: int) -> Scalars:
        """What the compiled program needs of one trial's hyperparameters: arrays without dimensions. To these the trainer adds
        "data_seed", the seed of the trial's data, for tasks that draw more from it than the order of samples."""
        del hyperparameters, parameters
        return {}

    def check(self, parameters: int) -> None:
        """Raise `CapaxError` where the task cannot be had for networks with this number of parameters."""

    def data(self, parameters: int) -> PyTree:
        """What is drawn once and shared by all trials of networks with this number of parameters."""
        raise NotImplementedError

    def draws(self, split: Split, scalars: Scalars) -> Array:
        """How many draws make one training step, or the whole of the validation or evaluation set."""
        raise NotImplementedError

    def draw(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> Draw:
        """Draw number `index`: random by `key` where the split is sampled, fixed where it is a set."""
        raise NotImplementedError

    def training_set(self, data: PyTree, scalars: Scalars) -> tuple[Draw, Array] | None:
        """All draws of a training step as one, and how many of its samples count (those behind weigh nothing), where a
        step goes through a fixed set; None where draws are random. The samples are the last axis."""
        return None

    def sample(self, key: Array, size: int) -> Draw:
        """A fresh batch of any size, from a key alone."""
        raise NotImplementedError

    def measure(self, outputs: Float[Array, "outputs time batch"], draw: Draw) -> Sums:
        """Sums over a draw: "loss" and "weight", whose quotient is the training loss, and what the score needs beside."""
        raise NotImplementedError

    def scores(self, sums: Mapping[str, float], scalars: Mapping[str, float]) -> dict[str, float]:
        """The result of a whole split from its summed measures: "score", "loss", and more to report."""
        raise NotImplementedError

    def facts(self) -> tuple[str, ...]:
        """What a reader of results should know of the task's data, a sentence each."""
        return ()

    def baselines(self) -> dict[str, float]:
        """Scores of simple methods on the evaluation set, by name, shown beside the networks'."""
        return {}

    def contents(self) -> tuple[Content, ...]:
        """The files and texts that the data are made from, the main one first: a run that goes on must find them as they were."""
        return ()

    def cost(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        """Relative cost of one training step: sequences times time steps. Long trials are started first."""
        raise NotImplementedError

    def batch(self, key: Array, size: int) -> Batch:
        """`size` sequences drawn from `key`: inputs (size, time, inputs), targets (size, time) or (size, time, parts),
        mask (size, time)."""
        drawn = self.sample(key, size)
        pad = ((self.first, 0), (0, 0))
        return Batch(
            jnp.transpose(drawn.inputs.values_at_every_step(), (2, 0, 1)),
            jnp.pad(drawn.targets, ((0, 0),) * (drawn.targets.ndim - 2) + pad).T,
            jnp.pad(drawn.weights, pad).T,
        )

    def loss(self, outputs: Float[Array, "size time outputs"], batch: Batch) -> Float[Array, ""]:
        """The training loss of outputs for a batch from `batch`."""
        sums = self._measure_public(outputs, batch)
        return sums["loss"] / sums["weight"]

    def score(self, outputs: Float[Array, "size time outputs"], batch: Batch) -> float:
        """The score of outputs for a batch from `batch`, in the unit of `score_label`."""
        sums = {name: float(value) for name, value in self._measure_public(outputs, batch).items()}
        return self.scores(sums, {})["score"]

    def _measure_public(self, outputs: Array, batch: Batch) -> Sums:
        inputs = Dense(jnp.transpose(batch.inputs, (1, 2, 0)))
        inside = Draw(inputs, batch.targets.T[..., self.first :, :], batch.mask.T[self.first :])
        return self.measure(jnp.transpose(outputs, (2, 1, 0))[:, self.first :], inside)


def cross_entropy(
    logits: Float[Array, "classes time batch"], targets: Array, weights: Float[Array, "time batch"]
) -> Float[Array, ""]:
    """Weighted sum of cross-entropies in nats."""
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=0, keepdims=True))
    chosen = jnp.sum(shifted * jax.nn.one_hot(targets, logits.shape[0], axis=0, dtype=logits.dtype), axis=0)
    return jnp.sum(weights * (jnp.log(jnp.sum(jnp.exp(shifted), axis=0)) - chosen))
