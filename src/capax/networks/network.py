"""A network: input map -> stack of layers -> linear readout, over whole sequences or step by
step.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells import registry
from capax.cells.cell import Cell, Layer, State, real_steps
from capax.cells.sequence import Sequence
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.fused import Refusal
from capax.networks import ways
from capax.networks.batches import as_batch, as_lengths, cleared
from capax.networks.creation import check_sizes, create, dropout_of, features
from capax.networks.parts import Assembled, Dropout, Linear, Norm, upwards
from capax.networks.ways import Way


class Network(Assembled):
    """A stack of `depth` equal layers with a linear readout from the top one.

    `Network(...)` has zeros for parameters (layers that draw their own excepted); `Network.create`
    initialises them. Layers whose inputs and outputs must have the same size get their input
    through a learned affine map, `entry`. Where the wiring asks for it, outputs have a part that is
    linear in the input of the same step, `direct`, or are read through a `norm`.
    """

    entry: Linear | None
    layers: tuple[Layer, ...]
    readout: Linear
    direct: Float[Array, "o i"] | None
    norm: Norm | None
    norms: tuple[Norm, ...]
    maps: tuple[Linear, ...]
    wiring: Wiring = eqx.field(static=True)

    def __init__(
        self,
        cell: type[Layer],
        *,
        inputs: int,
        outputs: int,
        depth: int,
        units: int,
        nonlinearity: str | None = None,
        key: Array | None = None,
        wiring: Wiring | None = None,
    ):
        """**Arguments:** the class of the layers, and sizes; `wiring`, by default what is usual for
        this class (`cells.registry.wiring`).

        Raises `CapaxError` for sizes below 1, or that the layers cannot have.
        """
        wiring = registry.wiring(cell) if wiring is None else wiring
        check_sizes(cell, wiring, inputs=inputs, outputs=outputs, depth=depth, units=units)
        keys = [None] * depth if key is None else jax.random.split(key, depth)
        entered = features(cell, wiring, units)
        self.entry = Linear(inputs, entered) if entered else None
        first = entered or inputs
        self.layers = tuple(cell(units if l else first, units, nonlinearity, keys[l]) for l in range(depth))
        self.readout = Linear(units, outputs)
        self.direct = jnp.zeros((outputs, inputs)) if wiring.direct else None
        self.norm = Norm(units) if wiring.norm else None
        self.norms = tuple(Norm(units) for _ in range(depth - 1)) if wiring.between else ()
        self.maps, self.wiring = (), wiring

    @staticmethod
    def create(
        cell: str | type,
        *,
        inputs: int,
        outputs: int,
        key: Array,
        depth: int = 1,
        units: int | None = None,
        budget: int | None = None,
        nonlinearity: str | None = None,
        wiring: Wiring | None = None,
        **hyperparameters: Any,
    ) -> "Network":
        """An initialised network of a given number of units, or the largest within a parameter
        budget.

        **Arguments:**

        - `cell`: a name ("gru", "module.path:Class") or a class.
        - `inputs`, `outputs`, `depth`: sizes; exactly one of `units` and `budget`.
        - `key`: a `jax.random.key`; the draw of the initial parameters.
        - `wiring`: embedding, norms, dropout, .. (`capax.Wiring`); by default what is usual for the
          cell.
        - `hyperparameters`: of the initialisation, by name (`capax list hyperparameters CELL`).

        Raises `CapaxError` for an unknown cell or a budget too small for one unit.
        """
        return create(
            Network, cell, inputs=inputs, outputs=outputs, depth=depth, units=units, budget=budget, key=key,
            nonlinearity=nonlinearity, wiring=wiring, hyperparameters=hyperparameters,
        )  # fmt: skip

    def __call__(
        self,
        x: Array,
        lengths: Array | int | None = None,
        *,
        states: tuple[State, ...] | None = None,
        key: Array | None = None,
        training: bool = False,
        return_states: bool = False,
    ) -> Any:
        """Outputs at every step, of shape (time, outputs) for one sequence and (batch, time,
        outputs) for a batch.

        **Arguments:**

        - `x`: one sequence, (time, inputs), or a batch of them, (batch, time, inputs); or symbols,
          whole numbers from 0 to inputs - 1, (time,) or (batch, time).
        - `lengths`: how many steps of each sequence are real, from the first on: a number for one
          sequence, an array (batch,) for a batch. What stands behind a length, were it NaN, changes
          neither outputs nor states nor gradients; outputs there are 0.
        - `states`: those before the first step, as `initial`, `step`, or an earlier call gave them.
        - `training`, `key`: with `training=True` a network that has dropout drops, by this key.
        - `return_states`: to return `(outputs, states)`, with the states after the last real step.

        To run a long sequence in parts, hand the states of one call to the next.

        Raises `CapaxError` for lengths that are no steps of `x`, for states of layers that have
        none, and for training with dropout without a key.
        """
        sequence, single = as_batch(x, self.inputs)
        found, after = self.run(
            sequence,
            states=_with_batch(states) if single and states is not None else states,
            lengths=lengths,
            dropout=dropout_of(self.wiring, key, training),
            return_states=True,
        )
        outputs = found[:, :, 0].T if single else found.T
        if not return_states:
            return outputs
        self._require_states("return_states")
        return outputs, _without_batch(after) if single else after

    def initial(self, batch: int | None = None) -> tuple[State, ...]:
        """The learned states before the first step, one a layer, of vectors (units,), or (units,
        batch) for a batch.

        Raises `CapaxError` where the layers have no states.
        """
        self._require_states("initial")
        states = ways.first_states(self.layers, 1 if batch is None else batch)
        return _without_batch(states) if batch is None else states

    def step(
        self, states: tuple[State, ...], x: Float[Array, "*batch inputs"]
    ) -> tuple[tuple[State, ...], Float[Array, "*batch outputs"]]:
        """One step: the new states, and the outputs. Step by step it gives what a call gives for
        the whole sequence.

        **Arguments:** `states`, of `initial()` for one sequence, `initial(batch)` for a batch; `x`,
        (inputs,) or (batch, inputs).

        Raises `CapaxError` where the layers have no steps.
        """
        single = x.ndim == 1
        columns = x[:, None] if single else x.T
        before = _with_batch(states) if single else states
        self._require_states("step")
        top, after = ways.one_step(self.layers, before, self.enter(columns), self.between())
        outputs = self.read_all(top[None], columns[None])[:, 0]
        return (_without_batch(after), outputs[:, 0]) if single else (after, outputs.T)

    def run(
        self,
        sequence: Sequence,
        first: int = 0,
        way: Way | None = None,
        *,
        states: tuple[State, ...] | None = None,
        lengths: Array | int | None = None,
        dropout: Dropout | None = None,
        return_states: bool = False,
    ) -> Any:
        """Outputs at the steps from `first` on, (outputs, time, batch), for a batch of sequences,
        features first.

        **Arguments:** `way`, how to run (networks/ways.py), by default what is fastest for
        sequences of this length; `dropout`, how to drop, as in training (default: not at all); all
        else as in a call, with a batch.
        """
        if states is not None:
            self._require_states("states")
        lengths = as_lengths(lengths, sequence)
        way = self.usual_way(sequence.length) if way is None else way
        stack = self._stack(dropout)
        outputs, after = ways.run(way, stack, sequence, first=first, states=states, lengths=lengths)
        outputs = self._completed(outputs, sequence, first, lengths)
        return (outputs, after) if return_states else outputs

    def run_fused(
        self,
        sequence: Sequence,
        first: int = 0,
        lengths: Array | None = None,
        dropout: Dropout | None = None,
    ) -> Float[Array, "outputs time batch"] | Refusal:
        """As `run` with `ways.KERNELS`, or why there are no kernels for this network and this
        batch.
        """
        found = ways.in_kernels(self._stack(dropout), sequence, first, lengths=lengths)
        return found if isinstance(found, Refusal) else self._completed(found[0], sequence, first, lengths)

    def _stack(self, dropout: Dropout | None) -> ways.Stack:
        return ways.Stack(self.layers, self.enter, self.read, self.between(dropout))

    def between(self, dropout: Dropout | None = None) -> ways.Between | None:
        """What layers hand upwards: their outputs through the layer norms between layers, if there
        are any, and with dropout. None: the outputs as they are.
        """
        return upwards(self.norms, dropout)

    def _completed(
        self, outputs: Array, sequence: Sequence, first: int, lengths: Array | None
    ) -> Float[Array, "outputs time batch"]:
        """With the part that is linear in the input, and zeros behind the lengths."""
        if self.direct is not None:
            outputs = outputs + self._straight(cleared(sequence, lengths).values_at_every_step()[first:])
        if lengths is None:
            return outputs
        return jnp.where(real_steps(lengths, sequence.length)[first:], outputs, 0.0)

    def usual_way(self, length: int, *, checkpoint_every: int | None = None, backend: str | None = None) -> Way:
        """What is fastest for sequences of this length (`ways.usual`)."""
        return ways.usual(type(self.layers[0]), length, checkpoint_every=checkpoint_every, backend=backend)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The layers of a recurrent network. Raises `CapaxError` for one whose layers have no
        steps.
        """
        self._require_states("cells")
        return tuple(layer for layer in self.layers if isinstance(layer, Cell))

    def _require_states(self, wanted: str) -> None:
        if not self.recurrent:
            name = type(self.layers[0]).__name__
            raise CapaxError(
                f"{wanted}: a network of {name} layers sees whole sequences: it has no steps and no states."
            )

    @property
    def inputs(self) -> int:
        """Features of an input, or symbols."""
        return self.layers[0].inputs if self.entry is None else self.entry.weight.shape[1]

    @property
    def recurrent(self) -> bool:
        """Whether it has steps; else its layers see whole sequences."""
        return isinstance(self.layers[0], Cell)

    def enter(self, x: Float[Array, "inputs *batch"]) -> Float[Array, "features *batch"]:
        """What the lowest layer reads of a step's input."""
        return x if self.entry is None else self.entry(x)

    def read_all(
        self, outputs: Float[Array, "time units batch"], x: Float[Array, "time inputs batch"]
    ) -> Float[Array, "outputs time batch"]:
        """The network's outputs, of what its top layer says and its own input."""
        read = self.read(outputs)
        return read if self.direct is None else read + self._straight(x)

    def _straight(self, x: Float[Array, "time inputs batch"]) -> Float[Array, "outputs time batch"]:
        """The part of the outputs that is linear in the input of the same step."""
        return jnp.einsum("oi,tib->otb", self.direct, x)

    def read(self, outputs: Float[Array, "time units batch"]) -> Float[Array, "outputs time batch"]:
        """What the readout makes of the top layer's outputs."""
        outputs = jnp.moveaxis(outputs, 0, 1)
        return self.readout(outputs if self.norm is None else self.norm(outputs))


def _with_batch(states: tuple[State, ...]) -> tuple[State, ...]:
    return jax.tree.map(lambda leaf: leaf[..., None], states)


def _without_batch(states: tuple[State, ...]) -> tuple[State, ...]:
    return jax.tree.map(lambda leaf: leaf[..., 0], states)
