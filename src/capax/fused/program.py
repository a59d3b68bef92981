"""A traced function as a flat list of equations: calls inlined, what nobody needs left out."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

from capax.fused.arrays import Unsupported
from capax.fused.operations import kind_of

_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat2": "jaxpr"}
_CALLS |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "checkpoint": "jaxpr"}
_SAME = {"stop_gradient", "copy", "copy_p", "optimization_barrier", "sharding_constraint"}


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """One array of the program."""

    number: int
    shape: tuple[int, ...]
    kind: str  # "float", "int32_t", "bool"


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
    """A number written in the program."""

    value: Any
    kind: str
    shape: tuple[int, ...] = ()


Operand = Value | Constant


@dataclasses.dataclass(frozen=True, eq=False)
class Equation:
    """One operation."""

    name: str
    params: dict[str, Any]
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]


@dataclasses.dataclass(frozen=True)
class Traced:
    """A program: `inputs`, then `constants` (arrays that the function closed over), `equations` in order, `outputs`."""

    inputs: list[Value]
    constants: list[tuple[Value, np.ndarray]]
    equations: list[Equation]
    outputs: list[Operand]


class _Flattener:
    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self.constants: list[tuple[Value, np.ndarray]] = []
        self._count = 0

    def value(self, aval: Any) -> Value:
        self._count += 1
        try:
            kind = kind_of(aval.dtype)
        except Unsupported:
            kind = str(aval.dtype)  # an error only where it is used
        return Value(self._count, tuple(aval.shape), kind)

    def run(self, jaxpr: Jaxpr, constants: list[Operand], arguments: list[Operand]) -> list[Operand]:
        known: dict[Var, Operand] = dict(zip(jaxpr.constvars, constants, strict=True))
        known |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Operand:
            if isinstance(atom, Literal):
                aval: Any = atom.aval
                return Constant(atom.val, kind_of(aval.dtype))
            return known[atom]

        for eqn in jaxpr.eqns:
            inputs = [read(atom) for atom in eqn.invars]
            name = eqn.primitive.name
            if name in _CALLS:
                inner = eqn.params[_CALLS[name]]
                closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
                outputs = self.run(closed.jaxpr, [self.constant(value) for value in closed.consts], inputs)
            elif name in _SAME:
                outputs = inputs
            else:
                made = tuple(self.value(variable.aval) for variable in eqn.outvars)
                self.equations.append(Equation(name, eqn.params, tuple(inputs), made))
                outputs = list(made)
            known |= dict(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def constant(self, array: Any) -> Operand:
        value = self.value(np.asarray(array))
        self.constants.append((value, np.asarray(array)))
        return value


def flatten(closed: ClosedJaxpr) -> Traced:
    """Inline a traced function's calls and drop the equations that no output needs."""
    flattener = _Flattener()
    constants = [flattener.constant(value) for value in closed.consts]
    inputs = [flattener.value(variable.aval) for variable in closed.jaxpr.invars]
    outputs = flattener.run(closed.jaxpr, constants, list(inputs))
    return _needed(Traced(inputs, flattener.constants, flattener.equations, outputs))


def _needed(traced: Traced) -> Traced:
    """The same without equations and constants that no output needs."""
    needed = {output for output in traced.outputs if isinstance(output, Value)}
    kept: list[Equation] = []
    for equation in reversed(traced.equations):
        if needed & set(equation.outputs):
            kept.append(equation)
            needed |= {operand for operand in equation.inputs if isinstance(operand, Value)}
    used = [(value, array) for value, array in traced.constants if value in needed]
    return Traced(traced.inputs, used, kept[::-1], traced.outputs)


def given(traced: Traced, values: list[Value]) -> Traced:
    """The program that is given these values, as further inputs, and does not compute them."""
    rest = [equation for equation in traced.equations if not set(equation.outputs) & set(values)]
    return _needed(Traced([*traced.inputs, *values], traced.constants, rest, traced.outputs))


def trace(function: Any, *arguments: Any) -> tuple[Traced, Any]:
    """The program of `function` for arguments given by shape, and the structure of its outputs."""
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return flatten(closed), jax.tree.structure(shape)
