"""Rules for operations that take parts of an array."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from capax.interop.onnx.graph import TO_THE_END, Graph, Operand, Value, is_known, is_number
from capax.interop.onnx.rule import Parameters, Refused, Results, Rule


def _sliced(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    operand, strides = operands[0], params["strides"] or (1,) * len(operands[0].shape)
    starts, ends = [], []
    for start, end, size in zip(params["start_indices"], params["limit_indices"], operand.shape, strict=True):
        whole = end is size or bool(end == size)
        if not is_number(start) or not (whole or is_number(end)):
            raise Refused(f"from {start} to {end}")
        starts.append(start)
        ends.append(TO_THE_END if whole else end)
    return [_slice(graph, operand, starts, ends, list(range(len(starts))), strides, results[0].shape)]


def _slice(graph: Graph, operand: Any, starts: Any, ends: Any, axes: Any, steps: Any, shape: Any) -> Value:
    bounds = [np.asarray(part, np.int64) for part in (starts, ends, axes, steps)]
    return graph.add("Slice", [operand, *bounds], shape, operand.dtype)


def _reversed(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    axes = params["dimensions"]
    back = [-1] * len(axes)
    return [_slice(graph, operands[0], back, [-TO_THE_END] * len(axes), axes, back, results[0].shape)]


def _part(graph: Graph, operand: Any, starts: dict[int, Any], sizes: Sequence[Any], result: Any) -> Operand:
    """The part of an array that begins at these places, 0 along all other axes, and has these
    sizes.
    """
    begins, ends = [int(starts.get(axis, 0)) for axis in range(len(sizes))], []
    for begin, size, whole in zip(begins, sizes, operand.shape, strict=True):
        if is_number(whole) and is_number(size):
            if not 0 <= begin <= whole - size:
                raise Refused(f"from {begin} in an axis of {whole}")
            ends.append(begin + size)
        elif begin == 0 and bool(size == whole):
            ends.append(TO_THE_END)
        else:
            raise Refused(f"of {size} of {whole}")
    found = _slice(graph, operand, begins, ends, list(range(len(begins))), [1] * len(begins), tuple(sizes))
    return graph.reshaped(found, result.shape)


def _dynamically_sliced(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    operand, *places = operands
    if not all(is_known(place) for place in places):
        raise Refused("at places that are known only when it runs")
    return [_part(graph, operand, dict(enumerate(places)), params["slice_sizes"], results[0])]


def _gathered(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    operand, places = operands
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    if is_known(places) and np.ndim(places) == 1:  # how JAX slices where a size is symbolic
        starts = dict(zip(numbers.start_index_map, np.asarray(places), strict=True))
        return [_part(graph, operand, starts, sizes, results[0])]
    batched = numbers.operand_batching_dims or numbers.start_indices_batching_dims
    (axis, *others) = numbers.collapsed_slice_dims or (-1,)
    whole = all(at == axis or bool(size == sizes[at]) for at, size in enumerate(operand.shape))
    if batched or others or axis < 0 or tuple(numbers.start_index_map) != (axis,) or not whole:
        raise Refused("at several axes at once")
    index = graph.reshaped(places, tuple(places.shape[:-1]))
    inside, outside = _within(graph, index, operand.shape[axis], params)
    shape = (*operand.shape[:axis], *index.shape, *operand.shape[axis + 1 :])
    found = graph.add("Gather", [operand, inside], shape, operand.dtype, axis=axis)
    if outside is not None:
        beside = graph.reshaped(outside, (*index.shape, *(1,) * (len(operand.shape) - axis - 1)))
        filling = np.asarray(params["fill_value"], operand.dtype)
        found = graph.add("Where", [beside, filling, found], shape, operand.dtype)
    return [graph.transposed(found, _order(numbers.offset_dims, axis, len(index.shape), len(shape)))]


def _within(graph: Graph, index: Any, size: Any, params: Parameters) -> tuple[Any, Any]:
    """Places inside an axis of this size, and which were outside where those are to be filled, else
    None. JAX takes the nearest place that there is, even where none is promised to lie outside.
    """
    mode, modes = params["mode"], jax.lax.GatherScatterMode
    if is_known(index) and is_number(size) and bool(np.all((np.asarray(index) >= 0) & (np.asarray(index) < size))):
        return index, None
    if not is_number(size):
        if mode == modes.PROMISE_IN_BOUNDS:
            return index, None
        raise Refused("at places that may lie outside an axis of any size")
    kind = (index.shape, index.dtype)
    least, most = np.asarray(0, index.dtype), np.asarray(size - 1, index.dtype)
    clipped = graph.add("Min", [graph.add("Max", [index, least], *kind), most], *kind)
    if mode != modes.FILL_OR_DROP:
        return clipped, None
    same = graph.add("Equal", [clipped, index], index.shape, bool)
    return clipped, graph.add("Not", [same], index.shape, bool)


def _order(offsets: Sequence[int], axis: int, indices: int, rank: int) -> list[int]:
    """Where JAX puts the axes of what ONNX's `Gather` along this axis gives, whose axes from `axis`
    on are those of the index.
    """
    of_index = iter(range(axis, axis + indices))
    kept = iter([*range(axis), *range(axis + indices, rank)])
    return [next(kept) if place in offsets else next(of_index) for place in range(rank)]


SLICES: dict[str, Rule] = {
    "dynamic_slice": _dynamically_sliced,
    "gather": _gathered,
    "rev": _reversed,
    "slice": _sliced,
}
"""By the name of the primitive."""
