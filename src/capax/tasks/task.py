"""The contract of a task: batches of sequences, a loss for training, a score for the tuner and the
report.

Inside, arrays have their features first, as in cells: outputs are (outputs, time, batch) from the
first scored step on, targets (time, batch), or (parts, time, batch) where a step has several. The
public methods `batch`, `loss`, and `score` speak (batch, time, features), as users do.

Most tasks make their sequences up as they are needed: see `capax.tasks.Generated`, whose subclasses
say five things.
"""

import abc
import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from capax.architecture import STACK, Architecture
from capax.contents import Content
from capax.hyperparameters import Hyperparameter, Interval, Number
from capax.reporting import Facts, Reporting, Sizes
from capax.tasks import options
from capax.tasks.batch import Batch, SequenceBatch

Split = Literal["train", "validation", "evaluation"]
Sums = dict[str, Float[Array, ""]]
Scalars = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """One task with its options (the fields). Frozen and hashable: it is a static part of the
    compiled program.

    An option that is a number is declared with `option(default, Interval(low, high))`, and checked
    when a task is made. Class variables: `name`, which a user's own task leaves out, since it is
    known as module.path:Class; `reporting`, how its results are read; `foreseeable`, True where
    targets are among later inputs, so that a layer that sees the future would read them.
    """

    name: ClassVar[str]
    reporting: ClassVar[Reporting]
    foreseeable: ClassVar[bool] = False

    data_seed: int = options.option(0, Interval(0, 2**31 - 1))

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    def __post_init__(self) -> None:
        options.check(self)

    # -- what a task must say

    @property
    @abc.abstractmethod
    def sizes(self) -> Sizes:
        """Features and time steps."""

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What is known of its scores."""

    @abc.abstractmethod
    def data(self, parameters: int) -> PyTree:
        """The arrays that all trials of networks with this number of parameters share."""

    @abc.abstractmethod
    def batches(self, split: Split, scalars: Scalars) -> Array:
        """How many batches make one training step, or the whole of a held-out set."""

    @abc.abstractmethod
    def batch_at(self, data: PyTree, split: Split, key: Array, index: Array, scalars: Scalars) -> SequenceBatch:
        """Batch number `index`: random by `key` where the split is sampled, fixed where it is a
        set.
        """

    @abc.abstractmethod
    def sample(self, key: Array, size: int) -> SequenceBatch:
        """A batch of any size, from a key alone."""

    @abc.abstractmethod
    def measure(self, outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
        """Sums over a batch: "loss" and "weight", whose quotient is the training loss, and what the
        score needs beside."""

    @abc.abstractmethod
    def scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The result of a whole split from its summed measures: "score", "loss", and more to
        report.
        """

    @abc.abstractmethod
    def work(self, hyperparameters: Mapping[str, Any], parameters: int) -> float:
        """Sequences times time steps of one training step: trials with more work are started
        first.
        """

    # -- what it may say beside

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The task's own hyperparameters."""
        return ()

    def architecture(self) -> Architecture:
        """Which networks suit, where an experiment does not say."""
        return STACK

    def starts(self) -> dict[str, Any]:
        """Defaults of hyperparameters of the cell or the optimiser that are better for this
        task.
        """
        return {}

    def scalars(self, hyperparameters: Mapping[str, Any], parameters: int) -> Scalars:
        """What the compiled program needs of one trial's hyperparameters: arrays without
        dimensions, by default the task's own. To these the trainer adds "data_seed", the seed of
        the trial's data, for tasks that draw more from it than the order of samples.
        """
        del parameters
        return {own.name: _scalar(own, hyperparameters) for own in self.hyperparameters()}

    def check(self, parameters: int) -> None:
        """Raise `CapaxError` where the task cannot be had for networks with this number of
        parameters.
        """
        del parameters

    def data_depend_on(self, parameters: int) -> Hashable:
        """What `data` depend on beside the task's options: networks for which this is equal share
        one copy in memory.
        """
        return parameters

    def training_set(self, data: PyTree, scalars: Scalars) -> tuple[SequenceBatch, Array] | None:
        """All batches of a training step as one, and how many of its samples count (those behind
        weigh nothing), where a step goes through a fixed set; None where batches are random."""
        return None

    def minibatch(self, hyperparameters: Mapping[str, Any]) -> int | None:
        """How many samples of a fixed set a training step takes, where it does not go through the
        whole set; None where it does, or where batches are random.
        """
        del hyperparameters
        return None

    def minibatch_at(self, data: PyTree, size: int, step: Array, key: Array, scalars: Scalars) -> SequenceBatch:
        """The `size` samples of training step `step`, from 0; `key` is the same for all steps of a
        trial. Written where `minibatch` gives a number.
        """
        raise NotImplementedError(f"task {self.name} has no minibatches")

    def remarks(self) -> tuple[str, ...]:
        """What a reader of results should know of the task's data, a sentence each."""
        return ()

    def baselines(self) -> dict[str, float]:
        """Scores of simple methods, measured on the evaluation set, by name."""
        return {}

    def preprocessing(self) -> dict[str, Any] | None:
        """What a model file says of how data become a network's inputs and its outputs answers
        (`jobs.Preparation`); None where the task itself gives the inputs.
        """
        return None

    def contents(self) -> tuple[Content, ...]:
        """The files and texts that the data are made from, the main one first: a run that goes on
        must find them as they were.
        """
        return ()

    # -- what follows

    @property
    def inputs(self) -> int:
        """Number of input features."""
        return self.sizes.inputs

    @property
    def outputs(self) -> int:
        """Number of output features."""
        return self.sizes.outputs

    @property
    def length(self) -> int:
        """Time steps of the longest sequence."""
        return self.sizes.length

    @property
    def first(self) -> int:
        """The first time step whose output counts."""
        return self.sizes.first

    def batch(self, key: Array, size: int) -> Batch:
        """`size` sequences drawn from `key`: inputs (size, time, inputs), targets (size, time) or
        (size, time, parts), mask (size, time), lengths (size,) where sequences are ragged."""
        return self.sample(key, size).public(self.first)

    def loss(self, outputs: Float[Array, "size time outputs"], batch: Batch) -> Float[Array, ""]:
        """The training loss of outputs for a batch from `batch`."""
        sums = self._measure_public(outputs, batch)
        return sums["loss"] / sums["weight"]

    def score(self, outputs: Float[Array, "size time outputs"], batch: Batch) -> float:
        """The score of outputs for a batch from `batch`, as `reporting.score` calls it."""
        sums = {name: float(value) for name, value in self._measure_public(outputs, batch).items()}
        return self.scores(sums)["score"]

    def _measure_public(self, outputs: Array, batch: Batch) -> Sums:
        return self.measure(jnp.transpose(outputs, (2, 1, 0))[:, self.first :], batch.inside(self.first))


