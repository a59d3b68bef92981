"""The ways to run a stack of layers over time, and the one loop over layers that all of them share.

A `Way` says which one is meant; `usual` chooses it. All give the same numbers to rounding. Where
sequences have lengths, a layer's state stays as it is behind the end of its sequence, in every way.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from capax.cells.cell import Cell, Layer, LinearCell, State, pausing, real_steps
from capax.cells.sequence import Dense, Held, MultiHot, OneHot, Sequence, Steps
from capax.errors import CapaxError
from capax.fused import Refusal, recurrence
from capax.networks.parts import is_array_shape
from capax.networks.product import looped


class NoKernels(CapaxError):
    """There are no kernels for a network that is to run in them: `refusal` says why."""

    def __init__(self, refusal: Refusal):
        super().__init__(f"No kernels for this network: {refusal.reason}.")
        self.refusal = refusal


UNROLL_UP_TO = 16
"""Longest sequence that is unrolled in the compiled program. Measured: a gain at 5 steps; a loss,
and slow compiling, at 175.
"""

BLOCKS = (8, 32)
"""Least and most steps of a block, in which longer sequences are run. Measured: 8 to 64 steps stay
in cache for cells of 64 to 128 units and a batch of 32, and computing them twice is 1.5 to 2.3
times as fast as keeping everything (GRU, 175 and 1024 steps).
"""


@dataclasses.dataclass(frozen=True)
class Way:
    """How a stack is run.

    - "unrolled": every step is written out in the compiled program.
    - "blocks": a loop over blocks of `steps` steps, all layers in each, so that what a block
      computes stays in cache.
    - "kernels": loops in C++, for CPUs. To be traced, not mapped; differentiable once, in reverse
      mode. Raises `NoKernels` where that cannot be; `in_kernels` says it as a value.
    - "at once": the states of all times together, for linear cells.
    - "layers": each layer maps the whole sequence, by its own `__call__`.

    `again`: for the gradient a block, or in "layers" a layer, is computed again from what it
    started from, so that nothing else of it is kept.
    """

    kind: Literal["unrolled", "blocks", "kernels", "at once", "layers"]
    steps: int = 0
    again: bool = False


UNROLLED, KERNELS, AT_ONCE, LAYERS = Way("unrolled"), Way("kernels"), Way("at once"), Way("layers")


def usual(layer: type[Layer], length: int, *, checkpoint_every: int | None = None, backend: str | None = None) -> Way:
    """What is fastest for layers of this class and sequences of `length` steps.

    **Arguments:**

    - `checkpoint_every`: of how many steps only the first state is kept for the gradient, which
      computes the others again; 0: all is kept. Of layers that see whole sequences any number but 0
      keeps what each layer reads. By default what is fastest.
    - `backend`: "cpu", "gpu", ..; by default JAX's.

    Raises `CapaxError` for a negative `checkpoint_every`.
    """
    if checkpoint_every is not None and checkpoint_every < 0:
        raise CapaxError(f"checkpoint_every must be at least 0, not {checkpoint_every}.")
    if not issubclass(layer, Cell):
        return Way("layers", again=checkpoint_every not in (None, 0))
    if checkpoint_every is None and issubclass(layer, LinearCell) and (backend or jax.default_backend()) != "cpu":
        return AT_ONCE
    if checkpoint_every is None and length <= UNROLL_UP_TO:
        return UNROLLED
    return Way("blocks", checkpoint_every or block_size(length), again=checkpoint_every != 0)


def block_size(length: int) -> int:
    """Steps in a block: near 16, and so that blocks of this size make up the whole sequence where
    that can be.
    """
    least, most = BLOCKS
    candidates = sorted(range(least, most + 1), key=lambda size: (length % size > 0, abs(math.log(size / 16))))
    return candidates[0]


def through(
    layers: tuple[Any, ...],
    states: tuple[State, ...],
    given: Any,
    run: Callable[[Any, State, Any], tuple[Any, State]],
    project: Callable[[Any, Any], Any] = lambda layer, outputs: outputs,
    between: Callable[[int, Any], Any] = lambda number, outputs: outputs,
) -> tuple[Any, tuple[Any, ...]]:
    """The loop over layers, from the lowest to the top one: the outputs of the top layer, and all
    states after.

    **Arguments:**

    - `layers`: of any kind that `run` can run.
    - `states`: a state for each layer.
    - `given`: what the lowest layer's `run` reads.
    - `run(layer, state, given)`: the outputs of a layer, and its state after.
    - `project(layer, outputs)`: what a layer's `run` reads, of what the layer below hands upwards.
    - `between(number, outputs)`: what a layer hands upwards, of its outputs; `number` from 0, the
      lowest.
    """
    after, outputs = [], None
    for number, (layer, state) in enumerate(zip(layers, states, strict=True)):
        outputs, state = run(layer, state, project(layer, outputs) if number else given)
        outputs = between(number, outputs)
        after.append(state)
    return outputs, tuple(after)


Between = Callable[[int, Float[Array, "time units batch"], Int[Array, " time"]], Float[Array, "time units batch"]]
"""What a layer hands upwards, of its number, its outputs, and at which steps they are."""


def _as_it_is(number: int, outputs: Any) -> Any:
    del number
    return outputs


def upwards_at(between: Between | None, times: Int[Array, " time"] | None) -> Callable[[int, Any], Any]:
    """`between` for outputs at these steps; nothing happens between layers where there is none."""
    if between is None or times is None:
        return _as_it_is
    return lambda number, outputs: between(number, outputs, times)


def plainly(
    layers: tuple[Layer, ...],
    states: tuple[State, ...],
    x: Float[Array, "time features batch"],
    between: Between | None,
) -> Float[Array, "time units batch"]:
    """What the top layer hands upwards, each layer by its own `__call__`: differentiable in every
    mode.
    """
    upwards = upwards_at(between, jnp.arange(x.shape[0]))
    return through(layers, states, x, lambda layer, state, x: layer(x, state), between=upwards)[0]


def one_step(
    layers: tuple[Any, ...], states: tuple[State, ...], x: Array, between: Between | None = None
) -> tuple[Array, tuple[State, ...]]:
    """One step of a stack of cells: what the top layer hands upwards, and the states after."""

    def run(cell: Cell, state: State, x: Array) -> tuple[Array, State]:
        state, output = cell.step(state, cell.project(x))
        return output, state

    if between is None:
        return through(layers, states, x, run)
    at = jnp.zeros((1,), jnp.int32)
    return through(layers, states, x, run, between=lambda number, output: between(number, output[None], at)[0])


def first_states(layers: tuple[Layer, ...], batch: int) -> tuple[State, ...]:
    """The learned initial state of each layer, for a batch."""
    return tuple(layer.first_state(batch) for layer in layers)


class Stack(NamedTuple):
    """What the ways run: `layers`; `enter`, from a step's input to what the lowest layer reads;
    `read`, from what the top layer hands upwards, (time, units, batch), to the outputs, (outputs,
    time, batch); `between`, what layers hand upwards where that is not their outputs.
    """

    layers: tuple[Any, ...]
    enter: Callable[[Array], Array]
    read: Callable[[Array], Array]
    between: Between | None = None

    def project(self, x: Array) -> Any:
        """A step's input, as the step of the lowest layer reads it."""
        return self.layers[0].project(self.enter(x))


