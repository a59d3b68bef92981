"""Floating-point operations counted in the traced program of any function, and bytes that its
gradient keeps.

A multiplication with an addition is 2 operations. Operations are told apart by what they are:
`products` (of matrices), `elementwise` (+, -, *, /, max, comparisons, sums), and `functions` (tanh,
exp, sqrt, ..: 1 each, whatever the machine makes of them). Textbook counts of recurrent networks
are products and functions alone.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FUNCTIONS = _words(
    "tanh logistic exp exp2 expm1 log log1p sqrt rsqrt cbrt sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh erf erfc "
    "erf_inv pow lgamma digamma"
)
_MOVING = _words(
    "reshape transpose broadcast_in_dim broadcast convert_element_type slice dynamic_slice dynamic_update_slice gather concatenate squeeze "
    "expand_dims select_n iota copy copy_p rev pad split optimization_barrier bitcast_convert_type real imag complex conj "
    "reduce_precision stop_gradient scatter device_put stack unstack empty"
)
_RANDOM = ("random_", "threefry", "rng_", "shift_")
_SUMS = _words("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin")
_FACTORISATIONS = {
    **{
        "cholesky": 1 / 3,
        "lu": 2 / 3,
        "triangular_solve": 1,
        "geqrf": 4 / 3,
        "qr": 4 / 3,
        "householder_product": 4 / 3,
    },
    **{"eigh": 9, "svd": 22, "eig": 25, "schur": 25},
}
"""Operations for n^3, of square matrices (Golub & Van Loan 2013): the order is right, the factor
hangs on the library.
"""
LOOPED_PRODUCT = "product"
"""A cell's recurrent product in a loop (networks/product.py): matrix, its transpose, vectors."""


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
    """The operations of one call, counted in the traced program; nothing is computed. `arguments`
    may be shapes (`jax.ShapeDtypeStruct`).

    A loop over time counts each of its steps; of branches the most expensive one counts. Moving
    data (reshaping, gathering, converting) and random numbers count nothing. Raises `ValueError`
    for a loop whose number of steps the program does not say.
    """
    return of_program(jax.make_jaxpr(function)(*arguments).jaxpr)


def kept_bytes(function: Callable[..., Any], *arguments: PyTree) -> int:
    """Bytes that the reverse-mode derivative of a function keeps between its two passes, beside its
    arguments and copies of them (such as transposed weights): activations. Shapes alone, nothing is
    computed.
    """

    def kept(*given: PyTree) -> list[Any]:
        return jax.tree.leaves(jax.vjp(function, *given)[1])

    program = jax.make_jaxpr(kept)(*arguments).jaxpr
    found = {id(variable): variable for variable in program.outvars if not hasattr(variable, "val")}
    given = {id(variable) for variable in (*program.invars, *program.constvars)}
    for equation in program.eqns:
        sources = [variable for variable in equation.invars if not hasattr(variable, "val")]
        if equation.primitive.name in _MOVING and sources and all(id(variable) in given for variable in sources):
            given |= {id(variable) for variable in equation.outvars}
    return bytes_of([variable for key, variable in found.items() if key not in given])


def bytes_of(variables: Iterable[Any]) -> int:
    """Of the arrays that variables of a traced program stand for."""
    return sum(math.prod(v.aval.shape) * v.aval.dtype.itemsize for v in variables if hasattr(v.aval, "dtype"))


def of_program(program: Any) -> Operations:
    """The operations of a traced program."""
    total = Operations()
    for equation in program.eqns:
        total = total + of_equation(equation)
    return total


def of_equation(equation: Any) -> Operations:
    """The operations of one equation of a traced program."""
    name, params = equation.primitive.name, equation.params
    size = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    complex_numbers = any(getattr(v.aval, "dtype", None) in (np.complex64, np.complex128) for v in equation.outvars)
    if is_product(equation):
        return Operations(products=_of_product(equation, size) * (4 if complex_numbers else 1))
    if name in _FACTORISATIONS:
        rows = max(equation.invars[0].aval.shape[-2:])
        matrices = math.prod(equation.invars[0].aval.shape[:-2])
        return Operations(products=round(_FACTORISATIONS[name] * matrices * rows**3))
    if name == "integer_pow":  # by squaring; a negative power is one division more
        power = abs(params["y"])
        return Operations(elementwise=size * (power.bit_length() - 1 + power.bit_count() - 1 + (params["y"] < 0)))
    if name in _FUNCTIONS:
        return Operations(functions=size)
    if name in _SUMS:
        return Operations(elementwise=math.prod(equation.invars[0].aval.shape) - size)
    if name == "scan":
        return of_program(params["jaxpr"].jaxpr).times(params["length"])
    if name == "while":
        raise ValueError("a while loop does not say how many steps it has, so its operations cannot be counted")
    if name == "cond":
        return max((of_program(branch.jaxpr) for branch in params["branches"]), key=lambda found: found.total)
    inner = inner_programs(equation)
    if inner:
        return sum((of_program(program) for program in inner), Operations())
    if name in _MOVING or name.startswith(_RANDOM):
        return Operations()
    if complex_numbers:  # of pairs: a product takes 4 multiplications and 2 additions
        size *= 6 if name in ("mul", "div") else 2
    # +, *, max, comparisons, running sums, and whatever else makes numbers of numbers
    return Operations(elementwise=size)