def _scalar(own: Hyperparameter, hyperparameters: Mapping[str, Any]) -> Array:
    value = hyperparameters.get(own.name, own.default)
    if isinstance(own, Number):
        return jnp.asarray(value, jnp.int32 if own.whole else jnp.float32)
    return jnp.asarray(value)


def squared_error(outputs: Float[Array, "outputs time batch"], batch: SequenceBatch) -> Sums:
    """Measures of real-valued targets (outputs, time, batch), or (time, batch) of one output: the
    weighted sum of squared errors, summed over outputs."""
    errors = jnp.sum((outputs - batch.targets.reshape(outputs.shape)) ** 2, axis=0)
    return {"loss": jnp.sum(batch.weights * errors), "weight": jnp.sum(batch.weights)}


def cross_entropy(
    logits: Float[Array, "classes time batch"], targets: Array, weights: Float[Array, "time batch"]
) -> Float[Array, ""]:
    """Weighted sum of cross-entropies in nats."""
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=0, keepdims=True))
    chosen = jnp.sum(shifted * jax.nn.one_hot(targets, logits.shape[0], axis=0, dtype=logits.dtype), axis=0)
    return jnp.sum(weights * (jnp.log(jnp.sum(jnp.exp(shifted), axis=0)) - chosen))


def mean_loss(sums: Mapping[str, float]) -> dict[str, float]:
    """The scores of a task whose score is its loss."""
    loss = sums["loss"] / sums["weight"]
    return {"score": loss, "loss": loss}
