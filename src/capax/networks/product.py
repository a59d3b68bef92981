"""Matrix products inside a loop over time, fast in both directions.

The derivative of W h with respect to h is a product with the transpose of W, and XLA on a CPU takes
two to three times as long for a transposed matrix as for a plain one. A loop multiplies by the same
matrix at every step, so here the transpose is made once, before the loop. Derivatives of every
order and both modes are those of W h.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, Inexact

from capax.cells.cell import Affine, Cell, affine_declarations

_product = Primitive("product")
"""matrix, its transpose, x -> matrix x. The transpose has no say in the value."""


def product(matrix: Inexact[Array, "k n"], transpose: Inexact[Array, "n k"], x: Inexact[Array, "n *batch"]) -> Array:
    """matrix x, whose derivative with respect to x is computed with `transpose`."""
    columns = x.reshape(x.shape[0], -1)
    return _product.bind(matrix, transpose, columns).reshape(matrix.shape[0], *x.shape[1:])


def _value(matrix: Array, transpose: Array, x: Array) -> Array:
    del transpose
    return jnp.matmul(matrix, x)


def _shape(matrix: Any, transpose: Any, x: Any) -> ShapedArray:
    shape = jax.eval_shape(_value, matrix, transpose, x)
    return ShapedArray(shape.shape, shape.dtype)


def _jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    matrix, transpose, x = primals
    matrix_tangent, _, x_tangent = (ad.instantiate_zeros(tangent) for tangent in tangents)
    return _product.bind(*primals), _product.bind(matrix, transpose, x_tangent) + matrix_tangent @ x


def _transposed(cotangent: Any, matrix: Array, transpose: Array, x: Any) -> tuple[None, None, Any]:
    if isinstance(cotangent, ad.Zero):
        return None, None, ad.Zero(x.aval)
    return None, None, _product.bind(transpose, matrix, cotangent)


def _batched(arguments: tuple, axes: tuple) -> tuple[Array, int]:
    matrix, _, x = arguments
    return jax.vmap(jnp.matmul, in_axes=(axes[0], axes[2]))(matrix, x), 0


_product.def_impl(_value)
_product.def_abstract_eval(_shape)
ad.primitive_jvps[_product] = _jvp
ad.primitive_transposes[_product] = _transposed
batching.primitive_batchers[_product] = _batched
mlir.register_lowering(_product, mlir.lower_fun(_value, multiple_results=False))


class _Looped(Affine):
    """An affine map with the transpose of its recurrent matrix at hand."""

    transpose: Float[Array, "n kn"]

    def __init__(self, affine: Affine):
        self.recurrent, self.input, self.bias = affine.recurrent, affine.input, affine.bias
        self.declaration = affine.declaration
        # The barrier keeps the compiler from putting the transposition back into the loop.
        self.transpose = jax.lax.optimization_barrier(affine.recurrent.T)

    def times(self, h: Inexact[Array, "n *batch"]) -> Inexact[Array, "kn *batch"]:
        return product(self.recurrent, self.transpose, h)


def looped(cell: Cell) -> Cell:
    """The same cell, made ready for a loop over time."""
    maps = {name: getattr(cell, name) for name in affine_declarations(type(cell))}
    if not maps:
        return cell
    return eqx.tree_at(lambda c: [getattr(c, name) for name in maps], cell, [_Looped(part) for part in maps.values()])
