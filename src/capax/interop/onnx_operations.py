"""JAX's operations as ONNX's: one rule for each primitive of a traced program that computes numbers
and holds no program of its own.

A rule is given the graph, the primitive's parameters, its operands, and shape and type of each
result; it gives the results.
"""

import string
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from capax.errors import CapaxError
from capax.interop.onnx_graph import TO_THE_END, Graph, Operand, Spread, Value, is_known, is_number

Parameters = dict[str, Any]
Results = Sequence[Any]
"""Shapes and types of what a primitive makes, as JAX says them."""
Rule = Callable[[Graph, Parameters, Sequence[Any], Results], Sequence[Any]]


class Refused(CapaxError):
    """An operation is known, but not in this form: the reason, without the operation's name."""


def _elementwise(graph: Graph, operator: str, operands: Sequence[Any], result: Any, dtype: Any = None) -> Value:
    fitted = graph.fitted(operands, result.shape)
    return graph.add(operator, fitted, result.shape, result.dtype if dtype is None else dtype)


def _same(operator: str) -> Rule:
    """The rule of an operation that ONNX has, element by element."""

    def rule(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
        del params
        return [_elementwise(graph, operator, operands, results[0])]

    return rule


def _logical(operator: str) -> Rule:
    def rule(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
        del params
        if results[0].dtype != bool:
            raise Refused(f"of {results[0].dtype} numbers, bit by bit")
        return [_elementwise(graph, operator, operands, results[0])]

    return rule


def _in_steps(compute: Callable[["Steps", Any], Any]) -> Rule:
    """The rule of an operation of one operand that ONNX does not have, written with others."""

    def rule(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
        del params
        return [compute(Steps(graph, results[0]), operands[0])]

    return rule


class Steps:
    """Writes several operations of numbers of one type, element by element, one after the other."""

    def __init__(self, graph: Graph, result: Any):
        self.graph, self.result = graph, result

    def number(self, value: float) -> np.ndarray:
        """A constant."""
        return np.asarray(value, self.result.dtype)

    def __call__(self, operator: str, *operands: Any) -> Value:
        """A node whose result has the type of the whole."""
        return _elementwise(self.graph, operator, operands, self.result)

    def test(self, operator: str, *operands: Any) -> Value:
        """A node that answers yes or no."""
        return _elementwise(self.graph, operator, operands, self.result, bool)


def _log1p(do: Steps, x: Any) -> Any:
    """log(1 + x), exact for small x too: log(u) x / (u - 1) with u = 1 + x (Goldberg 1991, theorem
    4).
    """
    one = do.number(1)
    u = do("Add", x, one)
    near = do("Div", do("Mul", do("Log", u), x), do("Sub", u, one))
    near = do("Where", do.test("Equal", u, one), x, near)
    return do("Where", do.test("Less", do("Abs", x), do.number(0.5)), near, do("Log", u))


def _expm1(do: Steps, x: Any) -> Any:
    """exp(x) - 1, exact for small x too: (u - 1) x / log(u) with u = exp(x) (Kahan; Higham 2002,
    section 1.14.1).
    """
    one = do.number(1)
    u = do("Exp", x)
    less = do("Sub", u, one)
    near = do("Where", do.test("Equal", u, one), x, do("Div", do("Mul", less, x), do("Log", u)))
    return do("Where", do.test("Less", do("Abs", x), do.number(0.5)), near, less)


def _cbrt(do: Steps, x: Any) -> Any:
    return do("Mul", do("Sign", x), do("Pow", do("Abs", x), do.number(1 / 3)))


def _not(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    return _logical("Not")(graph, params, operands, results)


def _unequal(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del params
    return [graph.add("Not", [_elementwise(graph, "Equal", operands, results[0])], results[0].shape, bool)]


def _is_finite(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del params
    odd = [graph.add(operator, operands, results[0].shape, bool) for operator in ("IsNaN", "IsInf")]
    return [graph.add("Not", [graph.add("Or", odd, results[0].shape, bool)], results[0].shape, bool)]


def _integer_power(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    exponent, result = params["y"], results[0]
    if exponent in (2, 3, 4):
        found = squared = _elementwise(graph, "Mul", [operands[0]] * 2, result)
        if exponent > 2:
            found = _elementwise(graph, "Mul", [squared, operands[0] if exponent == 3 else squared], result)
        return [found]
    return [_elementwise(graph, "Pow", [operands[0], np.asarray(exponent, result.dtype)], result)]


def _round(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    if params["rounding_method"] == jax.lax.RoundingMethod.TO_NEAREST_EVEN:
        return _same("Round")(graph, params, operands, results)
    do, x = Steps(graph, results[0]), operands[0]
    return [do("Mul", do("Sign", x), do("Floor", do("Add", do("Abs", x), do.number(0.5))))]


def _remainder(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del params
    fitted = graph.fitted(operands, results[0].shape)
    return [graph.add("Mod", fitted, results[0].shape, results[0].dtype, fmod=1)]


def _clamped(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del params
    low, x, high = operands
    return [_elementwise(graph, "Min", [_elementwise(graph, "Max", [x, low], results[0]), high], results[0])]


def _selected(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    del params
    which, *cases = operands
    if which.dtype == bool:
        return [_elementwise(graph, "Where", [which, *reversed(cases)], results[0])]
    found = cases[-1]
    for number in range(len(cases) - 2, -1, -1):
        here = graph.add("Equal", [which, np.asarray(number, which.dtype)], which.shape, bool)
        found = _elementwise(graph, "Where", [here, cases[number], found], results[0])
    return [found]


def _converted(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    return [graph.cast(operands[0], params["new_dtype"])]


def _as_it_is(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    return operands


def _reshaped(graph: Graph, params: Parameters, operands: Sequence[Any], results: Results) -> Sequence[Any]:
    if params.get("dimensions") is not None:
        raise Refused("that changes the order of axes")
    return [graph.reshaped(operands[0], results[0].shape)]


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
        return [
            _part(
                graph, operand, dict(zip(numbers.start_index_map, np.asarray(places), strict=True)), sizes, results[0]
            )
        ]
    batched = numbers.operand_batching_dims or numbers.start_indices_batching_dims
    (axis, *others) = numbers.collapsed_slice_dims or (-1,)
    whole = all(at == axis or bool(size == sizes[at]) for at, size in enumerate(operand.shape))
    if batched or others or axis < 0 or tuple(numbers.start_index_map) != (axis,) or not whole:
        raise Refused("at several axes at once")
    size, inside = operand.shape[axis], jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    known = is_known(places) and is_number(size)
    fits = known and bool(np.all((np.asarray(places) >= 0) & (np.asarray(places) < size)))
    if not fits and params["mode"] != inside:
        raise Refused(
            "at places that may lie outside the array (x.at[i].get(mode='promise_in_bounds') says that none does)"
        )
    index = graph.reshaped(places, tuple(places.shape[:-1]))
    kept = [at for at in range(len(operand.shape)) if at != axis]
    shape = (*operand.shape[:axis], *index.shape, *operand.shape[axis + 1 :])
    found = graph.add("Gather", [operand, index], shape, operand.dtype, axis=axis)
    at_kept = [at if at < axis else at + len(index.shape) - 1 for at in kept]
    offsets, order, indices = iter(at_kept), [], iter(range(axis, axis + len(index.shape)))
    for place in range(len(results[0].shape)):
        order.append(next(offsets) if place in numbers.offset_dims else next(indices))
    return [graph.transposed(found, order)]


RULES: dict[str, Rule] = {
    "abs": _same("Abs"),
    "acos": _same("Acos"),
    "acosh": _same("Acosh"),
    "add": _same("Add"),
    "add_any": _same("Add"),
    "and": _logical("And"),
    "argmax": _place("ArgMax"),
    "argmin": _place("ArgMin"),
    "asin": _same("Asin"),
    "asinh": _same("Asinh"),
    "atan": _same("Atan"),
    "atanh": _same("Atanh"),
    "broadcast_in_dim": _spread,
    "cbrt": _in_steps(_cbrt),
    "ceil": _same("Ceil"),
    "clamp": _clamped,
    "concatenate": _concatenated,
    "convert_element_type": _converted,
    "copy": _as_it_is,
    "copy_p": _as_it_is,
    "cos": _same("Cos"),
    "cosh": _same("Cosh"),
    "cumsum": _summed_so_far,
    "div": _same("Div"),
    "dot_general": _product,
    "dynamic_slice": _dynamically_sliced,
    "eq": _same("Equal"),
    "erf": _same("Erf"),
    "erfc": _in_steps(lambda do, x: do("Sub", do.number(1), do("Erf", x))),
    "exp": _same("Exp"),
    "exp2": _in_steps(lambda do, x: do("Pow", do.number(2), x)),
    "expand_dims": _reshaped,
    "expm1": _in_steps(_expm1),
    "floor": _same("Floor"),
    "gather": _gathered,
    "ge": _same("GreaterOrEqual"),
    "gt": _same("Greater"),
    "integer_pow": _integer_power,
    "iota": _counted,
    "is_finite": _is_finite,
    "le": _same("LessOrEqual"),
    "log": _same("Log"),
    "log1p": _in_steps(_log1p),
    "logistic": _same("Sigmoid"),
    "lt": _same("Less"),
    "max": _same("Max"),
    "min": _same("Min"),
    "mul": _same("Mul"),
    "ne": _unequal,
    "neg": _same("Neg"),
    "not": _not,
    "optimization_barrier": _as_it_is,
    "or": _logical("Or"),
    "pad": _padded,
    "pow": _same("Pow"),
    "reduce_and": _reduced("ReduceMin"),
    "reduce_max": _reduced("ReduceMax"),
    "reduce_min": _reduced("ReduceMin"),
    "reduce_or": _reduced("ReduceMax"),
    "reduce_prod": _reduced("ReduceProd"),
    "reduce_sum": _reduced("ReduceSum"),
    "rem": _remainder,
    "reshape": _reshaped,
    "rev": _reversed,
    "round": _round,
    "rsqrt": _in_steps(lambda do, x: do("Reciprocal", do("Sqrt", x))),
    "select_n": _selected,
    "sign": _same("Sign"),
    "sin": _same("Sin"),
    "sinh": _same("Sinh"),
    "slice": _sliced,
    "split": _split,
    "sqrt": _same("Sqrt"),
    "square": _in_steps(lambda do, x: do("Mul", x, x)),
    "squeeze": _reshaped,
    "stack": _stacked,
    "stop_gradient": _as_it_is,
    "sub": _same("Sub"),
    "tan": _same("Tan"),
    "tanh": _same("Tanh"),
    "transpose": _transposed,
    "unstack": _unstacked,
    "xor": _logical("Xor"),
}
"""By the name of the primitive."""
