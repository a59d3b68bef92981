"""A network: input map -> stack of layers -> linear readout, over whole sequences or step by step."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from capax.cells import registry
from capax.cells.cell import Cell, Layer, State, real_steps
from capax.cells.sequence import Dense, Sequence
from capax.cells.wiring import Wiring
from capax.errors import CapaxError, closest
from capax.fused import Refusal
from capax.networks import ways
from capax.networks.budget import largest
from capax.networks.hyperparameters import hyperparameters_of
from capax.networks.initialisation import initialise
from capax.networks.parts import Assembled, Linear, Norm, count_on_shapes
from capax.networks.ways import Way


class Network(Assembled):
    """A stack of `depth` equal layers with a linear readout from the top one.

    `Network(...)` has zeros for parameters (layers that draw their own excepted); `Network.create` initialises them.
    Layers whose inputs and outputs must have the same size get their input through a learned affine map, `entry`. Where
    the wiring asks for it, outputs have a part that is linear in the input of the same step, `direct`, or are read
    through a `norm`.
    """

    entry: Linear | None
    layers: tuple[Layer, ...]
    readout: Linear
    direct: Float[Array, "o i"] | None
    norm: Norm | None

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
        """**Arguments:** the class of the layers, and sizes; `wiring`, by default what is usual for this class
        (`cells.registry.wiring`).

        Raises `CapaxError` for sizes below 1, or that the layers cannot have."""
        for name, value in {"inputs": inputs, "outputs": outputs, "depth": depth, "units": units}.items():
            if value < 1:
                raise CapaxError(f"{name} must be at least 1, not {value}.")
        wiring = registry.wiring(cell) if wiring is None else wiring
        if depth < wiring.least_depth:
            raise CapaxError(
                f"{cell.__name__} gates between layers (inputs and outputs of one size), so it needs a depth of at least "
                f"{wiring.least_depth}."
            )
        if units % cell.demands.multiple:
            raise CapaxError(f"{cell.__name__} needs a multiple of {cell.demands.multiple} units, not {units}.")
        keys = [None] * depth if key is None else jax.random.split(key, depth)
        self.entry = Linear(inputs, units) if cell.demands.square else None
        first = units if cell.demands.square else inputs
        self.layers = tuple(cell(units if l else first, units, nonlinearity, keys[l]) for l in range(depth))
        self.readout = Linear(units, outputs)
        self.direct = jnp.zeros((outputs, inputs)) if wiring.direct else None
        self.norm = Norm(units) if wiring.norm else None

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
        **hyperparameters: Any,
    ) -> "Network":
        """An initialised network of a given number of units, or the largest within a parameter budget.

        **Arguments:**

        - `cell`: a name ("gru", "module.path:Class") or a class.
        - `inputs`, `outputs`, `depth`: sizes; exactly one of `units` and `budget`.
        - `key`: a `jax.random.key`; the draw of the initial parameters.
        - `hyperparameters`: of the initialisation, by name (`capax list hyperparameters CELL`).

        Raises `CapaxError` for an unknown cell or a budget too small for one unit.
        """
        if (units is None) == (budget is None):
            raise CapaxError("give either units= or budget=, and not both.")
        cell_class = registry.get(cell)
        known = list(hyperparameters_of(cell_class))
        for name in hyperparameters:
            if name not in known:
                raise CapaxError(
                    f"{cell_class.__name__} has no hyperparameter '{name}'{closest(name, known)}; it has {', '.join(known)}."
                )
        sizes: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "depth": depth}
        if units is None:
            assert budget is not None
            units, _ = largest(
                lambda units: count_on_shapes(Network, cell_class, units=units, **sizes),
                budget,
                multiple=cell_class.demands.multiple,
                name=f"{cell_class.__name__} at depth {depth}",
                sizes=f" with {inputs} inputs and {outputs} outputs",
            )
        own, drawn = jax.random.split(key)
        network = Network(cell_class, units=units, nonlinearity=nonlinearity, key=own, **sizes)
        return initialise(network, hyperparameters, drawn)

    def __call__(
        self,
        x: Float[Array, "*batch time inputs"],
        lengths: Array | int | None = None,
        *,
        states: tuple[State, ...] | None = None,
        return_states: bool = False,
    ) -> Any:
        """Outputs at every step, of shape (time, outputs) for one sequence and (batch, time, outputs) for a batch.

        **Arguments:**

        - `x`: one sequence, (time, inputs), or a batch of them, (batch, time, inputs).
        - `lengths`: how many steps of each sequence are real, from the first on: a number for one sequence, an
          array (batch,) for a batch. What stands behind a length, were it NaN, changes neither outputs nor states
          nor gradients; outputs there are 0.
        - `states`: those before the first step, as `initial`, `step`, or an earlier call gave them.
        - `return_states`: to return `(outputs, states)`, with the states after the last real step.

        To run a long sequence in parts, hand the states of one call to the next.

        Raises `CapaxError` for lengths that are no steps of `x`, and for states of layers that have none.
        """
        single = x.ndim == 2
        batch = jnp.moveaxis(x[None] if single else x, 0, 2)
        if lengths is not None:
            lengths = jnp.atleast_1d(jnp.asarray(lengths))
        found, after = self.run(
            Dense(batch),
            states=_with_batch(states) if single and states is not None else states,
            lengths=lengths,
            return_states=True,
        )
        outputs = found[:, :, 0].T if single else found.T
        if not return_states:
            return outputs
        self._require_states("return_states")
        return outputs, _without_batch(after) if single else after

    def initial(self, batch: int | None = None) -> tuple[State, ...]:
        """The learned states before the first step, one a layer, of vectors (units,), or (units, batch) for a batch.

        Raises `CapaxError` where the layers have no states."""
        self._require_states("initial")
        states = ways.first_states(self.layers, 1 if batch is None else batch)
        return _without_batch(states) if batch is None else states

    def step(
        self, states: tuple[State, ...], x: Float[Array, "*batch inputs"]
    ) -> tuple[tuple[State, ...], Float[Array, "*batch outputs"]]:
        """One step: the new states, and the outputs. Step by step it gives what a call gives for the whole sequence.

        **Arguments:** `states`, of `initial()` for one sequence, `initial(batch)` for a batch; `x`, (inputs,) or
        (batch, inputs).

        Raises `CapaxError` where the layers have no steps.
        """
        single = x.ndim == 1
        columns = x[:, None] if single else x.T
        before = _with_batch(states) if single else states
        self._require_states("step")
        top, after = ways.one_step(self.layers, before, self.enter(columns))
        outputs = self.read_all(top[None], columns[None])[:, 0]
        return (_without_batch(after), outputs[:, 0]) if single else (after, outputs.T)

    def run(
        self,
        sequence: Sequence,
        first: int = 0,
        way: Way | None = None,
        *,
        states: tuple[State, ...] | None = None,
        lengths: Array | None = None,
        return_states: bool = False,
    ) -> Any:
        """Outputs at the steps from `first` on, (outputs, time, batch), for a batch of sequences, features first.

        **Arguments:** `way`, how to run (networks/ways.py), by default what is fastest for sequences of this length;
        `states`, `lengths`, and `return_states` as in a call, with a batch.
        """
        if states is not None:
            self._require_states("states")
        if lengths is not None:
            _check_lengths(lengths, sequence.length)
        way = self.usual_way(sequence.length) if way is None else way
        outputs, after = ways.run(way, self._stack(), sequence, first=first, states=states, lengths=lengths)
        outputs = self._completed(outputs, sequence, first, lengths)
        return (outputs, after) if return_states else outputs

    def run_fused(
        self, sequence: Sequence, first: int = 0, lengths: Array | None = None
    ) -> Float[Array, "outputs time batch"] | Refusal:
        """As `run` with `ways.KERNELS`, or why there are no kernels for this network and this batch."""
        found = ways.in_kernels(self._stack(), sequence, first, lengths=lengths)
        return found if isinstance(found, Refusal) else self._completed(found[0], sequence, first, lengths)

    def _stack(self) -> ways.Stack:
        return ways.Stack(self.layers, self.enter, self.read)

    def _completed(
        self, outputs: Array, sequence: Sequence, first: int, lengths: Array | None
    ) -> Float[Array, "outputs time batch"]:
        """With the part that is linear in the input, and zeros behind the lengths."""
        if self.direct is not None:
            outputs = outputs + self._straight(_values(sequence, lengths)[first:])
        if lengths is None:
            return outputs
        return jnp.where(real_steps(lengths, sequence.length)[first:], outputs, 0.0)

    def usual_way(self, length: int, *, checkpoint_every: int | None = None, backend: str | None = None) -> Way:
        """What is fastest for sequences of this length (`ways.usual`)."""
        return ways.usual(type(self.layers[0]), length, checkpoint_every=checkpoint_every, backend=backend)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The layers of a recurrent network. Raises `CapaxError` for one whose layers have no steps."""
        self._require_states("cells")
        return tuple(layer for layer in self.layers if isinstance(layer, Cell))

    def _require_states(self, wanted: str) -> None:
        if not self.recurrent:
            name = type(self.layers[0]).__name__
            raise CapaxError(
                f"{wanted}: a network of {name} layers sees whole sequences: it has no steps and no states."
            )

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


def _values(sequence: Sequence, lengths: Array | None) -> Float[Array, "time inputs batch"]:
    """Inputs at every step, zero behind a length."""
    if lengths is not None:
        sequence = sequence.cleared(real_steps(lengths, sequence.length))
    return sequence.values_at_every_step()


def _check_lengths(lengths: Array, time: int) -> None:
    """Raise `CapaxError` for lengths that are no steps of a sequence; what is traced cannot be looked at."""
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise CapaxError(f"lengths are whole numbers of steps, not of type {lengths.dtype}.")
    if isinstance(lengths, Tracer):
        return
    known = np.asarray(lengths)
    if ((known < 0) | (known > time)).any():
        raise CapaxError(f"lengths must be from 0 to the {time} steps of the sequences, not {known.tolist()}.")
