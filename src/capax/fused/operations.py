"""The elementwise operations that a fused kernel knows, as C++ expressions over runtime.h."""

from typing import Any

from capax.fused.arrays import Unsupported

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
CHEAP = {"add", "add_any", "sub", "mul", "neg", "select_n", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"}
"""Operations that cost no more than reading their result back from memory."""
ELEMENTWISE = {*_BINARY, *_CALLS, "neg", "not", "select_n", "integer_pow", "square", "convert_element_type", "clamp"}


def expression(name: str, params: dict[str, Any], operands: list[str], kinds: list[str]) -> str:
    """The value of one element (or vector of elements).

    **Arguments:** name and parameters of the JAX primitive; `operands` and their `kinds`: "float", "int32_t", "bool".
    """
    if name == "sign" and kinds[0] != "float":
        raise Unsupported("sign of an integer")
    if name in _FLOAT_ONLY and kinds[0] != "float":
        raise Unsupported(f"{name} of an integer")
    if name in _BINARY:
        if name == "div" and kinds[0] != "float":
            raise Unsupported("division of integers")
        return f"({operands[0]} {_BINARY[name]} {operands[1]})"
    if name in _CALLS:
        return f"{_CALLS[name]}({', '.join(operands)})"
    if name == "neg":
        return f"(-{operands[0]})"
    if name == "not":
        if kinds[0] != "bool":
            raise Unsupported("bitwise not")
        return f"(~{operands[0]})"
    if name == "square":
        return f"({operands[0]} * {operands[0]})"
    if name == "integer_pow":
        return f"power({operands[0]}, {params['y']})"
    if name == "clamp":
        return f"smaller(larger({operands[1]}, {operands[0]}), {operands[2]})"
    if name == "select_n":
        if len(operands) != 3 or kinds[0] != "bool":
            raise Unsupported("a choice among more than two")
        return f"choose({operands[0]}, {operands[2]}, {operands[1]})"
    if name == "convert_element_type":
        new = kind_of(params["new_dtype"])
        if new == kinds[0]:
            return operands[0]
        if kinds[0] == "bool" and new == "float":
            return f"number({operands[0]})"
    raise Unsupported(f"{name} of {', '.join(kinds)}")


def kind_of(dtype: Any) -> str:
    """ "float", "int32_t", or "bool"; Unsupported for anything else."""
    kinds = {"float32": "float", "int32": "int32_t", "bool": "bool"}
    if str(dtype) not in kinds:
        raise Unsupported(f"numbers of type {dtype}")
    return kinds[str(dtype)]
