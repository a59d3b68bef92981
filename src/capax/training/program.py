"""The compiled program for all trials of one cell, depth, width, nonlinearity, and task.

A trial's state is a few arrays; its parameters are one flat vector, so that the optimiser is one fused loop. The
population axis is leading everywhere: mapped, one trial after the other, on a CPU; vectorised on an accelerator.
"""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt32

from capax.cells import registry
from capax.fused import Refusal, fuse
from capax.networks.initialisation import initialise
from capax.networks.network import Network
from capax.networks.parts import is_array_shape, trainable
from capax.tasks.batch import SequenceBatch
from capax.tasks.task import Scalars, Split, Task
from capax.training.optimiser import Optimiser
from capax.training.trial import NetworkShape, Trial

Batching = Literal["mapped", "vectorised"]

CURVE_POINTS = 100
SWITCH = "CAPAX_FUSED"
"""Set this environment variable to 0 to do without fused kernels."""
EXPLODED = 1e4
"""A training loss this many times that of a random guess is a divergence, though finite."""


class State(eqx.Module):
    """What changes during a trial."""

    parameters: Float[Array, " p"]
    m: Float[Array, " p"]
    v: Float[Array, " p"]
    step: Int[Array, ""]
    diverged: Bool[Array, ""]
    curve: Float[Array, " points"]


class Settings(eqx.Module):
    """What a trial is given and keeps."""

    optimiser: Optimiser
    constants: PyTree  # the network's arrays that are not trained
    scalars: Scalars  # of the task
    data_key: UInt32[Array, " two"]


_PROGRAMS: dict[tuple[Task, NetworkShape, str | None, Batching], "Program"] = {}
_PROGRAMS_LOCK = threading.Lock()


def _compiled_once(function: Any) -> Callable[..., Any]:
    """Let the first call finish alone: threads that share a program must not compile it twice."""
    lock, compiled = threading.Lock(), threading.Event()

    def call(*arguments: Any) -> Any:
        if compiled.is_set():
            return function(*arguments)
        with lock:
            if not compiled.is_set():
                function.lower(*arguments).compile()  # kept in the function's own cache
                compiled.set()
        return function(*arguments)

    return call