def is_product(equation: Any) -> bool:
    """Whether an equation of a traced program is a product of matrices, or a convolution."""
    return equation.primitive.name in ("dot_general", LOOPED_PRODUCT, "conv_general_dilated")


def _of_product(equation: Any, size: int) -> int:
    left, params = equation.invars[0].aval.shape, equation.params
    if equation.primitive.name == LOOPED_PRODUCT:
        return 2 * size * left[-1]
    if equation.primitive.name == "dot_general":
        return 2 * size * math.prod(left[axis] for axis in params["dimension_numbers"][0][0])
    kernel = equation.invars[1].aval.shape
    return 2 * size * math.prod(kernel) // kernel[params["dimension_numbers"].rhs_spec[0]]


def inner_programs(equation: Any) -> list[Any]:
    """The traced programs that an equation calls once: a function's, or a part that is computed
    again for the gradient.
    """
    found = [_program_in(value) for value in equation.params.values()]
    return [program for program in found if program is not None]


def _program_in(value: Any) -> Any:
    """The traced program in a parameter of an equation that calls one, if it is one."""
    if hasattr(value, "jaxpr"):
        value = value.jaxpr
    return value if hasattr(value, "eqns") else None


def linear(inputs: int, outputs: int) -> Operations:
    """W x + b for one vector: an input map, or a readout."""
    return Operations(2 * inputs * outputs, outputs)


def rnn(inputs: int, units: int) -> Operations:
    """One step of h' = tanh(W_h h + W_x x + b), for one sequence."""
    return _gates(inputs, units, 1) + Operations(functions=units)


def gru(inputs: int, units: int) -> Operations:
    """One step of a GRU, for one sequence: three maps, three functions; sigma is .5 tanh(.5 x) +
    .5, so 2 more products and a sum.
    """
    sigmas, rest = 2 * 3, 1 + 1 + 4  # forget bias; r h; u h + (1 - u) c
    return _gates(inputs, units, 3) + Operations(elementwise=(sigmas + rest) * units, functions=3 * units)


def lstm(inputs: int, units: int) -> Operations:
    """One step of an LSTM, for one sequence: four maps, five functions."""
    sigmas, rest = 3 * 3, 1 + 3 + 1  # forget bias; f c + i c_in; o tanh(c)
    return _gates(inputs, units, 4) + Operations(elementwise=(sigmas + rest) * units, functions=5 * units)


def attention(units: int, length: int) -> Operations:
    """The products of self-attention on one sequence, without biases: 8 n^2 a step for queries,
    keys, values, and output; 4 n T a step for scores and their sums of values, of all pairs.
    """
    return Operations(8 * units**2 * length + 4 * units * length**2)


def feed_forward(units: int, length: int, *, widening: int = 4) -> Operations:
    """The products of a transformer's feed-forward part on one sequence."""
    return Operations(4 * widening * units**2 * length)


def transformer(units: int, length: int, *, heads: int = 4, causal: bool = True) -> Operations:
    """One transformer layer (cells/transformer.py) on one sequence: 24 n^2 a step for its six maps,
    and 4 n T a step for attention, which is computed for all pairs and masked where it is causal.
    Elementwise and functions: norms, rotations, softmax, GELU.
    """
    n, t, half = units, length, units // heads // 2
    scores = heads * t * t
    norm = Operations(elementwise=t * (3 * n + 2 * (n - 1) + 3), functions=t) + Operations(elementwise=2 * n * t)
    rotation = Operations(elementwise=6 * half * heads * t + t * half + 2 * half, functions=2 * t * half + half)
    softmax = Operations(elementwise=3 * scores + 2 * heads * t * (t - 1) + heads * t, functions=scores)
    mask = Operations(elementwise=t * t) if causal else Operations()
    gelu = Operations(elementwise=4 * n * t * 8, functions=4 * n * t)
    maps = attention(n, t) + feed_forward(n, t) + Operations(elementwise=4 * n * t + n * t + 2 * n * t)
    return norm.times(2) + rotation.times(2) + softmax + mask + gelu + maps


def final_norm(units: int, length: int) -> Operations:
    """The norm through which a transformer's readout sees one sequence."""
    n, t = units, length
    return Operations(elementwise=t * (5 * n - 2 + 3) + 2 * n * t, functions=t)


def _gates(inputs: int, units: int, gates: int) -> Operations:
    """The maps of one step, their biases, and their sums."""
    return Operations(2 * gates * units * (units + inputs), 2 * gates * units)


def parameters_of_rnn(inputs: int, units: int, outputs: int, *, biases: int = 1) -> int:
    """Weights and biases of a plain recurrent network with a readout; no learned initial state.
    PyTorch has 2 bias vectors.
    """
    return parameters_of_gates(inputs, units, 1, biases=biases) + outputs * units + outputs


def parameters_of_gates(inputs: int, units: int, gates: int, *, biases: int = 1) -> int:
    """Of `gates` maps of (h, x), each with so many bias vectors: an LSTM has 4 gates, a GRU 3;
    PyTorch's have 2 bias vectors.
    """
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
