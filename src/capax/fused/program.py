"""The intermediate program: a traced function as a flat list of equations.

Calls are inlined, and what no output needs is left out. All passes read this program:
labels.py, places.py, groups.py, memory.py, emit.py.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat2": "jaxpr"}
_CALLS |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "checkpoint": "jaxpr"}
_SAME = {"stop_gradient", "copy", "copy_p", "optimization_barrier", "sharding_constraint"}
_KINDS = {"float32": "float", "int32": "int32_t", "bool": "bool"}


def kind_of(dtype: Any) -> str:
    """The kind of numbers: "float", "int32_t", "bool", or the name of a type that kernels lack."""
    return _KINDS.get(str(dtype), str(dtype))


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """One array of the program; `kind` as `kind_of` names it."""

    shape: tuple[int, ...]
    kind: str


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
    """A number written in the program."""

    value: Any
    kind: str
    shape: tuple[int, ...] = ()


Operand = Value | Constant


@dataclasses.dataclass(frozen=True, eq=False)
class Equation:
    """One operation: the name and parameters of a JAX primitive, what it reads, what it makes."""

    name: str
    params: dict[str, Any]
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]

    @property
    def output(self) -> Value:
        """The only output, or the first."""
        return self.outputs[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Traced:
    """A program: `inputs`, `constants` (arrays that the function closed over), `equations` in
    order, `outputs`."""

    inputs: tuple[Value, ...]
    constants: tuple[tuple[Value, np.ndarray], ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Operand, ...]

    @property
    def given(self) -> tuple[Value, ...]:
        """What is in memory before the program runs: inputs, then constants."""
        return *self.inputs, *(value for value, _ in self.constants)

    def producers(self) -> dict[Operand, Equation]:
        """For each value that is computed, the equation that makes it."""
        return {output: equation for equation in self.equations for output in equation.outputs}

    def consumers(self) -> dict[Operand, list[Equation]]:
        """For each value that is read, the equations that read it, once for each reading."""
        found: dict[Operand, list[Equation]] = {}
        for equation in self.equations:
            for operand in equation.inputs:
                if isinstance(operand, Value):
                    found.setdefault(operand, []).append(equation)
        return found


class _Flattener:
    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self.constants: list[tuple[Value, np.ndarray]] = []

    @staticmethod
    def value(aval: Any) -> Value:
        return Value(tuple(aval.shape), kind_of(aval.dtype))

    def run(self, jaxpr: Jaxpr, constants: list[Operand], arguments: list[Operand]) -> list[Operand]:
        known: dict[Var, Operand] = dict(zip(jaxpr.constvars, constants, strict=True))
        known |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Operand:
            if not isinstance(atom, Literal):
                return known[atom]
            aval: Any = atom.aval
            return self.constant(atom.val) if aval.shape else Constant(atom.val, kind_of(aval.dtype))

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
    return _needed(Traced(tuple(inputs), tuple(flattener.constants), tuple(flattener.equations), tuple(outputs)))


def _needed(traced: Traced) -> Traced:
    """The same without equations and constants that no output needs."""
    needed = {output for output in traced.outputs if isinstance(output, Value)}
    kept: list[Equation] = []
    for equation in reversed(traced.equations):
        if needed & set(equation.outputs):
            kept.append(equation)
            needed |= {operand for operand in equation.inputs if isinstance(operand, Value)}
    used = tuple((value, array) for value, array in traced.constants if value in needed)
    return Traced(traced.inputs, used, tuple(kept[::-1]), traced.outputs)


def given(traced: Traced, values: list[Value]) -> Traced:
    """The program that is given these values, as further inputs, and does not compute them."""
    rest = tuple(equation for equation in traced.equations if not set(equation.outputs) & set(values))
    return _needed(Traced((*traced.inputs, *values), traced.constants, rest, traced.outputs))


def trace(function: Any, *arguments: Any) -> tuple[Traced, Any]:
    """The program of `function` for arguments given by shape, and the structure of its outputs."""
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return flatten(closed), jax.tree.structure(shape)
