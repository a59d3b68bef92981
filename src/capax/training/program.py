"""The compiled program for all trials of one cell, depth, width, nonlinearity, and task.

A trial's state is a few arrays; its parameters are one flat vector, so that the optimiser is one
fused loop. The population axis is leading everywhere: mapped, one trial after the other, on a CPU;
vectorised on an accelerator.
"""

import functools
import os
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree, UInt32

from capax.fused import Refusal, fuse
from capax.networks.assembling import AnyNetwork
from capax.networks.parts import Dropout, is_array_shape
from capax.tasks.batch import SequenceBatch
from capax.tasks.task import Scalars, Split
from capax.training import responding
from capax.training.compiled import CompiledOnce
from capax.training.divergence import EXPLODED, KINDS
from capax.training.optimiser import Optimiser
from capax.training.soap import Bases
from capax.training.template import Template
from capax.training.trial import ProgramKey, Trial

Batching = Literal["mapped", "vectorised"]

CURVE_POINTS = 100
OF_DROPOUT = 2**31 - 1
"""Folded into a batch's key for what is dropped."""
SWITCH = "CAPAX_FUSED"
"""Set this environment variable to 0 to do without fused kernels."""


class State(eqx.Module):
    """What changes during a trial."""

    parameters: Float[Array, " p"]
    m: Float[Array, " p"]
    v: Float[Array, " p"]
    bases: Float[Array, " q"]  # of a preconditioner, else empty
    step: Int[Array, ""]
    fault: Int[Array, ""]  # 0, or what `fault` found at step `step`
    curve: Float[Array, " points"]


class Settings(eqx.Module):
    """What a trial is given and keeps."""

    optimiser: Optimiser
    constants: PyTree  # the network's arrays that are not trained
    scalars: Scalars  # of the task
    data_key: UInt32[Array, " two"]
    dropout: Float[Array, ""] | None  # None where nothing is dropped


