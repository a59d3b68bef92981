"""The operations that kernels know, and the C++ of those done element by element (runtime.h)."""

from typing import Any

from capax.fused.program import Equation, kind_of

_BINARY = {"add": "+", "add_any": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^"}
_COMPARE = {
    "eq": "equal",
    "ne": "unequal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
_CALLS = {
    "tanh": "hyperbolic_tangent",
    "logistic": "logistic",
    "exp": "exponential",
    "log": "logarithm",
    "log1p": "logarithm_1p",
    "expm1": "exponential_m1",
    "sqrt": "square_root",
    "rsqrt": "inverse_root",
    "sin": "sine",
    "cos": "cosine",
    "erf": "error_function",
    "floor": "round_down",
    "abs": "absolute",
    "sign": "sign",
    "max": "larger",
    "min": "smaller",
    **_COMPARE,
}
_FLOAT_ONLY = {"tanh", "logistic", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "sin", "cos", "erf", "floor", "abs"}
_FLOAT_ONLY |= {"sign", "div", "reduce_sum", "dot_general", "one_minus_square"}

CHEAP = {"add", "add_any", "sub", "mul", "neg", "select_n", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"}
CHEAP |= {"one_minus_square"}
"""Operations that cost no more than reading their result back from memory."""
ELEMENTWISE = {*_BINARY, *_CALLS, "neg", "not", "select_n", "integer_pow", "square", "convert_element_type", "clamp"}
ELEMENTWISE |= {"one_minus_square"}
"""Operations done element by element."""
VIEWS = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "split", "unstack"}
"""Operations whose result is their operand, seen otherwise: they change nothing in memory."""
JOINING = {"concatenate", "stack"}
"""Operations that put arrays side by side."""
KNOWN = {*ELEMENTWISE, *VIEWS, *JOINING, "pad", "reduce_sum", "dot_general", "iota"}
"""All operations that kernels know."""


def is_elementwise(equation: Equation) -> bool:
    """Whether an operation computes its result element by element."""
    return equation.name in ELEMENTWISE and not _renames(equation)


def is_view(equation: Equation) -> bool:
    """Whether an operation's result is its operand, seen otherwise."""
    return equation.name in VIEWS or _renames(equation)


def _renames(equation: Equation) -> bool:
    return equation.name == "convert_element_type" and equation.inputs[0].kind == equation.output.kind


def refused(equation: Equation) -> str | None:
    """Why kernels cannot do an operation, whatever its axes mean; None where they can."""
    name, kinds = equation.name, [operand.kind for operand in equation.inputs]
    if name not in KNOWN:
        return f"the operation '{name}' is not one that kernels know"
    for kind in [*kinds, *(output.kind for output in equation.outputs)]:
        if kind not in ("float", "int32_t", "bool"):
            return f"numbers of type {kind}"
    if name in _FLOAT_ONLY and kinds[0] != "float":
        return f"'{name}' of {'integers' if kinds[0] == 'int32_t' else 'logical values'}"
    if name == "not" and kinds[0] != "bool":
        return "a bitwise 'not'"
    if name == "select_n" and (len(kinds) != 3 or kinds[0] != "bool"):
        return "a choice among more than two"
    if name == "convert_element_type" and (kinds[0], equation.output.kind) not in _CONVERTED:
        return f"a conversion of {kinds[0]} to {equation.output.kind}"
    if name == "dot_general" and any(equation.params["dimension_numbers"][1]):
        return "a product of two arrays for each sample or group (a batched product)"
    if name == "pad" and any(low < 0 or high < 0 or inner for low, high, inner in equation.params["padding_config"]):
        return "a pad that cuts or spreads"
    return None


_CONVERTED = {("float", "float"), ("int32_t", "int32_t"), ("bool", "bool"), ("bool", "float")}


def expression(name: str, params: dict[str, Any], operands: list[str], kinds: list[str]) -> str:
    """The value of one element (or vector of elements) of an operation that is not `refused`.

    **Arguments:** name and parameters of the JAX primitive; `operands`, C++ expressions, and their
    `kinds`: "float", "int32_t", "bool".
    """
    if name in _BINARY:
        return f"({operands[0]} {_BINARY[name]} {operands[1]})"
    if name in _CALLS:
        return f"{_CALLS[name]}({', '.join(operands)})"
    if name == "neg":
        return f"(-{operands[0]})"
    if name == "not":
        return f"(~{operands[0]})"
    if name == "square":
        return f"({operands[0]} * {operands[0]})"
    if name == "one_minus_square":  # of JAX 0.11, in the derivative of tanh
        return f"((1.0f + {operands[0]}) * (1.0f - {operands[0]}))"
    if name == "integer_pow":
        return f"power({operands[0]}, {params['y']})"
    if name == "clamp":
        return f"smaller(larger({operands[1]}, {operands[0]}), {operands[2]})"
    if name == "select_n":
        return f"choose({operands[0]}, {operands[2]}, {operands[1]})"
    assert name == "convert_element_type"
    return operands[0] if kind_of(params["new_dtype"]) == kinds[0] else f"number({operands[0]})"
