"""What a probe measures: a network, random or trained, the sequences that drive it, and the task
whose loss it has.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from capax.cells.cell import Layer, State
from capax.cells.sequence import Dense, Sequence
from capax.errors import CapaxError
from capax.networks import ways
from capax.networks.network import Network
from capax.networks.parts import count_parameters, trainable
from capax.tasks.batch import Batch, SequenceBatch
from capax.tasks.task import Task
from capax.training.model import load

Groups = dict[str, slice]

SPARE = 16
"""How many times as many sequences are drawn where those of one length are chosen."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """`name` of the cell or the model's file; `cell`, its name in the registry; `network`; `draw`,
    a fixed batch of sequences with the targets of `task`, if there is one; `seed` of all that is
    random. Make one by `Subject.create` or `Subject.load`.
    """

    name: str
    cell: str
    network: Network
    draw: SequenceBatch
    task: Task | None
    seed: int

    @staticmethod
    def create(
        cell: str,
        *,
        units: int = 64,
        depth: int = 1,
        inputs: int = 1,
        outputs: int = 1,
        task: Task | None = None,
        data: Float[np.ndarray, "sequences time inputs"] | None = None,
        length: int = 300,
        batch: int = 64,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> "Subject":
        """A network as it is initialised.

        **Arguments:** `cell`, by name or as module.path:Class, and its sizes; `hyperparameters` of
        the initialisation (and "nonlinearity"). What drives it: sequences of `task`, which then
        fixes sizes; or `data`; or else white Gaussian noise of variance 1 with `inputs` features
        and `length` steps. `batch`: how many sequences; `seed`: of network and sequences.

        Raises `CapaxError` for what does not fit.
        """
        network_key, data_key = jax.random.split(jax.random.key(seed))
        draw = _draw(task, data, inputs, length, batch, data_key)
        features = jax.eval_shape(lambda d: d.inputs.values_at_every_step(), draw).shape[1]
        network = Network.create(
            cell,
            inputs=features,
            outputs=outputs if task is None else task.outputs,
            depth=depth,
            units=units,
            key=network_key,
            **dict(hyperparameters or {}),
        )
        return Subject(cell, cell, network, draw, task, seed)

    @staticmethod
    def load(
        path: str | Path,
        *,
        task: Task | None = None,
        data: Float[np.ndarray, "sequences time inputs"] | None = None,
        length: int = 300,
        batch: int = 64,
        seed: int = 0,
    ) -> "Subject":
        """A trained network from a model file (`models/*.safetensors` in a run directory), on
        sequences of a `task`, on `data`, or else on white Gaussian noise of variance 1 and `length`
        steps.

        Raises `CapaxError` for a file that is no model, or data that do not fit it.
        """
        model = load(path)
        if not isinstance(model.network, Network):
            raise CapaxError(
                f"{path} is a {model.card.architecture.kind} network; probes measure stacks of layers alone."
            )
        draw = _draw(task, data, model.card.inputs, length, batch, jax.random.key(seed))
        features = jax.eval_shape(lambda d: d.inputs.values_at_every_step(), draw).shape[1]
        if features != model.card.inputs:
            raise CapaxError(f"{path} is a network with {model.card.inputs} inputs, the data have {features}.")
        return Subject(Path(path).stem, model.card.cell, model.network, draw, task, seed)

    @property
    def inputs(self) -> Float[Array, "time inputs batch"]:
        """The sequences, features at every step."""
        return self.draw.inputs.values_at_every_step()

    def of_one_length(self) -> "Subject":
        """The same with sequences of one length, for what is told step by step: of many more that
        the task draws, those of the length that most of them have (of several, the longest).
        Itself where its sequences have no lengths.
        """
        if self.draw.lengths is None:
            return self
        task, batch = self.required_task(), len(self.draw.lengths)
        drawn = task.batch(jax.random.fold_in(jax.random.key(self.seed), 3), SPARE * batch)
        lengths, counts = np.unique(np.asarray(drawn.lengths), return_counts=True)
        length = int(lengths[counts == counts.max()][-1])
        chosen = np.flatnonzero(np.asarray(drawn.lengths) == length)[:batch]
        parts = (part[chosen, :length] for part in (drawn.inputs, drawn.targets, drawn.mask))
        return dataclasses.replace(self, draw=Batch(*parts).inside(task.first))

    def describe(self) -> dict[str, Any]:
        """What was measured, in words and numbers."""
        time, features, batch = self.inputs.shape
        cell = self.network.layers[0]
        return {
            "name": self.name,
            "cell": self.cell,
            "depth": len(self.network.layers),
            "units": cell.units,
            "parameters": count_parameters(self.network),
            "task": None if self.task is None else self.task.name,
            "inputs": features,
            "time_steps": time,
            "batch": batch,
            "seed": self.seed,
        }

    def flat(self) -> tuple[Float[Array, " p"], Any, Groups]:
        """Trainable parameters as one vector; the function from such a vector to a network; and
        where each group of parameters (an array of the network, named by its path, such as
        layers.0.hidden.recurrent) lies in the vector.
        """
        trained, rest = eqx.partition(self.network, trainable(self.network))
        vector, unravel = ravel_pytree(trained)
        groups, begin = {}, 0
        for path, leaf in jax.tree_util.tree_leaves_with_path(trained):
            groups[jax.tree_util.keystr(path, simple=True, separator=".")] = slice(begin, begin + leaf.size)
            begin += leaf.size
        return vector, lambda vector: eqx.combine(unravel(vector), rest), groups

    def loss(self, network: Network) -> Float[Array, ""]:
        """The task's training loss of a network on the fixed batch. Raises `CapaxError` where there
        is no task.
        """
        task = self.required_task()
        sums = task.measure(network.run(self.draw.inputs, task.first, lengths=self.draw.lengths), self.draw)
        return sums["loss"] / sums["weight"]

    def required_task(self) -> Task:
        """The task. Raises `CapaxError` where there is none."""
        if self.task is None:
            raise CapaxError("this probe needs a loss: name a task (--task), or a trained model without other data.")
        return self.task


def layer_outputs(network: Network, x: Float[Array, "time inputs batch"]) -> list[Float[Array, "time units batch"]]:
    """What each layer says at each step, from the first to the top one: plain loops, which can be
    differentiated in every mode.
    """
    found = []

    def run(layer: Layer, state: State, x: Array) -> tuple[Array, State]:
        outputs, state = layer(x, state)
        found.append(outputs)
        return outputs, state

    states, entered = ways.first_states(network.layers, x.shape[2]), jax.vmap(network.enter)(x)
    upwards = ways.upwards_at(network.between(), jnp.arange(x.shape[0]))
    ways.through(network.layers, states, entered, run, between=upwards)
    return found


def _draw(
    task: Task | None, data: np.ndarray | None, inputs: int, length: int, batch: int, key: Array
) -> SequenceBatch:
    if batch < 1 or length < 1:
        raise CapaxError(f"a probe needs at least one sequence of at least one step, not {batch} of {length}.")
    if task is not None:
        if data is not None:
            raise CapaxError("give a task or data to drive the network, and not both.")
        return task.sample(key, batch)
    if data is None:
        return _without_targets(Dense(jax.random.normal(key, (length, inputs, batch))))
    if data.ndim != 3 or not np.isfinite(data).all():
        raise CapaxError(
            f"data must be finite numbers of shape (sequences, time, features), not of shape {data.shape}."
        )
    chosen = np.random.default_rng(np.asarray(jax.random.key_data(key))).permutation(len(data))[:batch]
    return _without_targets(Dense(jnp.asarray(np.transpose(data[chosen], (1, 2, 0)), jnp.float32)))


def _without_targets(sequence: Sequence) -> SequenceBatch:
    time, _, batch = sequence.values_at_every_step().shape
    return SequenceBatch(sequence, jnp.zeros((1, time, batch)), jnp.ones((time, batch)))