class Program:
    """Starts, advances, and evaluates trials of one key. It holds compiled code, and no data.

    `data`: the task's data or their shapes; the methods take the data themselves.
    """

    def __init__(self, key: ProgramKey, batching: Batching, data: PyTree):
        self.key, self.batching = key, batching
        self.task, self.shape = key.task, key.shape
        self.template = Template(key.shape, key.nonlinearity, key.task.inputs, key.task.outputs)
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), data)
        self._bases = None if key.preconditioner is None else Bases(self.template.trained_shapes)
        self._kernel, self.refusal = self._fused(shapes)
        self.advance = CompiledOnce(self._advance)
        self.evaluate = CompiledOnce(self._evaluate)

    def start(self, trial: Trial) -> tuple[State, Settings]:
        """A trial at step 0."""
        flat, constants = self.template.initial(trial.hyperparameters, trial.seed)
        state = State(
            flat,
            jnp.zeros_like(flat),
            jnp.zeros_like(flat),
            jnp.zeros((0,)) if self._bases is None else self._bases.start(),
            jnp.asarray(0, jnp.int32),
            jnp.asarray(0, jnp.int32),
            jnp.zeros((CURVE_POINTS,)),
        )
        settings = Settings(
            Optimiser.create(trial.hyperparameters, trial.steps),
            constants,
            {
                **self.task.scalars(trial.hyperparameters, self.shape.parameters),
                "data_seed": jnp.asarray(trial.data_seed, jnp.int32),
            },
            jax.random.key_data(jax.random.key(trial.data_seed)),
            jnp.asarray(trial.hyperparameters["dropout"], jnp.float32) if self.key.dropout else None,
        )
        return state, settings

    @property
    def fused(self) -> bool:
        """Whether gradients come from fused kernels (fused/); else from the compiled program alone,
        for the reason `refusal`."""
        return self.refusal is None

    def _fused(self, data: PyTree) -> tuple[Any, str | None]:
        """The kernel of a whole training step, if there is one, and why nothing is fused, if so.

        Without either the loop over time is fused, where the network runs.
        """
        reason = self._unfused()
        if reason is not None:
            return None, reason
        scalars = self.task.scalars({}, self.shape.parameters)
        flat = jax.ShapeDtypeStruct((self.shape.parameters,), jnp.float32)
        whole = jax.eval_shape(self._training_set, data, scalars, jnp.asarray(0), jax.random.key(0))
        if whole is not None and not self.key.dropout:
            plain = (flat, self.template.constants, _rest(whole[0]))
            kernel = fuse(self._kernel_function, plain, _samples(whole[0]))
            if not isinstance(kernel, Refusal):
                return kernel, None
        refusals: list[Refusal] = []

        def run(flat: Array, constants: PyTree, data: PyTree) -> Array:
            batch = self.task.batch_at(data, "train", jax.random.key(0), jnp.asarray(0), scalars)
            outputs = responding.in_kernels(self.template.network(flat, constants), batch, self.task.first)
            if isinstance(outputs, Refusal):
                refusals.append(outputs)
                return jnp.zeros(())
            return jnp.sum(outputs)

        jax.eval_shape(run, flat, self.template.constants, data)
        return None, refusals[0].reason if refusals else None

    def _training_set(
        self, data: PyTree, scalars: Scalars, step: Array, key: Array
    ) -> tuple[SequenceBatch, Array] | None:
        """What a training step goes through, where that is a fixed set or a part of it, and how
        many of its samples count.
        """
        size = self.key.minibatch
        if size is None:
            return self.task.training_set(data, scalars)
        return self.task.minibatch_at(data, size, step, key, scalars), jnp.asarray(size, jnp.int32)

    def _unfused(self) -> str | None:
        """Why kernels are not even tried; None where they are."""
        if os.environ.get(SWITCH) == "0":
            return f"{SWITCH} is 0"
        if jax.default_backend() != "cpu" or self.batching != "mapped":
            return "kernels are for CPUs, one trial after the other"
        return None if self.shape.checkpoint_every is None else "checkpoint_every is set"

    def _kernel_function(self, plain: PyTree, samples: PyTree) -> Any:
        flat, constants, rest = plain
        batch = eqx.combine(samples, rest)

        def loss(flat: Array) -> tuple[Array, Array]:
            network = self.template.network(flat, constants)
            sums = self.task.measure(responding.outputs(network, batch, self.task.first), batch)
            return sums["loss"], sums["weight"]

        return jax.value_and_grad(loss, has_aux=True)(flat)

    def _each(self, function: Any, *stacked: Any) -> Any:
        """Apply to every trial of a population, in this program's way."""
        if self.batching == "vectorised":
            return jax.vmap(function)(*stacked)
        return jax.lax.map(lambda arguments: function(*arguments), stacked)

    def _advance(self, states: State, settings: Settings, data: PyTree, steps: Int[Array, ""]) -> State:
        """Up to `steps` more training steps of every trial; finished and diverged ones stay as they
        are."""
        return self._each(functools.partial(self._train, data, steps), states, settings)

    def _train(self, data: PyTree, steps: Int[Array, ""], state: State, settings: Settings) -> State:
        last = jnp.minimum(state.step + steps, settings.optimiser.steps)
        return jax.lax.while_loop(
            lambda s: (s.step < last) & (s.fault == 0), functools.partial(self._step, data, settings), state
        )

    def _outputs(self, network: AnyNetwork, batch: SequenceBatch, dropout: Dropout | None = None) -> Array:
        """Outputs at the scored steps: by kernels where they serve this batch (those of a held-out
        set may be of another size)."""
        if self.fused and self._kernel is None:
            outputs = responding.in_kernels(network, batch, self.task.first, dropout)
            if not isinstance(outputs, Refusal):
                return outputs
        return responding.outputs(network, batch, self.task.first, dropout, self.shape.checkpoint_every)

    def _sums(
        self, data: PyTree, settings: Settings, step: Int[Array, ""], parameters: Float[Array, " p"]
    ) -> tuple[Array, Array, Float[Array, " p"]]:
        """Summed loss, summed weight, and the gradient of the summed loss, of one training step."""
        of_trial = jax.random.wrap_key_data(settings.data_key)
        if self._kernel is not None:
            found = self._training_set(data, settings.scalars, step, of_trial)
            assert found is not None
            whole, count = found
            plain = parameters, settings.constants, _rest(whole)
            (value, weight), gradient = self._kernel(plain, _samples(whole), count)
            return value, weight, gradient
        trained, key, size = self.template.unravel(parameters), jax.random.fold_in(of_trial, step), self.key.minibatch

        def batch_of(index: Array) -> SequenceBatch:
            if size is not None:
                return self.task.minibatch_at(data, size, step, of_trial, settings.scalars)
            return self.task.batch_at(data, "train", jax.random.fold_in(key, index), index, settings.scalars)

        def loss(trained: PyTree, index: Array) -> tuple[Array, Array]:
            network = self.template.combine(trained, settings.constants)
            batch = batch_of(index)
            sums = self.task.measure(self._outputs(network, batch, self._dropout(settings, key, index)), batch)
            return sums["loss"], sums["weight"]

        def add(index: Array, total: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            (value, weight), gradient = jax.value_and_grad(loss, has_aux=True)(trained, index)
            return total[0] + value, total[1] + weight, total[2] + ravel_pytree(gradient)[0]

        nothing = (jnp.zeros(()), jnp.zeros(()), jnp.zeros_like(parameters))
        if size is not None:
            return add(jnp.asarray(0), nothing)
        return jax.lax.fori_loop(0, self.task.batches("train", settings.scalars), add, nothing)

    def _dropout(self, settings: Settings, key: Array, index: Array) -> Dropout | None:
        """How the network drops at a training step with this key, in batch number `index` of it."""
        if settings.dropout is None:
            return None
        return Dropout(settings.dropout, jax.random.fold_in(jax.random.fold_in(key, index), OF_DROPOUT))

    def _step(self, data: PyTree, settings: Settings, state: State) -> State:
        value, weight, gradient = self._sums(data, settings, state.step, state.parameters)
        value = value / weight
        gradient, basis, bases = gradient / weight, None, state.bases
        if self._bases is not None:
            basis = self._bases.at(state.bases)
            bases = self._bases.after(state.bases, gradient, state.step)
        parameters, m, v, norm = settings.optimiser.update(
            state.parameters, gradient, state.m, state.v, state.step, basis
        )
        wrong = fault(value, norm, self.task.facts.chance_loss)
        diverged = wrong > 0
        keep = functools.partial(jnp.where, diverged)
        interval = curve_interval(settings.optimiser.steps)
        return State(
            keep(state.parameters, parameters),
            keep(state.m, m),
            keep(state.v, v),
            keep(state.bases, bases),
            jnp.where(diverged, state.step, state.step + 1),
            wrong,
            state.curve.at[state.step // interval].add(jnp.where(diverged, 0.0, value / interval)),
        )

    def _evaluate(
        self, parameters: Float[Array, " p"], settings: Settings, data: PyTree
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Summed measures of one trial on the validation and on the evaluation set."""
        network = self.template.network(parameters, settings.constants)

        def whole(split: Split) -> dict[str, Array]:
            def measure(index: Array) -> dict[str, Array]:
                batch = self.task.batch_at(data, split, jax.random.key(0), index, settings.scalars)
                return self.task.measure(self._outputs(network, batch), batch)

            zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(measure, jnp.asarray(0)))
            number = self.task.batches(split, settings.scalars)
            return jax.lax.fori_loop(0, number, lambda i, total: jax.tree.map(jnp.add, total, measure(i)), zero)

        validation = whole("validation")
        return validation, validation if self.task.reporting.one_set else whole("evaluation")

    def scores(self, state: State, settings: Settings, data: PyTree) -> tuple[dict[str, float], dict[str, float]]:
        """Validation and evaluation scores of one trial by name."""
        sums = jax.device_get(self.evaluate(state.parameters, settings, data))
        validation, evaluation = (
            self.task.scores({name: float(value) for name, value in split.items()}) for split in sums
        )
        return validation, evaluation


def fault(loss: Float[Array, ""], gradient_norm: Float[Array, ""], chance_loss: float) -> Int[Array, ""]:
    """0 where a training step is fine; else 1 + the position in `KINDS` of what is wrong with it
    (divergence.CRITERION)."""
    is_fine = jnp.isfinite(gradient_norm) & (loss < EXPLODED * chance_loss)  # False where the loss is NaN
    of_finite_loss = jnp.where(
        jnp.isfinite(gradient_norm), KINDS.index("exploded loss"), KINDS.index("non-finite gradient")
    )
    kind = jnp.where(jnp.isfinite(loss), of_finite_loss, KINDS.index("non-finite loss"))
    return jnp.where(is_fine, 0, 1 + kind).astype(jnp.int32)


def _samples(batch: PyTree) -> PyTree:
    """The parts of a batch whose last axis is its samples; the others are numbers that hold for
    all."""
    return eqx.filter(batch, lambda leaf: is_array_shape(leaf) and leaf.ndim > 0)


def _rest(batch: PyTree) -> PyTree:
    return eqx.filter(batch, lambda leaf: is_array_shape(leaf) and leaf.ndim > 0, inverse=True)


def curve_interval(steps: Any) -> Any:
    """Training steps per point of the learning curve: the same for a trial however it is cut into
    chunks."""
    return (steps + CURVE_POINTS - 1) // CURVE_POINTS


def curve(state: State, steps: int) -> np.ndarray:
    """The learning curve, shape (points,): mean training loss in each interval, NaN where none was
    completed."""
    interval = curve_interval(steps)
    means = np.asarray(state.curve, np.float64) * interval
    done = np.clip(int(state.step) - interval * np.arange(CURVE_POINTS), 0, interval)
    return np.where(done > 0, means / np.maximum(done, 1), np.nan)