def run(
    way: Way,
    stack: Stack,
    sequence: Sequence,
    *,
    first: int = 0,
    states: tuple[State, ...] | None = None,
    lengths: Int[Array, " batch"] | None = None,
) -> tuple[Float[Array, "outputs time batch"], tuple[State, ...]]:
    """Outputs at the steps from `first` on, and the states after the last real step of each
    sequence.

    **Arguments:** `states`, those before the first step (default: the learned ones); `lengths`, how
    many steps of each sequence are real (default: all). Outputs behind a length have no meaning.
    """
    real = None if lengths is None else real_steps(lengths, sequence.length)
    if real is not None:
        sequence = sequence.cleared(real)
    return _RUNNERS[way.kind](way, stack, sequence, first, states, real)


Given = tuple[State, ...] | None
Real = Bool[Array, "time batch"] | None


def _in_layers(way: Way, stack: Stack, sequence: Sequence, first: int, given: Given, real: Real) -> Any:
    entered = sequence.project(stack.enter)
    x = jax.vmap(entered.read)(entered.xs)
    lengths = None if real is None else jnp.sum(real, axis=0)

    def run(layer: Layer, state: State, x: Array) -> tuple[Array, State]:
        return layer(x, state, lengths)

    run = jax.checkpoint(run) if way.again else run
    upwards = upwards_at(stack.between, jnp.arange(sequence.length))
    before = given or first_states(stack.layers, x.shape[2])
    outputs, states = through(stack.layers, before, x, run, between=upwards)
    return stack.read(outputs[first:]), states


