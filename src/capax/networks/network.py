"""A network: input map -> stack of layers -> linear readout, over whole sequences or step by step."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells import registry
from capax.cells.cell import Cell, Layer
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

    def __call__(self, x: Float[Array, "time inputs"]) -> Float[Array, "time outputs"]:
        """Outputs at every step for one sequence; `jax.vmap` for a batch."""
        return self.run(Dense(x[..., None]))[:, :, 0].T

    def run(self, sequence: Sequence, first: int = 0, way: Way | None = None) -> Float[Array, "outputs time batch"]:
        """Outputs at the steps from `first` on, for a batch of sequences, features first.

        `way`: how to run (networks/ways.py); by default what is fastest for sequences of this length."""
        way = self.usual_way(sequence.length) if way is None else way
        outputs, _ = ways.run(way, self._stack(), sequence, first=first)
        return self._with_direct(outputs, sequence, first)

    def run_fused(self, sequence: Sequence, first: int = 0) -> Float[Array, "outputs time batch"] | Refusal:
        """As `run` with `ways.KERNELS`, or why there are no kernels for this network and this batch."""
        found = ways.in_kernels(self._stack(), sequence, first)
        return found if isinstance(found, Refusal) else self._with_direct(found[0], sequence, first)

    def _stack(self) -> ways.Stack:
        return ways.Stack(self.layers, self.enter, self.read)

    def _with_direct(self, outputs: Array, sequence: Sequence, first: int) -> Float[Array, "outputs time batch"]:
        if self.direct is None:
            return outputs
        return outputs + self._straight(sequence.values_at_every_step()[first:])

    def usual_way(self, length: int, *, checkpoint_every: int | None = None, backend: str | None = None) -> Way:
        """What is fastest for sequences of this length (`ways.usual`)."""
        return ways.usual(type(self.layers[0]), length, checkpoint_every=checkpoint_every, backend=backend)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The layers of a recurrent network. Raises `CapaxError` for one whose layers have no steps."""
        found = tuple(layer for layer in self.layers if isinstance(layer, Cell))
        if len(found) < len(self.layers):
            raise CapaxError(
                f"a network of {type(self.layers[0]).__name__} layers has no recurrence: they see whole sequences."
            )
        return found

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
