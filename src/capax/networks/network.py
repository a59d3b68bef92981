"""A network: input map -> stack of cells -> linear readout, over whole sequences."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from capax.cells import registry
from capax.cells.cell import Cell, State, scalar_declarations
from capax.cells.sequence import Dense, Sequence, Steps
from capax.errors import CapaxError, closest

UNROLL_UP_TO = 16
"""Longest sequence that is unrolled in the compiled program; measured: a gain at 5 steps, a loss (and slow compiling) at 175."""


class Linear(eqx.Module):
    """W x + b, features first."""

    weight: Float[Array, "o i"]
    bias: Float[Array, " o"]

    def __init__(self, inputs: int, outputs: int):
        self.weight, self.bias = jnp.zeros((outputs, inputs)), jnp.zeros((outputs,))

    def __call__(self, x: Float[Array, "i *batch"]) -> Float[Array, "o *batch"]:
        return jnp.tensordot(self.weight, x, 1) + jnp.reshape(self.bias, (-1,) + (1,) * (x.ndim - 1))


class Network(eqx.Module):
    """A stack of `depth` equal cells with a linear readout from the top one.

    `Network(...)` has zeros for parameters (cells that draw their own excepted); `Network.create` initialises them.
    A cell whose inputs and outputs must have the same size gets its input through a learned affine map, `entry`.
    """

    entry: Linear | None
    layers: tuple[Cell, ...]
    readout: Linear

    def __init__(
        self,
        cell: type[Cell],
        *,
        inputs: int,
        outputs: int,
        depth: int,
        units: int,
        nonlinearity: str | None = None,
        key: Array | None = None,
    ):
        for name, value in {"inputs": inputs, "outputs": outputs, "depth": depth, "units": units}.items():
            if value < 1:
                raise CapaxError(f"{name} must be at least 1, not {value}.")
        if cell.square and depth == 1:
            raise CapaxError(
                f"{cell.__name__} gates between layers (inputs and outputs of one size), so it needs a depth of at least 2."
            )
        keys = [None] * depth if key is None else jax.random.split(key, depth)
        self.entry = Linear(inputs, units) if cell.square else None
        first = units if cell.square else inputs
        self.layers = tuple(cell(units if l else first, units, nonlinearity, keys[l]) for l in range(depth))
        self.readout = Linear(units, outputs)

    @staticmethod
    def create(
        cell: str | type[Cell],
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
        - `hyperparameters`: of the initialisation, by the names of the search space (`networks.initialisation`).

        Raises `CapaxError` for an unknown cell or a budget too small for one unit.
        """
        from capax.networks.initialisation import defaults, initialise
        from capax.networks.sizing import size

        if (units is None) == (budget is None):
            raise CapaxError("give either units= or budget=, and not both.")
        cell_class = registry.get(cell) if isinstance(cell, str) else cell
        known = list(defaults(cell_class))
        for name in hyperparameters:
            if name not in known:
                raise CapaxError(
                    f"{cell_class.__name__} has no hyperparameter '{name}'{closest(name, known)}; it has {', '.join(known)}."
                )
        if units is None:
            assert budget is not None
            units = size(cell, budget=budget, inputs=inputs, outputs=outputs, depth=depth).units
        own, drawn = jax.random.split(key)
        network = Network(
            cell_class, inputs=inputs, outputs=outputs, depth=depth, units=units, nonlinearity=nonlinearity, key=own
        )
        return initialise(network, hyperparameters, drawn)

    def __call__(self, x: Float[Array, "time inputs"]) -> Float[Array, "time outputs"]:
        """Outputs at every step for one sequence; `jax.vmap` for a batch."""
        return self.run(Dense(x[..., None]))[:, :, 0].T

    def run(self, sequence: Sequence, first: int = 0) -> Float[Array, "outputs time batch"]:
        """Outputs at the steps from `first` on, for a batch of sequences, features first."""
        if sequence.length <= UNROLL_UP_TO:
            return self.readout(jnp.stack(self._unrolled(sequence)[first:], axis=1))
        h = self._scanned(sequence)[first:]
        return self.readout(jnp.moveaxis(h, 0, 1))

    def _project_first(self, x: Array) -> Any:
        return self.layers[0].project(x if self.entry is None else self.entry(x))

    def _unrolled(self, sequence: Sequence) -> list[Float[Array, "units batch"]]:
        steps = sequence.project(self._project_first)
        outputs = [steps.read(jax.tree.map(lambda leaf: leaf[t], steps.xs)) for t in range(sequence.length)]  # noqa: B023
        for l, cell in enumerate(self.layers):
            projected = outputs if l == 0 else [cell.project(output) for output in outputs]
            state, outputs = _first_state(cell, projected[0]), []
            for p in projected:
                state, output = cell.step(state, p)
                outputs.append(output)
        return outputs

    def _scanned(self, sequence: Sequence) -> Float[Array, "time units batch"]:
        first, *above = self.layers
        outputs = _scan(first, sequence.project(self._project_first))
        for cell in above:
            outputs = _scan(cell, Dense(outputs).project(cell.project))
        return outputs


def _scan(cell: Cell, steps: Steps) -> Float[Array, "time units batch"]:
    first = jax.eval_shape(lambda xs: steps.read(jax.tree.map(lambda leaf: leaf[0], xs)), steps.xs)
    state = _batched(cell.initial, jax.tree.leaves(first)[0].shape[1])
    return jax.lax.scan(lambda state, x: cell.step(state, steps.read(x)), state, steps.xs)[1]


def _batched(initial: PyTree, batch: int) -> State:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:, None], (leaf.shape[0], batch)), initial)


def _first_state(cell: Cell, projected: Any) -> State:
    """The initial state for a batch: left at a batch of one where the cell's step broadcasts (all built-in ones do), which
    saves the first of the recurrent matrix products; else repeated."""
    batch = jax.tree.leaves(projected)[0].shape[1]
    whole = _batched(cell.initial, batch)
    single = _batched(cell.initial, 1)
    try:
        broadcasts = jax.eval_shape(cell.step, single, projected) == jax.eval_shape(cell.step, whole, projected)
    except Exception:  # whatever a user's step says of a batch of one
        broadcasts = False
    return single if broadcasts else whole


def is_array_shape(leaf: Any) -> bool:
    """Whether a leaf is an array, or stands for one where only shapes are known."""
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def _is_real_or_complex(leaf: Any) -> bool:
    return is_array_shape(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def trainable(network: Network) -> PyTree:
    """True at the leaves that training changes: all inexact arrays but the cells' scalar hyperparameters."""
    mask = jax.tree.map(_is_real_or_complex, network)
    names = list(scalar_declarations(type(network.layers[0])))
    if not names:
        return mask
    return eqx.tree_at(
        lambda tree: [getattr(cell, name) for cell in tree.layers for name in names],
        mask,
        [False] * (len(names) * len(network.layers)),
    )


def count_parameters(network: Network) -> int:
    """The number of trainable parameters: cells, biases, learned initial states, input map, and readout."""
    leaves = jax.tree.leaves(eqx.filter(network, trainable(network)))
    return sum(leaf.size for leaf in leaves)