def _unrolled(way: Way, stack: Stack, sequence: Sequence, first: int, given: Given, real: Real) -> Any:
    del way
    steps = sequence.project(stack.project)
    projected = [steps.read(jax.tree.map(lambda leaf: leaf[t], steps.xs)) for t in range(sequence.length)]  # noqa: B023

    def run(cell: Cell, state: State | None, projected: list[Any]) -> tuple[list[Array], State]:
        state = _first_state(cell, projected[0]) if state is None else state
        step, outputs = cell.step, []
        if real is not None:
            step, projected = pausing(cell.step), list(zip(projected, real[:, None], strict=True))
        for p in projected:
            state, output = step(state, p)
            outputs.append(output)
        return outputs, state

    project = lambda cell, outputs: [cell.project(output) for output in outputs]  # noqa: E731

    def upwards(number: int, outputs: list[Array]) -> list[Array]:
        if stack.between is None:
            return outputs
        return list(stack.between(number, jnp.stack(outputs), jnp.arange(sequence.length)))

    before = given or (None,) * len(stack.layers)
    outputs, states = through(stack.layers, before, projected, run, project, upwards)
    return stack.read(jnp.stack(outputs[first:])), states


def _first_state(cell: Cell, projected: Any) -> State:
    """The initial state for a batch: left at a batch of one where the cell's step broadcasts (all
    built-in ones do), which saves the first of the recurrent matrix products; else repeated.
    """
    whole, single = cell.first_state(jax.tree.leaves(projected)[0].shape[1]), cell.first_state(1)
    try:
        broadcasts = jax.eval_shape(cell.step, single, projected) == jax.eval_shape(cell.step, whole, projected)
    except Exception:  # whatever a user's step says of a batch of one
        broadcasts = False
    return single if broadcasts else whole


def _at_once(way: Way, stack: Stack, sequence: Sequence, first: int, given: Given, real: Real) -> Any:
    del way
    steps = sequence.project(stack.project)
    projected = jax.vmap(steps.read)(steps.xs)
    batch = jax.tree.leaves(projected)[0].shape[2]

    def run(cell: LinearCell, state: State, projected: Any) -> tuple[Array, State]:
        states = cell.all_states(state, projected)
        outputs = jax.vmap(cell.emit)(states, projected)
        if real is None:
            return outputs, jax.tree.map(lambda leaf: leaf[-1], states)
        return outputs, _at_the_end(states, state, jnp.sum(real, axis=0))

    project = lambda cell, outputs: jax.vmap(cell.project)(outputs)  # noqa: E731
    before = given or first_states(stack.layers, batch)
    outputs, states = through(
        stack.layers, before, projected, run, project, upwards_at(stack.between, jnp.arange(sequence.length))
    )
    return stack.read(outputs[first:]), states


