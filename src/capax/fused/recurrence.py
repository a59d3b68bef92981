"""A loop over time as two kernels, forward and backward.

What a step would have to compute again for its gradient is kept where it is costly and there is
room.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from capax.fused import library
from capax.fused.keeping import split
from capax.fused.kernel import tile_of
from capax.fused.labels import label
from capax.fused.loops import Loop, Table, backward_source, forward_source, step_marks
from capax.fused.program import Traced, trace
from capax.fused.refusal import Refusal
from capax.fused.views import size

Step = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]

KEPT_BYTES = 64 * 2**20
"""Most memory for what the steps of one loop keep for their gradients. Beyond it they compute all
again."""


def recurrence(
    step: Step,
    plain: PyTree,
    state: PyTree,
    inputs: PyTree,
    *,
    symbols: Int[Array, "t s b"] | None = None,
    first: int = 0,
) -> tuple[PyTree, PyTree] | Refusal:
    """What `jax.lax.scan` gives for `step(plain, state, x) -> state, output`, by kernels for CPUs.

    Differentiable once, in reverse mode.

    **Arguments:**

    - `plain`: arrays that every step uses; `state`: arrays with the batch as their last axis;
      `inputs`: arrays with time as their first axis and the batch as their last. All of type
      float32. A step is traced for a tile of the batch, so it must not use the batch's size.
    - `symbols`: with these, int32, `inputs` are tables instead: their last axis has the columns of
      all streams side by side, and a step's input is the sum over streams s of the columns of
      their symbols.
    - `first`: the step from which on outputs are wanted.

    Returns the last state, and the outputs from `first` on; or a `Refusal` where a step cannot be
    fused, the batch is no multiple of 16, or there is no C++ compiler. To be traced (`jax.jit`),
    not mapped.
    """
    kernels = _plan(step, plain, state, inputs, symbols, first)
    if isinstance(kernels, Refusal):
        return kernels

    @jax.custom_vjp
    def run(plain: PyTree, state: PyTree, inputs: PyTree, symbols: Any) -> tuple[PyTree, PyTree]:
        return kernels.forward(plain, state, inputs, symbols, keep=False)[0]

    def forward(plain: PyTree, state: PyTree, inputs: PyTree, symbols: Any) -> tuple[Any, Any]:
        result, kept = kernels.forward(plain, state, inputs, symbols, keep=True)
        return result, (plain, inputs, symbols, kept)

    def backward(residuals: Any, gradients: Any) -> tuple[PyTree, PyTree, PyTree, Any]:
        nothing = None if symbols is None else np.zeros(symbols.shape, jax.dtypes.float0)
        return *kernels.backward(*residuals, *gradients), nothing

    run.defvjp(forward, backward)
    return run(plain, state, inputs, symbols)


def _apart(array: Array, tile: int) -> Array:
    """(.., batch) to (tiles, .., tile)."""
    tiles = array.reshape(*array.shape[:-1], -1, tile)
    return jnp.moveaxis(tiles, -2, 0)


def _together(array: Array) -> Array:
    """(tiles, .., tile) to (.., batch)."""
    moved = jnp.moveaxis(array, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)


def _shapes(tree: PyTree) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(tree)]


def _plan(step: Step, plain: PyTree, state: PyTree, inputs: PyTree, symbols: Any, first: int) -> "_Kernels | Refusal":
    """The kernels of a loop, compiled."""
    leaves = jax.tree.leaves((plain, state, inputs))
    if any(leaf.dtype != jnp.float32 for leaf in leaves) or (symbols is not None and symbols.dtype != jnp.int32):
        return Refusal("numbers of another type than float32")
    tile = tile_of({leaf.shape[-1] for leaf in jax.tree.leaves(state)})
    if isinstance(tile, Refusal):
        return tile

    def of_tile(leaf: Any, lead: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*leaf.shape[lead:-1], tile), leaf.dtype)

    p = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), plain)
    s = jax.tree.map(lambda leaf: of_tile(leaf, 0), state)
    x = jax.tree.map(lambda leaf: of_tile(leaf, 1 if symbols is None else 0), inputs)
    after, output = jax.eval_shape(step, p, s, x)
    if jax.tree.structure(after) != jax.tree.structure(s) or _shapes(after) != _shapes(s):
        return Refusal("a step that changes its state's shape")
    if any(not shape or shape[-1] != tile for shape in _shapes(output)):
        return Refusal("an output whose last axis is not the batch")
    time = (jax.tree.leaves(inputs)[0] if symbols is None else symbols).shape[0]
    table = None
    if symbols is not None:
        rows = [int(np.prod(leaf.shape[:-1])) for leaf in jax.tree.leaves(inputs)]
        table = Table(rows, jax.tree.leaves(inputs)[0].shape[-1], symbols.shape[1])
    loop = _loop(step, (p, s, x), (after, output), first, table, time * jax.tree.leaves(state)[0].shape[-1])
    return loop if isinstance(loop, Refusal) else _compiled(loop, jax.tree.structure(s), output)


def _loop(
    step: Step, given: tuple[PyTree, PyTree, PyTree], made: tuple[PyTree, PyTree], first: int, table: Table | None,
    samples: int,
) -> Loop | Refusal:  # fmt: skip
    """The programs of a step. `given`: shapes of plain arrays, states, inputs, for one tile;
    `made`: of states and outputs; `samples`: how many there are at all steps together."""
    (p, s, x), (after, output) = given, made

    def back(p: PyTree, s: PyTree, x: PyTree, after: PyTree, output: PyTree) -> tuple[PyTree, PyTree, PyTree]:
        return jax.vjp(step, p, s, x)[1]((after, output))

    plain, count = len(jax.tree.leaves(p)), len(jax.tree.leaves(s))
    forward, backward = trace(step, p, s, x)[0], trace(back, p, s, x, after, output)[0]
    kept = _kept(forward, backward, plain, count, samples)
    if isinstance(kept, Refusal):
        return kept
    states, inputs, outputs = ([size(shape) for shape in _shapes(tree)] for tree in (s, x, output))
    tile = jax.tree.leaves(s)[0].shape[-1]
    return Loop(tile, first, plain, states, inputs, outputs, forward, *kept, table)


def _kept(
    forward: Traced, backward: Traced, plain: int, states: int, samples: int
) -> tuple[Traced, tuple[tuple[Any, int], ...]] | Refusal:
    """The backward program that reads what the forward one keeps, and what that is; where there is
    no room, the backward program as it is, and nothing."""
    labels = label(backward, step_marks(backward, plain, plain))
    if isinstance(labels, Refusal):
        return labels
    shorter, ours, theirs = split(forward, backward, labels)
    fresh = {
        value: size(labels.others(other))
        for value, other in zip(ours, theirs, strict=True)
        if value not in forward.outputs[:states]  # a next state is kept as it is
    }
    if 4 * samples * sum(fresh.values()) > KEPT_BYTES:
        return backward, ()
    return shorter, tuple((value, labels.axes[other]) for value, other in zip(ours, theirs, strict=True))


def _compiled(loop: Loop, states: Any, output: PyTree) -> "_Kernels | Refusal":
    """Compile a loop's three kernels."""
    names: list[str] = []
    for source in (forward_source(loop, keep=False), forward_source(loop, keep=True), backward_source(loop)):
        if isinstance(source, Refusal):
            return source
        name = library.register(source)
        if isinstance(name, Refusal):
            return name
        names.append(name)
    return _Kernels(loop, states, output, *names)