class Program:
    """Starts, advances, and evaluates trials. Instances are shared: `Program.get` makes one per key."""

    def __init__(self, task: Task, shape: NetworkShape, nonlinearity: str | None, batching: Batching):
        self.task, self.shape, self.nonlinearity, self.batching = task, shape, nonlinearity, batching
        self.cell = registry.get(shape.cell)
        template = eqx.filter_eval_shape(self._blank, None)
        self._mask = trainable(template)
        self._static = eqx.filter(template, is_array_shape, inverse=True)
        trained, rest = eqx.partition(template, self._mask)
        self._constants = eqx.filter(rest, is_array_shape)
        self._shapes = [leaf.shape for leaf in jax.tree.leaves(trained)]
        self._structure = jax.tree.structure(trained)
        self.data = task.data(shape.parameters)
        self._kernel, self.refusal = self._fused()
        self.advance = _compiled_once(jax.jit(self._advance))
        self.evaluate = _compiled_once(jax.jit(self._evaluate))

    @staticmethod
    def get(task: Task, shape: NetworkShape, nonlinearity: str | None, batching: Batching) -> "Program":
        """The one program of this key in this process."""
        key = (task, shape, nonlinearity, batching)
        with _PROGRAMS_LOCK:
            if key not in _PROGRAMS:
                _PROGRAMS[key] = Program(*key)
            return _PROGRAMS[key]

    def _blank(self, key: Array | None) -> Network:
        return Network(
            self.cell,
            inputs=self.task.inputs,
            outputs=self.task.outputs,
            depth=self.shape.depth,
            units=self.shape.units,
            nonlinearity=self.nonlinearity,
            key=key,
        )

    def start(self, trial: Trial) -> tuple[State, Settings]:
        """A trial at step 0."""
        own, drawn = jax.random.split(jax.random.key(trial.seed))
        network = initialise(self._blank(own), trial.hyperparameters, drawn)
        trained, rest = eqx.partition(network, self._mask)
        flat = ravel_pytree(trained)[0]
        state = State(
            flat,
            jnp.zeros_like(flat),
            jnp.zeros_like(flat),
            jnp.asarray(0, jnp.int32),
            jnp.asarray(False),
            jnp.zeros((CURVE_POINTS,)),
        )
        settings = Settings(
            Optimiser.create(trial.hyperparameters, trial.steps),
            eqx.filter(rest, eqx.is_array),
            {
                **self.task.scalars(trial.hyperparameters, self.shape.parameters),
                "data_seed": jnp.asarray(trial.data_seed, jnp.int32),
            },
            jax.random.key_data(jax.random.key(trial.data_seed)),
        )
        return state, settings

    def _unravel(self, flat: Float[Array, " p"]) -> PyTree:
        """The trained arrays of a flat vector, in a network's structure."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])
        parts = [part.reshape(shape) for part, shape in zip(jnp.split(flat, ends[:-1]), self._shapes, strict=True)]
        return jax.tree.unflatten(self._structure, parts)

    def network(self, parameters: Float[Array, " p"], constants: PyTree) -> Network:
        """The network of a trial's flat parameters."""
        return eqx.combine(self._unravel(parameters), constants, self._static)

    @property
    def fused(self) -> bool:
        """Whether gradients come from fused kernels (fused/); else from the compiled program alone,
        for the reason `refusal`."""
        return self.refusal is None

    def _fused(self) -> tuple[Any, str | None]:
        """The kernel of a whole training step, if there is one, and why nothing is fused, if so.

        Without either the loop over time is fused, where the network runs.
        """
        reason = self._unfused()
        if reason is not None:
            return None, reason
        scalars = self.task.scalars({}, self.shape.parameters)
        flat = jax.ShapeDtypeStruct((self.shape.parameters,), jnp.float32)
        whole = jax.eval_shape(self.task.training_set, self.data, scalars)
        if whole is not None:
            plain = (flat, self._constants, _rest(whole[0]))
            kernel = fuse(self._kernel_function, plain, _samples(whole[0]))
            if not isinstance(kernel, Refusal):
                return kernel, None
        refusals: list[Refusal] = []

        def run(flat: Array, constants: PyTree, data: PyTree) -> Array:
            draw = self.task.batch_at(data, "train", jax.random.key(0), jnp.asarray(0), scalars)
            outputs = self.network(flat, constants).run_fused(draw.inputs, self.task.first)
            if isinstance(outputs, Refusal):
                refusals.append(outputs)
                return jnp.zeros(())
            return jnp.sum(outputs)

        jax.eval_shape(run, flat, self._constants, self.data)
        return None, refusals[0].reason if refusals else None

    def _unfused(self) -> str | None:
        """Why kernels are not even tried; None where they are."""
        if os.environ.get(SWITCH) == "0":
            return f"{SWITCH} is 0"
        if jax.default_backend() != "cpu" or self.batching != "mapped":
            return "kernels are for CPUs, one trial after the other"
        return None if self.shape.checkpoint_every is None else "checkpoint_every is set"

    def _kernel_function(self, plain: PyTree, samples: PyTree) -> Any:
        flat, constants, rest = plain
        draw = eqx.combine(samples, rest)

        def loss(flat: Array) -> tuple[Array, Array]:
            sums = self.task.measure(self.network(flat, constants).run(draw.inputs, self.task.first), draw)
            return sums["loss"], sums["weight"]

        return jax.value_and_grad(loss, has_aux=True)(flat)

    def _each(self, function: Any, *stacked: Any) -> Any:
        """Apply to every trial of a population, in this program's way."""
        if self.batching == "vectorised":
            return jax.vmap(function)(*stacked)
        return jax.lax.map(lambda arguments: function(*arguments), stacked)

    def _advance(self, states: State, settings: Settings, data: PyTree, steps: Int[Array, ""]) -> State:
        """Up to `steps` more training steps of every trial; finished and diverged ones stay as they are."""
        return self._each(functools.partial(self._train, data, steps), states, settings)

    def _train(self, data: PyTree, steps: Int[Array, ""], state: State, settings: Settings) -> State:
        last = jnp.minimum(state.step + steps, settings.optimiser.steps)
        return jax.lax.while_loop(
            lambda s: (s.step < last) & ~s.diverged, functools.partial(self._step, data, settings), state
        )

    def _outputs(self, network: Network, draw: SequenceBatch) -> Array:
        """Outputs at the scored steps: by kernels where they serve this draw (a held-out set may have another batch)."""
        if self.fused and self._kernel is None:
            outputs = network.run_fused(draw.inputs, self.task.first)
            if not isinstance(outputs, Refusal):
                return outputs
        way = network.usual_way(draw.inputs.length, checkpoint_every=self.shape.checkpoint_every)
        return network.run(draw.inputs, self.task.first, way)

    def _sums(
        self, data: PyTree, settings: Settings, key: Array, parameters: Float[Array, " p"]
    ) -> tuple[Array, Array, Float[Array, " p"]]:
        """Summed loss, summed weight, and the gradient of the summed loss, of one training step."""
        if self._kernel is not None:
            found = self.task.training_set(data, settings.scalars)
            assert found is not None
            whole, count = found
            plain = parameters, settings.constants, _rest(whole)
            (value, weight), gradient = self._kernel(plain, _samples(whole), count)
            return value, weight, gradient
        trained = self._unravel(parameters)

        def loss(trained: PyTree, index: Array) -> tuple[Array, Array]:
            network = eqx.combine(trained, settings.constants, self._static)
            draw = self.task.batch_at(data, "train", jax.random.fold_in(key, index), index, settings.scalars)
            sums = self.task.measure(self._outputs(network, draw), draw)
            return sums["loss"], sums["weight"]

        def add(index: Array, total: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            (value, weight), gradient = jax.value_and_grad(loss, has_aux=True)(trained, index)
            return total[0] + value, total[1] + weight, total[2] + ravel_pytree(gradient)[0]

        nothing = (jnp.zeros(()), jnp.zeros(()), jnp.zeros_like(parameters))
        return jax.lax.fori_loop(0, self.task.batches("train", settings.scalars), add, nothing)

    def _step(self, data: PyTree, settings: Settings, state: State) -> State:
        key = jax.random.fold_in(jax.random.wrap_key_data(settings.data_key), state.step)
        value, weight, gradient = self._sums(data, settings, key, state.parameters)
        value = value / weight
        parameters, m, v, norm = settings.optimiser.update(
            state.parameters, gradient / weight, state.m, state.v, state.step
        )
        diverged = ~(
            jnp.isfinite(norm) & (value < EXPLODED * self.task.facts.chance_loss)
        )  # also True where the loss is NaN
        keep = functools.partial(jnp.where, diverged)
        interval = curve_interval(settings.optimiser.steps)
        return State(
            keep(state.parameters, parameters),
            keep(state.m, m),
            keep(state.v, v),
            jnp.where(diverged, state.step, state.step + 1),
            diverged,
            state.curve.at[state.step // interval].add(jnp.where(diverged, 0.0, value / interval)),
        )

    def _evaluate(
        self, parameters: Float[Array, " p"], settings: Settings, data: PyTree
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Summed measures of one trial on the validation and on the evaluation set."""
        network = self.network(parameters, settings.constants)

        def whole(split: Split) -> dict[str, Array]:
            def measure(index: Array) -> dict[str, Array]:
                draw = self.task.batch_at(data, split, jax.random.key(0), index, settings.scalars)
                return self.task.measure(self._outputs(network, draw), draw)

            zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(measure, jnp.asarray(0)))
            draws = self.task.batches(split, settings.scalars)
            return jax.lax.fori_loop(0, draws, lambda i, total: jax.tree.map(jnp.add, total, measure(i)), zero)

        validation = whole("validation")
        return validation, validation if self.task.reporting.one_set else whole("evaluation")

    def scores(self, state: State, settings: Settings) -> tuple[dict[str, float], dict[str, float]]:
        """Validation and evaluation scores of one trial by name."""
        sums = jax.device_get(self.evaluate(state.parameters, settings, self.data))
        validation, evaluation = (
            self.task.scores({name: float(value) for name, value in split.items()}) for split in sums
        )
        return validation, evaluation


def _samples(draw: PyTree) -> PyTree:
    """The parts of a draw whose last axis is its samples; the others are numbers that hold for all."""
    return eqx.filter(draw, lambda leaf: is_array_shape(leaf) and leaf.ndim > 0)


def _rest(draw: PyTree) -> PyTree:
    return eqx.filter(draw, lambda leaf: is_array_shape(leaf) and leaf.ndim > 0, inverse=True)


def curve_interval(steps: Any) -> Any:
    """Training steps per point of the learning curve: the same for a trial however it is cut into chunks."""
    return (steps + CURVE_POINTS - 1) // CURVE_POINTS


def curve(state: State, steps: int) -> np.ndarray:
    """The learning curve, shape (points,): mean training loss in each interval, NaN where none was completed."""
    interval = curve_interval(steps)
    means = np.asarray(state.curve, np.float64) * interval
    done = np.clip(int(state.step) - interval * np.arange(CURVE_POINTS), 0, interval)
    return np.where(done > 0, means / np.maximum(done, 1), np.nan)
