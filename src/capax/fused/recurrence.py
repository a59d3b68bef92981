"""A loop over time as two kernels: forward, and backward with each step computed again from the state at its beginning."""

import subprocess
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from capax.fused import library
from capax.fused.arrays import COLUMNS_TRACED, Unsupported, View, dense
from capax.fused.code import handler, has_samples
from capax.fused.groups import Groups
from capax.fused.kernel import BLOCKS
from capax.fused.program import Operand, Traced, trace

Step = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]


def recurrence(step: Step, plain: PyTree, state: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
    """What `jax.lax.scan` gives for `step(plain, state, x) -> state, output`, differentiable once, for CPUs.

    **Arguments:**

    - `plain`: arrays that every step uses; `state`: arrays with the batch as their last axis; `inputs`: arrays with time
      as their first axis and the batch as their last. All of type float32.

    Returns the last state, and the outputs at all steps. To be traced (`jax.jit`), not mapped. Raises `Unsupported`
    where a step cannot be fused, the batch is no multiple of 16, or there is no C++ compiler.
    """
    if library.compiler() is None:
        raise Unsupported("no C++ compiler")
    leaves = jax.tree.leaves((plain, state, inputs))
    if any(leaf.dtype != jnp.float32 for leaf in leaves):
        raise Unsupported("numbers of another type than float32")
    batch = jax.tree.leaves(state)[0].shape[-1]
    columns = next((block for block in BLOCKS if batch % block == 0), None)
    if columns is None:
        raise Unsupported(f"a batch of {batch}")
    kernels = _Kernels(step, plain, state, inputs, columns)

    @jax.custom_vjp
    def run(plain: PyTree, state: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
        return forward(plain, state, inputs)[0]

    def forward(plain: PyTree, state: PyTree, inputs: PyTree) -> tuple[Any, Any]:
        states, outputs = kernels.forward(plain, state, inputs)
        last = jax.tree.map(lambda leaf: _together(leaf[:, -1]), states)
        return (last, jax.tree.map(_together, outputs)), (plain, states, inputs)

    def backward(residuals: Any, gradients: Any) -> tuple[PyTree, PyTree, PyTree]:
        plain, states, inputs = residuals
        last, outputs = gradients
        return kernels.backward(plain, states, inputs, last, outputs)

    run.defvjp(forward, backward)
    return run(plain, state, inputs)


def _apart(array: Array, columns: int) -> Array:
    """(.., batch) to (blocks, .., columns)."""
    split = array.reshape(*array.shape[:-1], -1, columns)
    return jnp.moveaxis(split, -2, 0)


def _together(array: Array) -> Array:
    """(blocks, .., columns) to (.., batch)."""
    moved = jnp.moveaxis(array, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)


def _sample_shape(leaf: Any, lead: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((*leaf.shape[lead:-1], COLUMNS_TRACED), leaf.dtype)


class _Kernels:
    def __init__(self, step: Step, plain: PyTree, state: PyTree, inputs: PyTree, columns: int):
        self.columns = columns
        p = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), plain)
        s = jax.tree.map(lambda leaf: _sample_shape(leaf, 0), state)
        x = jax.tree.map(lambda leaf: _sample_shape(leaf, 1), inputs)
        after, output = jax.eval_shape(step, p, s, x)
        if jax.tree.structure(after) != jax.tree.structure(s) or [leaf.shape for leaf in jax.tree.leaves(after)] != [
            leaf.shape for leaf in jax.tree.leaves(s)
        ]:
            raise Unsupported("a step that changes its state's shape")
        self.output = output

        def back(p: PyTree, s: PyTree, x: PyTree, after: PyTree, output: PyTree) -> tuple[PyTree, PyTree, PyTree]:
            return jax.vjp(step, p, s, x)[1]((after, output))

        self._forward, _ = trace(step, p, s, x)
        self._backward, _ = trace(back, p, s, x, after, output)
        # An output that is a state is not written twice.
        states = self._forward.outputs[: len(jax.tree.leaves(s))]
        outputs = self._forward.outputs[len(states) :]
        self._is_state = [next((i for i, one in enumerate(states) if one is out), None) for out in outputs]
        try:
            self._names = (
                library.register(self._forward_source(p, s, x)),
                library.register(self._backward_source(p, s, x)),
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip()
            raise Unsupported(f"the compiler failed: {said}") from error

    def forward(self, plain: PyTree, state: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
        """States (blocks, time + 1, .., columns) and outputs (blocks, time, .., columns)."""
        state, inputs = jax.tree.map(lambda leaf: _apart(leaf, self.columns), (state, inputs))
        blocks, time = jax.tree.leaves(inputs)[0].shape[:2]
        shapes = [
            jax.ShapeDtypeStruct((blocks, time + 1, *leaf.shape[1:]), jnp.float32) for leaf in jax.tree.leaves(state)
        ]
        own = [
            jax.ShapeDtypeStruct((blocks, time, *leaf.shape[:-1], self.columns), jnp.float32)
            for leaf, known in zip(jax.tree.leaves(self.output), self._is_state, strict=True)
            if known is None
        ]
        arguments = [*jax.tree.leaves((plain, state, inputs)), *self._constants(self._forward)]
        results = jax.ffi.ffi_call(self._names[0], [*shapes, *own])(*arguments)
        states, rest = results[: len(shapes)], iter(results[len(shapes) :])
        outputs = [next(rest) if known is None else states[known][:, 1:] for known in self._is_state]
        return (
            jax.tree.unflatten(jax.tree.structure(state), states),
            jax.tree.unflatten(jax.tree.structure(self.output), outputs),
        )

    def backward(
        self, plain: PyTree, states: PyTree, inputs: PyTree, last: PyTree, outputs: PyTree
    ) -> tuple[PyTree, PyTree, PyTree]:
        """Gradients of `plain`, of the first state, and of the inputs."""
        apart = jax.tree.map(lambda leaf: _apart(leaf, self.columns), (inputs, last, outputs))
        x, last = apart[0], apart[1]
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.float32), (plain, last, x))
        arguments = [*jax.tree.leaves((plain, states, *apart)), *self._constants(self._backward)]
        found = jax.ffi.ffi_call(self._names[1], jax.tree.leaves(shapes))(*arguments)
        plain, state, x = jax.tree.unflatten(jax.tree.structure(shapes), found)
        return plain, jax.tree.map(_together, state), jax.tree.map(_together, x)

    @staticmethod
    def _constants(traced: Traced) -> list[Array]:
        return [jnp.asarray(array) for _, array in traced.constants]

    def _writer(
        self, traced: Traced, pointers: list[str], results: list[tuple[Operand, str]]
    ) -> tuple[Groups, list[tuple[int, View]]]:
        """The code of one step. `pointers` name the inputs with samples, `results` where those with samples go."""
        writer = Groups(traced, self.columns)
        values = [*traced.inputs, *(value for value, _ in traced.constants)]
        views, taken, names = [], [], iter(pointers)
        for number, value in enumerate(values):
            if value.kind not in ("float", "int32_t", "bool"):
                raise Unsupported(f"an input of type {value.kind}")
            if has_samples(value):
                views.append(View(next(names), 0, value.shape, dense(value.shape, self.columns), "float"))
            else:
                views.append(writer.buffer(value.shape, value.kind))
                taken.append((number, views[-1]))
        writer.kind_of_input = tuple(value.kind for value in values)
        writer.write_step(views, results)
        return writer, taken

    def _size(self, shape: Any) -> int:
        return int(np.prod(shape.shape[:-1], dtype=int)) * self.columns

    @staticmethod
    def _take(writer: Groups, taken: list[tuple[int, View]]) -> list[str]:
        """Read the arguments without samples."""
        lines = []
        for number, view in taken:
            lines.append(f"const void* const a{number} = ((XLA_FFI_Buffer*)frame->args.args[{number}])->data;")
            lines.append(writer.take(number, view))
        return lines

    def _forward_source(self, p: PyTree, s: PyTree, x: PyTree) -> str:
        plain, states, inputs = (jax.tree.leaves(tree) for tree in (p, s, x))
        n, m, k = len(plain), len(states), len(inputs)
        own = [i for i, known in enumerate(self._is_state) if known is None]
        outputs = jax.tree.leaves(self.output)
        pointers = [f"s{i}" for i in range(m)] + [f"x{i}" for i in range(k)]
        results: list[tuple[Operand, str]] = [(self._forward.outputs[i], f"t{i}") for i in range(m)]
        results += [(self._forward.outputs[m + i], f"o{i}") for i in own]
        writer, taken = self._writer(self._forward, pointers, results)
        lines, floats = writer.declarations("scratch")
        lines += self._take(writer, taken)
        lines += writer.before
        first = f"((XLA_FFI_Buffer*)frame->args.args[{n + m}])"
        lines.append(f"const long blocks = {first}->dims[0], time = {first}->dims[1];")
        lines.append("for (long g = 0; g < blocks; g++) {")
        for i, leaf in enumerate(states):
            size = self._size(leaf)
            lines.append(f"float* const h{i} = {_result(i)} + g * (time + 1) * {size};")
            lines.append(f"std::memcpy(h{i}, {_argument(n + i)} + g * {size}, {4 * size});")
        lines.append("for (long t = 0; t < time; t++) {")
        for i, leaf in enumerate(states):
            size = self._size(leaf)
            lines.append(f"float *const s{i} = h{i} + t * {size}, *const t{i} = s{i} + {size};")
        for i, leaf in enumerate(inputs):
            lines.append(f"const float* const x{i} = {_argument(n + m + i)} + (g * time + t) * {self._size(leaf)};")
        for place, i in enumerate(own):
            lines.append(f"float* const o{i} = {_result(m + place)} + (g * time + t) * {self._size(outputs[i])};")
        lines += [*writer.body(), "}", "}"]
        return handler(self.columns, floats, lines)

    def _backward_source(self, p: PyTree, s: PyTree, x: PyTree) -> str:
        plain, states, inputs = (jax.tree.leaves(tree) for tree in (p, s, x))
        outputs = jax.tree.leaves(self.output)
        n, m, k, o = len(plain), len(states), len(inputs), len(outputs)
        pointers = [f"{letter}{i}" for letter, count in (("s", m), ("x", k), ("d", m), ("e", o)) for i in range(count)]
        found = self._backward.outputs
        results: list[tuple[Operand, str]] = [(found[n + i], f"f{i}") for i in range(m)]
        results += [(found[n + m + i], f"y{i}") for i in range(k)]
        writer, taken = self._writer(self._backward, pointers, results)
        lines, floats = writer.declarations("scratch")
        lines += self._take(writer, taken)
        lines += writer.before
        place = floats
        for i, leaf in enumerate(states):
            size = self._size(leaf)
            lines.append(f"float *const d{i} = scratch + {place}, *const f{i} = d{i} + {size};")
            place = f"{place} + {2 * size}"
        first = f"((XLA_FFI_Buffer*)frame->args.args[{n + m}])"
        lines.append(f"const long blocks = {first}->dims[0], time = {first}->dims[1];")
        lines.append("for (long g = 0; g < blocks; g++) {")
        for i, leaf in enumerate(states):
            size = self._size(leaf)
            lines.append(f"std::memcpy(d{i}, {_argument(n + m + k + i)} + g * {size}, {4 * size});")
        lines.append("for (long t = time - 1; t >= 0; t--) {")
        for i, leaf in enumerate(states):
            lines.append(f"const float* const s{i} = {_argument(n + i)} + (g * (time + 1) + t) * {self._size(leaf)};")
        for i, leaf in enumerate(inputs):
            size = self._size(leaf)
            lines.append(f"const float* const x{i} = {_argument(n + m + i)} + (g * time + t) * {size};")
            lines.append(f"float* const y{i} = {_result(n + m + i)} + (g * time + t) * {size};")
        for i, leaf in enumerate(outputs):
            lines.append(
                f"const float* const e{i} = {_argument(n + m + k + m + i)} + (g * time + t) * {self._size(leaf)};"
            )
        lines += writer.body()
        lines += [f"std::memcpy(d{i}, f{i}, {4 * self._size(leaf)});" for i, leaf in enumerate(states)]
        lines.append("}")
        for i, leaf in enumerate(states):
            size = self._size(leaf)
            lines.append(f"std::memcpy({_result(n + i)} + g * {size}, d{i}, {4 * size});")
        lines += ["}", *writer.after]
        lines += [writer.give(i, found[i]) for i in range(n)]
        return handler(self.columns, place, lines)


def _argument(number: int) -> str:
    return f"((const float*)((XLA_FFI_Buffer*)frame->args.args[{number}])->data)"


def _result(number: int) -> str:
    return f"((float*)((XLA_FFI_Buffer*)frame->rets.rets[{number}])->data)"
