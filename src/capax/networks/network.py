"""A network: input map -> stack of cells -> linear readout, over whole sequences."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from capax.cells import registry
from capax.cells.cell import Cell, State, column, scalar_declarations, scaled_norm
from capax.cells.sequence import Dense, Held, MultiHot, OneHot, Sequence, Steps
from capax.errors import CapaxError, closest
from capax.fused import Unsupported, recurrence
from capax.networks.product import looped

UNROLL_UP_TO = 16
"""Longest sequence that is unrolled in the compiled program; measured: a gain at 5 steps, a loss (and slow compiling) at 175."""

BLOCKS = (8, 32)
"""Least and most steps of a block, in which longer sequences are run. Measured: 8 to 64 steps stay in cache for cells of 64 to 128
units and a batch of 32, and computing them twice is 1.5 to 2.3 times as fast as keeping everything (GRU, 175 and 1024 steps)."""


def block_size(length: int) -> int:
    """Steps in a block: near 16, and so that blocks of this size make up the whole sequence where that can be."""
    least, most = BLOCKS
    candidates = sorted(range(least, most + 1), key=lambda size: (length % size > 0, abs(math.log(size / 16))))
    return candidates[0]


class Linear(eqx.Module):
    """W x + b, features first."""

    weight: Float[Array, "o i"]
    bias: Float[Array, " o"]

    def __init__(self, inputs: int, outputs: int):
        self.weight, self.bias = jnp.zeros((outputs, inputs)), jnp.zeros((outputs,))

    def __call__(self, x: Float[Array, "i *batch"]) -> Float[Array, "o *batch"]:
        return jnp.tensordot(self.weight, x, 1) + column(self.bias, x.ndim)


class Norm(eqx.Module):
    """scale layer_norm(x) + bias, features first."""

    scale: Float[Array, " n"]
    bias: Float[Array, " n"]

    def __init__(self, units: int):
        self.scale, self.bias = jnp.ones((units,)), jnp.zeros((units,))

    def __call__(self, x: Float[Array, "n *batch"]) -> Float[Array, "n *batch"]:
        return scaled_norm(self.scale, self.bias, x)


class Network(eqx.Module):
    """A stack of `depth` equal cells with a linear readout from the top one.

    `Network(...)` has zeros for parameters (cells that draw their own excepted); `Network.create` initialises them.
    A cell whose inputs and outputs must have the same size gets its input through a learned affine map, `entry`; where the cell
    asks for it, outputs have a part that is linear in the input of the same step, `direct`, or are read through a `norm`.
    """

    entry: Linear | None
    layers: tuple[Cell, ...]
    readout: Linear
    direct: Float[Array, "o i"] | None
    norm: Norm | None

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
        if depth < cell.least_depth:
            raise CapaxError(
                f"{cell.__name__} gates between layers (inputs and outputs of one size), so it needs a depth of at least "
                f"{cell.least_depth}."
            )
        if units % cell.multiple:
            raise CapaxError(f"{cell.__name__} needs a multiple of {cell.multiple} units, not {units}.")
        keys = [None] * depth if key is None else jax.random.split(key, depth)
        self.entry = Linear(inputs, units) if cell.square else None
        first = units if cell.square else inputs
        self.layers = tuple(cell(units if l else first, units, nonlinearity, keys[l]) for l in range(depth))
        self.readout = Linear(units, outputs)
        self.direct = jnp.zeros((outputs, inputs)) if cell.direct else None
        self.norm = Norm(units) if cell.normed else None

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
        from capax.networks.hyperparameters import hyperparameters_of
        from capax.networks.initialisation import initialise
        from capax.networks.sizing import size

        if (units is None) == (budget is None):
            raise CapaxError("give either units= or budget=, and not both.")
        cell_class = registry.get(cell)
        known = list(hyperparameters_of(cell_class))
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

    def run(
        self,
        sequence: Sequence,
        first: int = 0,
        fused: bool = False,
        parallel: bool | None = None,
        checkpoint_every: int | None = None,
    ) -> Float[Array, "outputs time batch"]:
        """Outputs at the steps from `first` on, for a batch of sequences, features first.

        `parallel`: all times at once, where cells can (`Cell.all_states`); by default on accelerators alone.
        `fused`: by kernels for CPUs; then it must be traced, not mapped, and may be differentiated once, in reverse mode.
        Raises `fused.Unsupported` where that cannot be.
        `checkpoint_every`: of how many steps only the first state is kept for the gradient, which computes the others again; 0: all
        is kept; by default what is fastest. It leaves `parallel` no say, and `fused` leaves it none. Of layers that see whole sequences
        any number but 0 keeps what each layer reads; by default they keep all. Raises `CapaxError` for a negative number.
        """
        if checkpoint_every is not None and checkpoint_every < 0:
            raise CapaxError(f"checkpoint_every must be at least 0, not {checkpoint_every}.")
        if not self.recurrent:
            if fused:
                raise Unsupported("a layer that sees whole sequences has no loop over time")
            outputs = self.read(self._whole(sequence, keep_all=checkpoint_every in (None, 0))[first:])
        elif fused:
            outputs = self.read(self._fused(sequence, first))
        elif checkpoint_every is None and (
            jax.default_backend() != "cpu" and self._parallel() if parallel is None else parallel
        ):
            outputs = self.read(self._at_once(sequence)[first:])
        elif checkpoint_every is None and sequence.length <= UNROLL_UP_TO:
            outputs = self.read(jnp.stack(self._unrolled(sequence)[first:]))
        else:
            network = eqx.tree_at(lambda n: n.layers, self, tuple(looped(cell) for cell in self.layers))
            outputs = network._in_blocks(sequence, first, checkpoint_every)
        if self.direct is None:
            return outputs
        return outputs + jnp.einsum("oi,tib->otb", self.direct, sequence.values_at_every_step()[first:])

    @property
    def recurrent(self) -> bool:
        """Whether it has steps; else its layers see whole sequences."""
        return type(self.layers[0]).recurrent()

    def read(self, outputs: Float[Array, "time units batch"]) -> Float[Array, "outputs time batch"]:
        """What the readout makes of the top layer's outputs."""
        outputs = jnp.moveaxis(outputs, 0, 1)
        return self.readout(outputs if self.norm is None else self.norm(outputs))

    def _whole(self, sequence: Sequence, keep_all: bool) -> Float[Array, "time units batch"]:
        entered = sequence.project(lambda x: x if self.entry is None else self.entry(x))
        outputs = jax.vmap(entered.read)(entered.xs)
        layer = lambda cell, x: cell.whole(x)  # noqa: E731
        for cell in self.layers:
            outputs = (layer if keep_all else jax.checkpoint(layer))(cell, outputs)
        return outputs

    def _project_first(self, x: Array) -> Any:
        return self.layers[0].project(x if self.entry is None else self.entry(x))

    def _fused(self, sequence: Sequence, first: int) -> Float[Array, "time units batch"]:
        symbols = None
        projected = sequence.table(self._project_first) if isinstance(sequence, OneHot | MultiHot) else None
        if projected is not None:
            assert isinstance(sequence, OneHot | MultiHot)
            symbols = sequence.symbols if isinstance(sequence, MultiHot) else sequence.symbols[:, None]
            symbols = symbols.astype(jnp.int32)
        else:
            steps = sequence.project(self._project_first)
            projected = jax.vmap(steps.read)(steps.xs)
        batch = (jax.tree.leaves(projected)[0] if symbols is None else symbols).shape[2]
        outputs = jnp.zeros(())
        for number, cell in enumerate(self.layers):
            if number:
                projected = jax.vmap(cell.project)(outputs)
            arrays, static = eqx.partition(cell, is_array_shape)

            def step(arrays: PyTree, state: State, p: Any, static: Any = static) -> tuple[State, Array]:
                return eqx.combine(arrays, static).step(state, p)

            outputs = recurrence(
                step,
                arrays,
                batched(cell.initial, batch),
                projected,
                symbols=None if number else symbols,
                first=first if number == len(self.layers) - 1 else 0,
            )[1]
        return outputs

    def _parallel(self) -> bool:
        return all(type(cell).parallel() for cell in self.layers)

    def _at_once(self, sequence: Sequence) -> Float[Array, "time units batch"]:
        steps = sequence.project(self._project_first)
        projected, outputs = jax.vmap(steps.read)(steps.xs), jnp.zeros(())
        batch = jax.tree.leaves(projected)[0].shape[2]
        for number, cell in enumerate(self.layers):
            if number:
                projected = jax.vmap(cell.project)(outputs)
            outputs = jax.vmap(cell.emit)(cell.all_states(batched(cell.initial, batch), projected), projected)
        return outputs

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

    def _in_blocks(
        self, sequence: Sequence, first: int, checkpoint_every: int | None
    ) -> Float[Array, "outputs time batch"]:
        """Block by block, all layers in each, so that what a block computes stays in cache. For the gradient a block is
        computed again, so that only the states between blocks are kept (unless `checkpoint_every` is 0)."""
        if isinstance(sequence, OneHot | Held):  # read from a table at each step
            xs, read = sequence.project(self._project_first)
            steps_of = lambda xs: Steps(xs, read)  # noqa: E731
        else:  # projected in its block by one product, as the layers above are
            xs = sequence
            steps_of = lambda part: Dense(part.values_at_every_step()).project(self._project_first)  # noqa: E731

        def block(states: tuple[State, ...], xs: Any) -> tuple[tuple[State, ...], Array]:
            state, outputs = _scan(self.layers[0], steps_of(xs), states[0])
            after = [state]
            for cell, state in zip(self.layers[1:], states[1:], strict=True):
                state, outputs = _scan(cell, Dense(outputs).project(cell.project), state)
                after.append(state)
            return tuple(after), outputs

        def scored(states: tuple[State, ...], xs: Any) -> tuple[tuple[State, ...], Array]:
            states, outputs = block(states, xs)
            return states, self.read(outputs)

        one = jax.eval_shape(lambda xs: jax.vmap(steps_of(xs).read)(steps_of(xs).xs), xs)
        batch = jax.tree.leaves(one)[0].shape[2]
        states = tuple(batched(cell.initial, batch) for cell in self.layers)
        size = checkpoint_every or block_size(sequence.length)

        def rows(begin: int, end: int) -> Any:
            return jax.tree.map(
                lambda leaf: leaf[begin * size : end * size].reshape(end - begin, size, *leaf.shape[1:]), xs
            )

        keep_all = checkpoint_every == 0
        again = (
            (lambda f: f) if keep_all else functools.partial(jax.checkpoint, prevent_cse=False)
        )  # a scan prevents it
        unread, whole = first // size, sequence.length // size  # blocks that come before `first`; blocks in all
        parts = []
        if unread:
            states = jax.lax.scan(again(lambda s, x: (block(s, x)[0], None)), states, rows(0, unread))[0]
        if whole > unread:
            states, outputs = jax.lax.scan(again(scored), states, rows(unread, whole))
            outputs = jnp.moveaxis(outputs, 0, 1)
            parts.append(outputs.reshape(outputs.shape[0], -1, batch))
        if whole * size < sequence.length:
            rest = jax.tree.map(lambda leaf: leaf[whole * size :], xs)
            parts.append((scored if keep_all else jax.checkpoint(scored))(states, rest)[1])
        return jnp.concatenate(parts, axis=1)[:, first - unread * size :]


def _scan(cell: Cell, steps: Steps, state: State) -> tuple[State, Float[Array, "time units batch"]]:
    if not cell.emits():
        return jax.lax.scan(lambda state, x: cell.step(state, steps.read(x)), state, steps.xs)
    projected = jax.vmap(steps.read)(steps.xs)

    def advance(state: State, p: Any) -> tuple[State, State]:
        state = cell.advance(state, p)
        return state, state

    state, states = jax.lax.scan(advance, state, projected)
    return state, jax.vmap(cell.emit)(states, projected)


def batched(initial: PyTree, batch: int) -> State:
    """A cell's initial state, once for each sequence of a batch."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:, None], (leaf.shape[0], batch)), initial)


def _first_state(cell: Cell, projected: Any) -> State:
    """The initial state for a batch: left at a batch of one where the cell's step broadcasts (all built-in ones do), which
    saves the first of the recurrent matrix products; else repeated."""
    batch = jax.tree.leaves(projected)[0].shape[1]
    whole = batched(cell.initial, batch)
    single = batched(cell.initial, 1)
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
