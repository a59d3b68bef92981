"""Fusing: a traced function of a block of samples becomes a C++ kernel that runs through all blocks.

The samples are the last axis of some inputs. Inside the loop over blocks every array stays in cache, elementwise operations
run together, and sums of outer products over time steps (weight gradients) are done together. Nothing here knows of any cell.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from capax.fused import library
from capax.fused.arrays import COLUMNS_TRACED, block
from capax.fused.groups import Groups
from capax.fused.program import Traced, trace


def write_kernel(traced: Traced, columns: int) -> str:
    """The C++ source of a traced program; its arguments are the inputs, then the constants."""
    writer = Groups(traced, columns)
    views = writer.arguments()
    pairs = [(view, view.column_axis is not None) for view in views]
    writer.inputs_of_blocks = frozenset(view.base for view, samples in pairs if samples)
    writer.write_program(views)
    return writer.source(pairs, traced.outputs)


def fuse(function: Callable[[Any, Any], Any], plain: Any, samples: Any) -> Callable[[Any, Any, Any], Any]:
    """Compile `function(plain, samples)` into one kernel for CPUs.

    **Arguments:**

    - `function`: traceable by JAX; its outputs must be sums over samples, or depend on such sums or on `plain` alone.
    - `plain`, `samples`: pytrees of arrays or of their shapes. All leaves of `samples` have the samples as their last
      axis, of one length.

    Returns a function of the same arguments and of `count`, an int32: only the blocks that hold the first `count`
    samples are visited. To be called under `jax.jit`, on a CPU. Raises `Unsupported` where the function, the number of
    samples, or the machine (no C++ compiler) does not allow it.
    """
    columns = block({leaf.shape[-1] for leaf in jax.tree.leaves(samples)})
    stand_in = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*leaf.shape[:-1], COLUMNS_TRACED), leaf.dtype), samples)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), plain)
    traced, structure = trace(function, shapes, stand_in)
    name = library.register(write_kernel(traced, columns))
    constants = [jnp.asarray(array) for _, array in traced.constants]
    results = [jax.ShapeDtypeStruct(output.shape, jnp.float32) for output in traced.outputs]

    def call(plain: Any, samples: Any, count: Any) -> Any:
        arguments = [*jax.tree.leaves((plain, samples)), *constants, jnp.asarray(count, jnp.int32)]
        return jax.tree.unflatten(structure, jax.ffi.ffi_call(name, results)(*arguments))

    return call
