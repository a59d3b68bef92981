"""Rules for operations element by element."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from capax.interop.onnx.graph import Graph, Value
from capax.interop.onnx.rule import Parameters, Refused, Results, Rule


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
    one = do.number(1.0)
    u = do("Add", x, one)
    near = do("Div", do("Mul", do("Log", u), x), do("Sub", u, one))
    near = do("Where", do.test("Equal", u, one), x, near)
    return do("Where", do.test("Less", do("Abs", x), do.number(0.5)), near, do("Log", u))


def _expm1(do: Steps, x: Any) -> Any:
    """exp(x) - 1, exact for small x too: (u - 1) x / log(u) with u = exp(x) (Kahan; Higham 2002,
    section 1.14.1).
    """
    one = do.number(1.0)
    u = do("Exp", x)
    less = do("Sub", u, one)
    near = do("Where", do.test("Equal", u, one), x, do("Div", do("Mul", less, x), do("Log", u)))
    return do("Where", do.test("Less", do("Abs", x), do.number(0.5)), near, less)


def _cbrt(do: Steps, x: Any) -> Any:
    return do("Mul", do("Sign", x), do("Pow", do("Abs", x), do.number(1 / 3)))


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


ELEMENTWISE: dict[str, Rule] = {
    "abs": _same("Abs"),
    "acos": _same("Acos"),
    "acosh": _same("Acosh"),
    "add": _same("Add"),
    "add_any": _same("Add"),
    "and": _logical("And"),
    "asin": _same("Asin"),
    "asinh": _same("Asinh"),
    "atan": _same("Atan"),
    "atanh": _same("Atanh"),
    "cbrt": _in_steps(_cbrt),
    "ceil": _same("Ceil"),
    "clamp": _clamped,
    "convert_element_type": _converted,
    "copy": _as_it_is,
    "copy_p": _as_it_is,
    "cos": _same("Cos"),
    "cosh": _same("Cosh"),
    "div": _same("Div"),
    "eq": _same("Equal"),
    "erf": _same("Erf"),
    "erfc": _in_steps(lambda do, x: do("Sub", do.number(1.0), do("Erf", x))),
    "exp": _same("Exp"),
    "exp2": _in_steps(lambda do, x: do("Pow", do.number(2.0), x)),
    "expm1": _in_steps(_expm1),
    "floor": _same("Floor"),
    "ge": _same("GreaterOrEqual"),
    "gt": _same("Greater"),
    "integer_pow": _integer_power,
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
    "not": _logical("Not"),
    "optimization_barrier": _as_it_is,
    "or": _logical("Or"),
    "pow": _same("Pow"),
    "rem": _remainder,
    "round": _round,
    "rsqrt": _in_steps(lambda do, x: do("Reciprocal", do("Sqrt", x))),
    "select_n": _selected,
    "sign": _same("Sign"),
    "sin": _same("Sin"),
    "sinh": _same("Sinh"),
    "sqrt": _same("Sqrt"),
    "square": _in_steps(lambda do, x: do("Mul", x, x)),
    "stop_gradient": _as_it_is,
    "sub": _same("Sub"),
    "tan": _same("Tan"),
    "tanh": _same("Tanh"),
    "xor": _logical("Xor"),
}
"""By the name of the primitive."""