def _at_the_end(states: State, before: State, lengths: Int[Array, " batch"]) -> State:
    """Of states at all times, those after the last real step; before the first step where there is
    none.
    """

    def chosen(all_times: Array, initial: Array) -> Array:
        last = jnp.maximum(lengths - 1, 0)[None, None]
        found = jnp.take_along_axis(all_times, jnp.broadcast_to(last, (1, *all_times.shape[1:])), axis=0)[0]
        return jnp.where(lengths[None] > 0, found, initial)

    return jax.tree.map(chosen, states, before)


def _in_kernels(way: Way, stack: Stack, sequence: Sequence, first: int, given: Given, real: Real) -> Any:
    del way
    found = _kernels(stack, sequence, first, given, real)
    if isinstance(found, Refusal):
        raise NoKernels(found)
    return found


def in_kernels(
    stack: Stack, sequence: Sequence, first: int = 0, *, lengths: Int[Array, " batch"] | None = None
) -> tuple[Float[Array, "outputs time batch"], tuple[State, ...]] | Refusal:
    """As `run` with `KERNELS`, or why that cannot be."""
    if lengths is None:
        return _kernels(stack, sequence, first, None, None)
    real = real_steps(lengths, sequence.length)
    return _kernels(stack, sequence.cleared(real), first, None, real)


def _kernels(
    stack: Stack, sequence: Sequence, first: int, given: Given, real: Real
) -> tuple[Float[Array, "outputs scored batch"], tuple[State, ...]] | Refusal:
    if not all(isinstance(layer, Cell) for layer in stack.layers):
        return Refusal("a layer that sees whole sequences has no loop over time")
    symbols, projected = None, None
    if isinstance(sequence, OneHot | MultiHot) and real is None:  # read from a table on the way
        projected = sequence.table(stack.project)
        if projected is not None:
            symbols = sequence.symbols if isinstance(sequence, MultiHot) else sequence.symbols[:, None]
            symbols = symbols.astype(jnp.int32)
    if projected is None:
        steps = sequence.project(stack.project)
        projected = jax.vmap(steps.read)(steps.xs)
    batch = (jax.tree.leaves(projected)[0] if symbols is None else symbols).shape[2]
    top = stack.layers[-1]

    def run(cell: Cell, state: State, projected: Any) -> tuple[Array | Refusal, State]:
        if isinstance(projected, Refusal):
            return projected, state
        arrays, static = eqx.partition(cell, is_array_shape)

        def step(arrays: PyTree, state: State, p: Any) -> tuple[State, Array]:
            if real is None:
                return eqx.combine(arrays, static).step(state, p)
            return pausing(eqx.combine(arrays, static).step)(state, (p[0], p[1] > 0))

        found = recurrence(
            step,
            arrays,
            state,
            projected if real is None else (projected, real[:, None].astype(jnp.float32)),
            symbols=symbols if cell is stack.layers[0] else None,
            first=first if cell is top else 0,
        )
        return (found, state) if isinstance(found, Refusal) else (found[1], found[0])

    def project(cell: Cell, outputs: Any) -> Any:
        return outputs if isinstance(outputs, Refusal) else jax.vmap(cell.project)(outputs)

    def upwards(number: int, outputs: Any) -> Any:
        if stack.between is None or isinstance(outputs, Refusal):
            return outputs
        return stack.between(number, outputs, jnp.arange(sequence.length - outputs.shape[0], sequence.length))

    before = given or first_states(stack.layers, batch)
    outputs, states = through(stack.layers, before, projected, run, project, upwards)
    return outputs if isinstance(outputs, Refusal) else (stack.read(outputs), states)


