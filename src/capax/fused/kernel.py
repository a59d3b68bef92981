"""A traced function of a tile of samples becomes a C++ kernel that runs through all tiles.

Inside the loop over tiles every array stays in cache, elementwise operations run together, and sums
of outer products over time steps (weight gradients) are done together. Nothing here knows of any
cell. A tile is a few dozen samples, the last axis of some inputs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from capax.fused import library
from capax.fused.cpp import handler
from capax.fused.emit import give, take
from capax.fused.labels import Labels
from capax.fused.lower import lower
from capax.fused.program import Traced, Value, trace
from capax.fused.refusal import Refusal
from capax.fused.views import View, size

TILES = (48, 32, 64, 16)
"""Samples in a tile: the first that divides their number."""

Kernel = Callable[[Any, Any, Any], Any]


def tile_of(samples: set[int]) -> int | Refusal:
    """Samples in a tile of arrays that have so many: equally many, a multiple of 16."""
    if len(samples) != 1:
        return Refusal(f"arrays with different numbers of samples, {sorted(samples)}")
    (number,) = samples
    found = next((tile for tile in TILES if number % tile == 0), None)
    return Refusal(f"{number} samples, no multiple of 16") if found is None else found


def write_kernel(traced: Traced, marks: dict[Value, int]) -> str | Refusal:
    """The C++ source of a traced program; its arguments are the inputs, the constants, and how many
    samples are visited. `marks`: the samples' axis of the inputs that have one."""
    lowered = lower(traced, marks)
    if isinstance(lowered, Refusal):
        return lowered
    labels, memory, code = lowered.labels, lowered.memory, lowered.code
    lines, tiles = list(code.declarations), []
    given = traced.given
    for number, value in enumerate(given):
        argument = f"((XLA_FFI_Buffer*)frame->args.args[{number}])"
        lines.append(f"const void* const a{number} = {argument}->data;")
        if labels.has_samples(value):
            tiles.append((number, value))
            lines.append(f"const long n{number} = {argument}->dims[{argument}->rank - 1];")
        else:
            lines.append(take(memory.views[value], value.kind, f"a{number}"))
    tile = given[tiles[0][0]].shape[-1]
    lines += code.before
    lines.append(f"const long count = *(const int32_t*)((XLA_FFI_Buffer*)frame->args.args[{len(given)}])->data;")
    lines.append(f"const long end = count < n{tiles[0][0]} ? count : n{tiles[0][0]};")
    lines.append("for (long start = 0; start < end; start += TILE) {")
    lines += [_take_tile(number, value, memory.views[value], labels) for number, value in tiles]
    lines += [*code.loop, "}", *code.after]
    for number, operand in enumerate(traced.outputs):
        result = f"(float*)((XLA_FFI_Buffer*)frame->rets.rets[{number}])->data"
        lines.append(f"{{ float* const r{number} = {result};\n{give(operand, memory, f'r{number}')}\n}}")
    return handler(tile, code.floats, lines)


def _take_tile(number: int, value: Value, view: View, labels: Labels) -> str:
    """Copies a tile of an argument with samples to where it is read."""
    rows = size(labels.others(value))
    if value.kind == "bool":
        to = f"((int32_t*){view.base})[i * TILE + c]"
        of = f"((const uint8_t*)a{number})[i * n{number} + start + c]"
        return f"for (long i = 0; i < {rows}; i++) for (int c = 0; c < TILE; c++) {to} = -(int32_t){of};"
    of = f"(const float*)a{number} + i * n{number} + start"
    return f"for (long i = 0; i < {rows}; i++) std::memcpy({view.base} + i * TILE, {of}, 4 * TILE);"


def fuse(function: Callable[[Any, Any], Any], plain: Any, samples: Any) -> Kernel | Refusal:
    """Compile `function(plain, samples)` into one kernel for CPUs.

    **Arguments:**

    - `function`: traceable by JAX; its outputs must be sums over samples, or depend on such sums or
      on `plain` alone. It is traced for a tile of samples, so it must not use their number.
    - `plain`, `samples`: pytrees of arrays or of their shapes. All leaves of `samples` have the
      samples as their last axis, of one length.

    Returns a function of the same arguments and of `count`, an int32: only the tiles that hold the
    first `count` samples are visited. To be called under `jax.jit`, on a CPU. Returns a `Refusal`
    where the function, the number of samples, or the machine (no C++ compiler) does not allow it.
    """
    tile = tile_of({leaf.shape[-1] for leaf in jax.tree.leaves(samples)})
    if isinstance(tile, Refusal):
        return tile
    of_tile = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*leaf.shape[:-1], tile), leaf.dtype), samples)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), plain)
    traced, structure = trace(function, shapes, of_tile)
    marked = traced.inputs[len(jax.tree.leaves(shapes)) :]
    source = write_kernel(traced, {value: len(value.shape) - 1 for value in marked})
    if isinstance(source, Refusal):
        return source
    name = library.register(source)
    if isinstance(name, Refusal):
        return name
    constants = [jnp.asarray(array) for _, array in traced.constants]
    results = [jax.ShapeDtypeStruct(output.shape, jnp.float32) for output in traced.outputs]

    def call(plain: Any, samples: Any, count: Any) -> Any:
        arguments = [*jax.tree.leaves((plain, samples)), *constants, jnp.asarray(count, jnp.int32)]
        return jax.tree.unflatten(structure, jax.ffi.ffi_call(name, results)(*arguments))

    return call
