"""Rules for operations that change the shape of an array, or put arrays together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from capax.interop.onnx.graph import Graph, Spread, Value, is_number
from capax.interop.onnx.rule import SIZE, Parameters, Refused, Results, Rule


def _reshaped(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    if params.get("dimensions") is not None:
        raise Refused("that changes the order of axes")
    return [graph.reshaped(operands[0], results[0].shape)]


def _with_other_axes(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del params
    return [graph.reshaped(operands[0], results[0].shape)]


def _size(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del operands
    size = Value(graph.sizes((params["dim"],)), (1,), np.dtype(np.int64))
    return [graph.cast(graph.reshaped(size, ()), results[0].dtype)]


def _spread(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    operand, shape = operands[0], results[0].shape
    slim = [1] * len(shape)
    for axis, size in zip(params["broadcast_dimensions"], operand.shape, strict=True):
        slim[axis] = size
    if isinstance(operand, Spread):
        places = dict(zip(params["broadcast_dimensions"], operand.slim.shape, strict=True))
        operand, slim = operand.slim, [places.get(axis, 1) for axis in range(len(shape))]
    found = graph.reshaped(operand, tuple(slim))
    return [found if tuple(slim) == tuple(shape) else Spread(found, tuple(shape))]


def _transposed(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    operand, order = operands[0], params["permutation"]
    if isinstance(operand, Spread):
        return [Spread(graph.transposed(operand.slim, order), results[0].shape)]
    return [graph.transposed(operand, order)]


def _split(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    if not all(is_number(size) for size in params["sizes"]):
        raise Refused(f"into parts of {params['sizes']}")
    shapes = [(result.shape, result.dtype) for result in results]
    return graph.add_several("Split", [operands[0], np.asarray(params["sizes"], np.int64)], shapes, axis=params["axis"])


def _concatenated(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    return [graph.add("Concat", operands, results[0].shape, results[0].dtype, axis=params["dimension"])]


def _stacked(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    axis, shape = params["axis"], results[0].shape
    slices = [graph.reshaped(each, (*shape[:axis], 1, *shape[axis + 1 :])) for each in operands]
    return [graph.add("Concat", slices, shape, results[0].dtype, axis=axis)]


def _unstacked(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    axis, shape = params["axis"], operands[0].shape
    each = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = graph.add_several(
        "Split",
        [operands[0], np.ones(len(results), np.int64)],
        [(each, operands[0].dtype)] * len(results),
        axis=axis,
    )
    return [graph.reshaped(part, result.shape) for part, result in zip(parts, results, strict=True)]


def _padded(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    low, high, inner = zip(*params["padding_config"], strict=True)
    if any(inner) or not all(is_number(size) for size in (*low, *high)):
        raise Refused("between the numbers of an array")
    pads = np.asarray([*low, *high], np.int64)
    return [graph.add("Pad", [operands[0], pads, operands[1]], results[0].shape, results[0].dtype)]


def _counted(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del operands
    shape, axis, result = results[0].shape, params["dimension"], results[0]
    size, slim = shape[axis], tuple(each if place == axis else 1 for place, each in enumerate(shape))
    if is_number(size):
        numbers: Any = np.arange(size).astype(result.dtype).reshape(slim)
    else:
        end = graph.reshaped(Value(graph.sizes((size,)), (1,), np.dtype(np.int64)), ())
        zero, one = np.asarray(0, np.int64), np.asarray(1, np.int64)
        numbers = graph.cast(graph.add("Range", [zero, end, one], (size,), np.int64), result.dtype)
        numbers = graph.reshaped(numbers, slim)
    return [numbers if slim == tuple(shape) else Spread(numbers, tuple(shape))]


AXES: dict[str, Rule] = {
    "broadcast_in_dim": _spread,
    "concatenate": _concatenated,
    SIZE: _size,
    "expand_dims": _with_other_axes,
    "iota": _counted,
    "pad": _padded,
    "reshape": _reshaped,
    "split": _split,
    "squeeze": _with_other_axes,
    "stack": _stacked,
    "transpose": _transposed,
    "unstack": _unstacked,
}
"""By the name of the primitive."""