def _in_blocks(way: Way, stack: Stack, sequence: Sequence, first: int, given: Given, real: Real) -> Any:
    layers, size = tuple(looped(cell) for cell in stack.layers), way.steps
    stack = stack._replace(layers=layers)
    if isinstance(sequence, OneHot | Held):  # read from a table at each step
        xs, read = sequence.project(stack.project)
        steps_of = lambda xs: Steps(xs, read)  # noqa: E731
    else:  # projected in its block by one product, as the layers above are
        xs = sequence
        steps_of = lambda part: Dense(part.values_at_every_step()).project(stack.project)  # noqa: E731

    def block(states: tuple[State, ...], given: tuple[Any, Real, Any]) -> tuple[tuple[State, ...], Array]:
        xs, real, times = given
        run = lambda cell, state, steps: _scan(cell, steps, state, real)  # noqa: E731
        project = lambda cell, outputs: Dense(outputs).project(cell.project)  # noqa: E731
        upwards = upwards_at(stack.between, times)
        outputs, states = through(layers, states, steps_of(xs), run, project, upwards)
        return states, outputs

    def scored(states: tuple[State, ...], given: tuple[Any, Real, Any]) -> tuple[tuple[State, ...], Array]:
        states, outputs = block(states, given)
        return states, stack.read(outputs)

    one = jax.eval_shape(lambda xs: jax.vmap(steps_of(xs).read)(steps_of(xs).xs), xs)
    states = given or first_states(layers, jax.tree.leaves(one)[0].shape[2])

    whole_time = (xs, real, None if stack.between is None else jnp.arange(sequence.length))

    def rows(begin: int, end: int) -> Any:
        return jax.tree.map(
            lambda leaf: leaf[begin * size : end * size].reshape(end - begin, size, *leaf.shape[1:]), whole_time
        )

    again = functools.partial(jax.checkpoint, prevent_cse=False) if way.again else lambda f: f  # a scan prevents it
    unread, whole = first // size, sequence.length // size  # blocks that come before `first`; blocks in all
    parts = []
    if unread:
        states = jax.lax.scan(again(lambda s, x: (block(s, x)[0], None)), states, rows(0, unread))[0]
    if whole > unread:
        states, outputs = jax.lax.scan(again(scored), states, rows(unread, whole))
        outputs = jnp.moveaxis(outputs, 0, 1)
        parts.append(outputs.reshape(outputs.shape[0], -1, outputs.shape[-1]))
    if whole * size < sequence.length:
        rest = jax.tree.map(lambda leaf: leaf[whole * size :], whole_time)
        states, outputs = (jax.checkpoint(scored) if way.again else scored)(states, rest)
        parts.append(outputs)
    return jnp.concatenate(parts, axis=1)[:, first - unread * size :], states


def _scan(cell: Cell, steps: Steps, state: State, real: Real) -> tuple[Float[Array, "time units batch"], State]:
    """A loop over time. What a linear cell emits is computed after it, for all steps at once."""
    if isinstance(cell, LinearCell):
        projected = jax.vmap(steps.read)(steps.xs)

        def advance(state: State, p: Any) -> tuple[State, State]:
            state = cell.advance(state, p)
            return state, state

        if real is None:
            state, states = jax.lax.scan(advance, state, projected)
        else:
            state, states = jax.lax.scan(pausing(advance), state, (projected, real[:, None]))
        return jax.vmap(cell.emit)(states, projected), state
    if real is None:
        state, outputs = jax.lax.scan(lambda state, x: cell.step(state, steps.read(x)), state, steps.xs)
    else:
        step = pausing(cell.step)
        state, outputs = jax.lax.scan(lambda s, x: step(s, (steps.read(x[0]), x[1])), state, (steps.xs, real[:, None]))
    return outputs, state


_RUNNERS: dict[str, Callable[..., tuple[Array, tuple[State, ...]]]] = {
    "unrolled": _unrolled,
    "blocks": _in_blocks,
    "kernels": _in_kernels,
    "at once": _at_once,
    "layers": _in_layers,
}
