"""A loop over time as two kernels, forward and backward. What a step would have to compute again for its gradient is kept
where it is costly and there is room."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from capax.fused import library
from capax.fused.arrays import COLUMNS_TRACED, Unsupported, block, size
from capax.fused.keeping import split
from capax.fused.loops import Loop, Table, backward_source, forward_source
from capax.fused.program import trace

Step = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]

KEPT_BYTES = 64 * 2**20
"""Most memory for what steps keep for their gradients, in one loop; where it does not suffice they compute it again."""


def recurrence(
    step: Step,
    plain: PyTree,
    state: PyTree,
    inputs: PyTree,
    *,
    symbols: Int[Array, "t s b"] | None = None,
    first: int = 0,
) -> tuple[PyTree, PyTree]:
    """What `jax.lax.scan` gives for `step(plain, state, x) -> state, output`, differentiable once, for CPUs.

    **Arguments:**

    - `plain`: arrays that every step uses; `state`: arrays with the batch as their last axis; `inputs`: arrays with time
      as their first axis and the batch as their last. All of type float32.
    - `symbols`: with these, int32, `inputs` are tables instead: their last axis has the columns of all streams side by side,
      and a step's input is the sum over streams s of the columns of their symbols.
    - `first`: the step from which on outputs are wanted.

    Returns the last state, and the outputs from `first` on. To be traced (`jax.jit`), not mapped. Raises `Unsupported`
    where a step cannot be fused, the batch is no multiple of 16, or there is no C++ compiler.
    """
    leaves = jax.tree.leaves((plain, state, inputs))
    if any(leaf.dtype != jnp.float32 for leaf in leaves) or (symbols is not None and symbols.dtype != jnp.int32):
        raise Unsupported("numbers of another type than float32")
    columns = block({leaf.shape[-1] for leaf in jax.tree.leaves(state)})
    kernels = _Kernels(step, plain, state, inputs, symbols, first, columns)

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


def _apart(array: Array, columns: int) -> Array:
    """(.., batch) to (blocks, .., columns)."""
    blocks = array.reshape(*array.shape[:-1], -1, columns)
    return jnp.moveaxis(blocks, -2, 0)


def _together(array: Array) -> Array:
    """(blocks, .., columns) to (.., batch)."""
    moved = jnp.moveaxis(array, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)


def _sample_shape(leaf: Any, lead: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((*leaf.shape[lead:-1], COLUMNS_TRACED), leaf.dtype)


class _Kernels:
    """The two kernels of one step, compiled when they are first called."""

    def __init__(
        self, step: Step, plain: PyTree, state: PyTree, inputs: PyTree, symbols: Any, first: int, columns: int
    ):
        self._columns, self._first = columns, first
        self._batch = jax.tree.leaves(state)[0].shape[-1]
        self._time = (jax.tree.leaves(inputs)[0] if symbols is None else symbols).shape[0]
        p = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), plain)
        s = jax.tree.map(lambda leaf: _sample_shape(leaf, 0), state)
        x = jax.tree.map(lambda leaf: _sample_shape(leaf, 1 if symbols is None else 0), inputs)
        after, self._output = jax.eval_shape(step, p, s, x)
        if jax.tree.structure(after) != jax.tree.structure(s) or [leaf.shape for leaf in jax.tree.leaves(after)] != [
            leaf.shape for leaf in jax.tree.leaves(s)
        ]:
            raise Unsupported("a step that changes its state's shape")

        def back(p: PyTree, s: PyTree, x: PyTree, after: PyTree, output: PyTree) -> tuple[PyTree, PyTree, PyTree]:
            return jax.vjp(step, p, s, x)[1]((after, output))

        self._states = jax.tree.structure(s)
        forward, backward = trace(step, p, s, x)[0], trace(back, p, s, x, after, self._output)[0]
        shorter, kept = split(forward, backward)
        count = len(jax.tree.leaves(s))
        fresh = [value for value in kept if value not in forward.outputs[:count]]  # a next state is kept as it is
        room = 4 * self._time * self._batch * sum(int(np.prod(value.shape[:-1])) for value in fresh)
        if room > KEPT_BYTES:
            shorter, kept = backward, []
        table = None
        if symbols is not None:
            features = jax.tree.leaves(inputs)[0].shape[-1]
            table = Table(
                [int(np.prod(leaf.shape[:-1])) for leaf in jax.tree.leaves(inputs)], features, symbols.shape[1]
            )
        sizes = [size(leaf.shape, columns) for leaf in jax.tree.leaves((s, x, self._output))]
        cuts = (count, count + len(jax.tree.leaves(x)))
        self._loop = Loop(
            columns, first, len(jax.tree.leaves(p)), sizes[: cuts[0]], sizes[cuts[0] : cuts[1]], sizes[cuts[1] :],
            forward, shorter, kept, table,
        )  # fmt: skip

    @functools.cached_property
    def _forward_only(self) -> str:
        return library.register(forward_source(self._loop, keep=False))

    @functools.cached_property
    def _names(self) -> tuple[str, str]:
        return library.register(forward_source(self._loop, keep=True)), library.register(backward_source(self._loop))

    def _inputs(self, inputs: PyTree, symbols: Any) -> list[Array]:
        """As kernels read them: blocks first; tables as matrices, then the symbols."""
        leaves = jax.tree.leaves(inputs)
        if symbols is None:
            return [_apart(leaf, self._columns) for leaf in leaves]
        return [*(leaf.reshape(-1, leaf.shape[-1]) for leaf in leaves), symbols]

    def forward(
        self, plain: PyTree, state: PyTree, inputs: PyTree, symbols: Any, *, keep: bool
    ) -> tuple[tuple[PyTree, PyTree], list[Array]]:
        """The last state and the outputs; states (blocks, time + 1, .., columns) and what else the backward pass reads."""
        columns, loop = self._columns, self._loop
        blocks, scored = self._batch // columns, self._time - self._first
        first = [_apart(leaf, columns) for leaf in jax.tree.leaves(state)]
        shapes = [(blocks, self._time + 1, *leaf.shape[1:]) for leaf in first]
        wanted = jax.tree.leaves(self._output)
        shapes += [(blocks, scored, *wanted[i].shape[:-1], columns) for i in loop.own_outputs]
        if keep:
            shapes += [(blocks, self._time, *value.shape[:-1], columns) for value in loop.fresh]
        arguments = [*jax.tree.leaves(plain), *first, *self._inputs(inputs, symbols), *_constants(loop.forward)]
        results = jax.ffi.ffi_call(
            self._names[0] if keep else self._forward_only,
            [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes],
        )(*arguments)
        states, own = results[: len(first)], iter(results[len(first) :])
        outputs = [
            _together(next(own) if known is None else states[known][:, 1 + self._first :])
            for known in loop.output_is_state
        ]
        last = jax.tree.unflatten(self._states, [_together(leaf[:, -1]) for leaf in states])
        kept = [*states, *results[len(first) + len(loop.own_outputs) :]]
        return (last, jax.tree.unflatten(jax.tree.structure(self._output), outputs)), kept

    def backward(
        self, plain: PyTree, inputs: PyTree, symbols: Any, kept: list[Array], last: PyTree, outputs: PyTree
    ) -> tuple[PyTree, PyTree, PyTree]:
        """Gradients of `plain`, of the first state, and of the inputs."""
        given = self._inputs(inputs, symbols)
        gradients = [_apart(leaf, self._columns) for leaf in jax.tree.leaves((last, outputs))]
        found_inputs = given if symbols is None else given[:-1]
        results = [*jax.tree.leaves(plain), *gradients[: self._states.num_leaves], *found_inputs]
        arguments = [*jax.tree.leaves(plain), *kept, *given, *gradients, *_constants(self._loop.backward)]
        shapes = [jax.ShapeDtypeStruct(leaf.shape, jnp.float32) for leaf in results]
        found = iter(jax.ffi.ffi_call(self._names[1], shapes)(*arguments))
        of_plain = jax.tree.map(lambda _: next(found), plain)
        of_state = jax.tree.map(lambda _: _together(next(found)), last)
        if symbols is None:
            return of_plain, of_state, jax.tree.map(lambda _: _together(next(found)), inputs)
        return of_plain, of_state, jax.tree.map(lambda leaf: next(found).reshape(leaf.shape), inputs)


def _constants(traced: Any) -> list[Array]:
    return [jnp.asarray(array) for _, array in traced.constants]