@dataclasses.dataclass(frozen=True)
class _Kernels:
    """The kernels of one loop: names for `jax.ffi.ffi_call`. `states`: the states' tree; `output`:
    the shapes of outputs for one tile."""

    loop: Loop
    states: Any
    output: PyTree
    forward_only: str
    forward_keeping: str
    back: str

    def _inputs(self, inputs: PyTree, symbols: Any) -> list[Array]:
        """As kernels read them: tiles first; tables as matrices, then the symbols."""
        leaves = jax.tree.leaves(inputs)
        if symbols is None:
            return [_apart(leaf, self.loop.tile) for leaf in leaves]
        return [*(leaf.reshape(-1, leaf.shape[-1]) for leaf in leaves), symbols]

    def forward(
        self, plain: PyTree, state: PyTree, inputs: PyTree, symbols: Any, *, keep: bool
    ) -> tuple[tuple[PyTree, PyTree], list[Array]]:
        """The last state and the outputs; and what the backward pass reads: states, of shape
        (tiles, time + 1, .., tile), and what else was kept."""
        tile, loop = self.loop.tile, self.loop
        first = [_apart(leaf, tile) for leaf in jax.tree.leaves(state)]
        tiles = first[0].shape[0]
        time = (jax.tree.leaves(inputs)[0] if symbols is None else symbols).shape[0]
        shapes = [(tiles, time + 1, *leaf.shape[1:]) for leaf in first]
        wanted = _shapes(self.output)
        shapes += [(tiles, time - loop.first, *wanted[i]) for i in loop.own_outputs]
        if keep:
            shapes += [(tiles, time, *shape, tile) for shape in loop.fresh_shapes]
        arguments = [*jax.tree.leaves(plain), *first, *self._inputs(inputs, symbols), *_constants(loop.forward)]
        results = jax.ffi.ffi_call(
            self.forward_keeping if keep else self.forward_only,
            [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes],
        )(*arguments)
        states, own = results[: len(first)], iter(results[len(first) :])
        outputs = [
            _together(next(own) if known is None else states[known][:, 1 + loop.first :])
            for known in loop.output_is_state
        ]
        last = jax.tree.unflatten(self.states, [_together(leaf[:, -1]) for leaf in states])
        kept = [*states, *results[len(first) + len(loop.own_outputs) :]]
        return (last, jax.tree.unflatten(jax.tree.structure(self.output), outputs)), kept

    def backward(
        self, plain: PyTree, inputs: PyTree, symbols: Any, kept: list[Array], last: PyTree, outputs: PyTree
    ) -> tuple[PyTree, PyTree, PyTree]:
        """Gradients of `plain`, of the first state, and of the inputs."""
        given = self._inputs(inputs, symbols)
        gradients = [_apart(leaf, self.loop.tile) for leaf in jax.tree.leaves((last, outputs))]
        found_inputs = given if symbols is None else given[:-1]
        results = [*jax.tree.leaves(plain), *gradients[: self.states.num_leaves], *found_inputs]
        arguments = [*jax.tree.leaves(plain), *kept, *given, *gradients, *_constants(self.loop.backward)]
        shapes = [jax.ShapeDtypeStruct(leaf.shape, jnp.float32) for leaf in results]
        found = iter(jax.ffi.ffi_call(self.back, shapes)(*arguments))
        of_plain = jax.tree.map(lambda _: next(found), plain)
        of_state = jax.tree.map(lambda _: _together(next(found)), last)
        if symbols is None:
            return of_plain, of_state, jax.tree.map(lambda _: _together(next(found)), inputs)
        return of_plain, of_state, jax.tree.map(lambda leaf: next(found).reshape(leaf.shape), inputs)


def _constants(traced: Traced) -> list[Array]:
    return [jnp.asarray(array) for _, array in traced.constants]
