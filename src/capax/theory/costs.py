"""Floating-point operations counted in the traced program of any function, and bytes that its gradient keeps.

A multiplication with an addition is 2 operations. Operations are told apart by what they are: `products` (of matrices),
`elementwise` (+, -, *, /, max, comparisons, sums), and `functions` (tanh, exp, sqrt, ..: 1 each, whatever the machine makes of
them). Textbook counts of recurrent networks are products and functions alone.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

_FUNCTIONS = {
    *(
        "tanh",
        "logistic",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "rsqrt",
        "cbrt",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
    ),
    *("atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "erf", "erfc", "erf_inv", "pow", "lgamma", "digamma"),
}
_ELEMENTWISE = {
    *(
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "abs",
        "max",
        "min",
        "sign",
        "floor",
        "ceil",
        "round",
        "rem",
        "square",
        "add_any",
    ),
    *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "xor", "clamp", "is_finite", "nextafter"),
}
_SUMS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"}
_RUNNING = {"cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"}


@dataclasses.dataclass(frozen=True)
class Operations:
    """How many of each kind."""

    products: int = 0
    elementwise: int = 0
    functions: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.products + self.elementwise + self.functions

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(
            self.products + other.products, self.elementwise + other.elementwise, self.functions + other.functions
        )

    def times(self, number: int) -> "Operations":
        """So many times as many."""
        return Operations(self.products * number, self.elementwise * number, self.functions * number)


def operations(function: Callable[..., Any], *arguments: PyTree) -> Operations:
    """The operations of one call, counted in the traced program; nothing is computed. `arguments` may be shapes
    (`jax.ShapeDtypeStruct`).

    A loop over time counts each of its steps; of branches the most expensive one counts. Moving data (reshaping, gathering,
    converting) and random numbers count nothing. Raises `ValueError` for a loop whose number of steps the program does not say.
    """
    return _of_program(jax.make_jaxpr(function)(*arguments).jaxpr)


def kept_bytes(function: Callable[..., Any], *arguments: PyTree) -> int:
    """Bytes that the reverse-mode derivative of a function keeps between its two passes, its arguments among them if it needs
    them: shapes alone, nothing is computed."""
    kept = jax.eval_shape(lambda *given: jax.vjp(function, *given)[1], *arguments)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))


def _of_program(program: Any) -> Operations:
    total = Operations()
    for equation in program.eqns:
        total = total + _of_equation(equation)
    return total


def _of_equation(equation: Any) -> Operations:
    name, params = equation.primitive.name, equation.params
    size = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    if name == "dot_general":
        contracted = params["dimension_numbers"][0][0]
        return Operations(products=2 * size * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted))
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
        return Operations(products=2 * size * math.prod(kernel) // outputs)
    if name == "integer_pow":  # by squaring
        power = abs(params["y"])
        return Operations(elementwise=size * (power.bit_length() - 1 + power.bit_count() - 1))
    if name in _FUNCTIONS:
        return Operations(functions=size)
    if name in _ELEMENTWISE:
        return Operations(elementwise=size)
    if name in _SUMS:
        return Operations(elementwise=math.prod(equation.invars[0].aval.shape) - size)
    if name in _RUNNING:
        return Operations(elementwise=size)
    if name == "scan":
        return _of_program(params["jaxpr"].jaxpr).times(params["length"])
    if name == "while":
        raise ValueError("a while loop does not say how many steps it has, so its operations cannot be counted")
    if name == "cond":
        return max((_of_program(branch.jaxpr) for branch in params["branches"]), key=lambda found: found.total)
    inner = [_program_in(value) for value in params.values()]
    return sum((_of_program(program) for program in inner if program is not None), Operations())


def _program_in(value: Any) -> Any:
    """The traced program in a parameter of an equation that calls one, if it is one."""
    if hasattr(value, "jaxpr"):
        value = value.jaxpr
    return value if hasattr(value, "eqns") else None


def rnn(inputs: int, units: int) -> Operations:
    """One step of h' = tanh(W_h h + W_x x + b), for one sequence."""
    return Operations(2 * units * (units + inputs), 2 * units, units)


def parameters_of_rnn(inputs: int, units: int, outputs: int, *, biases: int = 1) -> int:
    """Weights and biases of a plain recurrent network with a readout; no learned initial state. PyTorch has 2 bias vectors."""
    return parameters_of_gates(inputs, units, 1, biases=biases) + outputs * units + outputs


def parameters_of_gates(inputs: int, units: int, gates: int, *, biases: int = 1) -> int:
    """Of `gates` maps of (h, x), each with so many bias vectors: an LSTM has 4 gates, a GRU 3; PyTorch's have 2 bias vectors."""
    return gates * (units * units + units * inputs + biases * units)


def parameters_of_attention(width: int) -> int:
    """Of the four maps of self-attention (queries, keys, values, output), without biases."""
    return 4 * width * width


def state_bytes(batch: int, length: int, units: int, *, states: int = 1, itemsize: int = 4) -> int:
    """Of the states of all steps of a batch: an LSTM has 2 (h and c)."""
    return batch * length * units * states * itemsize


def attention_score_bytes(length: int, heads: int, *, batch: int = 1, itemsize: int = 4) -> int:
    """Of the attention scores of one layer, which grow with the square of the length."""
    return batch * heads * length * length * itemsize
