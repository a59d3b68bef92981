"""Rules for operations over whole axes: sums and the like, and products of matrices."""

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from capax.interop.onnx.graph import Graph, Operand
from capax.interop.onnx.rule import Parameters, Refused, Results, Rule


def _reduced(operator: str) -> Rule:
    def rule(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
        axes = np.asarray(params["axes"], np.int64)
        if not axes.size:
            return operands
        logical = results[0].dtype == bool
        operand = graph.cast(operands[0], np.int32) if logical else operands[0]
        found = graph.add(operator, [operand, axes], results[0].shape, operand.dtype, keepdims=0)
        return [graph.cast(found, bool) if logical else found]

    return rule


def _place(operator: str) -> Rule:
    """The rule of the place of the largest or smallest number."""

    def rule(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
        (axis,) = params["axes"]
        found = graph.add(operator, operands, results[0].shape, np.int64, axis=axis, keepdims=0)
        return [graph.cast(found, params["index_dtype"])]

    return rule


def _summed_so_far(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    axis = np.asarray(params["axis"], np.int64)
    attributes = {"reverse": int(params["reverse"])}
    return [graph.add("CumSum", [operands[0], axis], results[0].shape, results[0].dtype, **attributes)]


def _product(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    (left, right), (left_batch, right_batch) = params["dimension_numbers"]
    one, other = operands
    if not np.issubdtype(results[0].dtype, np.floating) or one.dtype != other.dtype:
        raise Refused(f"of {one.dtype} and {other.dtype} numbers")
    if len(left) == 1 and not left_batch and len(one.shape) <= 2 and len(other.shape) >= 2:
        return [_matrix_times(graph, one, left[0], other, right[0], results[0].shape)]
    letters = iter(string.ascii_letters)
    of_one, of_other = [next(letters) for _ in one.shape], [next(letters) for _ in other.shape]
    for a, b in zip((*left, *left_batch), (*right, *right_batch), strict=True):
        of_other[b] = of_one[a]
    free = [letter for axis, letter in enumerate(of_one) if axis not in (*left, *left_batch)]
    free += [letter for axis, letter in enumerate(of_other) if axis not in (*right, *right_batch)]
    made = "".join([of_one[axis] for axis in left_batch] + free)
    equation = f"{''.join(of_one)},{''.join(of_other)}->{made}"
    return [graph.add("Einsum", operands, results[0].shape, results[0].dtype, equation=equation)]


def _matrix_times(graph: Graph, matrix: Any, left: int, other: Any, right: int, shape: Any) -> Operand:
    """A matrix, or a vector, times an array along one axis: what is multiplied by every layer."""
    rank = len(other.shape)
    rows = matrix if len(matrix.shape) == 2 else graph.reshaped(matrix, (1, *matrix.shape))
    rows = rows if left == len(rows.shape) - 1 or len(matrix.shape) == 1 else graph.transposed(rows, (1, 0))
    rest = [axis for axis in range(rank) if axis != right]
    moved = graph.transposed(other, (*rest[:-1], right, rest[-1]))
    sizes = [other.shape[axis] for axis in rest]
    made = graph.add("MatMul", [rows, moved], (*sizes[:-1], rows.shape[0], sizes[-1]), other.dtype)
    first = graph.transposed(made, (rank - 2, *range(rank - 2), rank - 1))
    return graph.reshaped(first, tuple(shape))


SUMS: dict[str, Rule] = {
    "argmax": _place("ArgMax"),
    "argmin": _place("ArgMin"),
    "cumsum": _summed_so_far,
    "dot_general": _product,
    "reduce_and": _reduced("ReduceMin"),
    "reduce_max": _reduced("ReduceMax"),
    "reduce_min": _reduced("ReduceMin"),
    "reduce_or": _reduced("ReduceMax"),
    "reduce_prod": _reduced("ReduceProd"),
    "reduce_sum": _reduced("ReduceSum"),
}
"""By the name of the primitive."""
