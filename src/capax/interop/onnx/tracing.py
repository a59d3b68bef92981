"""From a function of arrays to the nodes of an ONNX graph: the function is traced by JAX, and each
operation of the traced program is written down.

What follows from parameters alone is computed here and becomes a constant. A loop over time becomes
a `Scan`, one with a condition a `Loop`, a choice an `If`.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jaxtyping
import numpy as np
from jax.extend.core import Literal

from capax import user_code
from capax.errors import CapaxError
from capax.interop.onnx.graph import Graph, Spread, Value, is_known, is_number
from capax.interop.onnx.rule import SIZE, Refused
from capax.interop.onnx.rules import RULES

CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""The parameters in which a primitive that only calls a program holds it."""
CALLING = {
    "checkpoint",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "jit",
    "pjit",
    "remat",
    "remat2",
}


@contextlib.contextmanager
def unchecked_shapes() -> Iterator[None]:
    """Inside, jaxtyping checks no shapes, where somebody has it check them: it cannot read those of
    a batch of any size.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def write(graph: Graph, what: str, function: Callable[..., Any], *operands: Any) -> Any:
    """What a function makes of operands, as a tree of operands of the graph, which gets its nodes.

    **Arguments:** `what`, for errors; `operands`, trees of operands, and None.

    Raises `CapaxError` for a function that JAX cannot trace where time and batch have no fixed
    size, and for one with an operation that capax cannot write to ONNX.
    """
    leaves, structure = jax.tree.flatten(operands, is_leaf=lambda leaf: isinstance(leaf, Value | Spread))
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]

    def called(*leaves: Any) -> Any:
        return function(*jax.tree.unflatten(structure, leaves))

    try:
        with unchecked_shapes():
            program, made = jax.make_jaxpr(called, return_shape=True)(*shapes)
    except CapaxError:
        raise
    except Exception as error:
        told = user_code.blame(f"capax cannot write {what} to ONNX, where time and batch have no fixed size: it", error)
        raise told from None
    found = Program(graph, what).run(program.jaxpr, program.consts, leaves)
    return jax.tree.unflatten(jax.tree.structure(made), found)


class Program:
    """Writes traced programs into a graph; `what` they are is for errors."""

    def __init__(self, graph: Graph, what: str):
        self.graph, self.what = graph, what

    def run(self, program: Any, constants: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
        """The results of a program, whose nodes come into the graph."""
        known = dict(zip((*program.constvars, *program.invars), (*constants, *operands), strict=True))

        def read(variable: Any) -> Any:
            if not isinstance(variable, Literal):
                return known[variable]
            kind: Any = variable.aval
            return np.asarray(variable.val, kind.dtype)

        for equation in program.eqns:
            results = self._equation(equation, [read(each) for each in equation.invars])
            known.update(zip(equation.outvars, results, strict=True))
        return [read(each) for each in program.outvars]

    def _equation(self, equation: Any, operands: Sequence[Any]) -> Sequence[Any]:
        name, results = equation.primitive.name, [variable.aval for variable in equation.outvars]
        if name in CALLING:
            return self._call(equation, operands)
        fixed = all(is_number(size) for result in results for size in result.shape)
        if fixed and name != SIZE and all(is_known(operand) for operand in operands):
            found = equation.primitive.bind(*operands, **equation.params)
            return found if equation.primitive.multiple_results else [found]
        with self._blamed(name):
            if name == "scan":
                return self._scan(equation.params, operands, results)
            if name == "while":
                return self._loop(equation.params, operands, results)
            if name == "cond":
                return self._choice(equation.params, operands, results)
            if name in RULES:
                return RULES[name](self.graph, equation.params, operands, results)
        raise CapaxError(
            f"capax cannot write {self.what} to ONNX: it has no rule for the operation '{name}'; "
            "write it with others, or add a rule to capax/interop/onnx/rules.py."
        )

    @contextlib.contextmanager
    def _blamed(self, name: str) -> Iterator[None]:
        """Say which operation it was that has no rule in this form."""
        try:
            yield
        except Refused as error:
            raise CapaxError(f"capax cannot write {self.what} to ONNX: the operation '{name}' {error}.") from None

    def _call(self, equation: Any, operands: Sequence[Any]) -> Sequence[Any]:
        inner = next(equation.params[key] for key in CALLS if key in equation.params)
        program, constants = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
        return self.run(program, constants, operands)

    def _outside(self, operands: Sequence[Any]) -> list[Any]:
        """Operands that a body reads, spread before the loop, not at every step."""
        return [
            Value(self.graph.name(each), each.shape, np.dtype(each.dtype)) if isinstance(each, Spread) else each
            for each in operands
        ]

    def _scan(self, params: dict[str, Any], operands: Sequence[Any], results: Sequence[Any]) -> Sequence[Any]:
        graph, kept, carried = self.graph, params["num_consts"], params["num_carry"]
        outside = self._outside(operands)
        constants, states, sequences = outside[:kept], outside[kept : kept + carried], outside[kept + carried :]
        counter = []
        if not sequences:  # ONNX wants one to know how often
            counter = RULES["iota"](graph, {"dimension": 0}, [], [jax.ShapeDtypeStruct((params["length"],), np.int32)])
        body = graph.inner()
        given = [Value(body.fresh("state"), each.shape, np.dtype(each.dtype)) for each in states]
        given += [
            Value(body.fresh("step"), tuple(each.shape[1:]), np.dtype(each.dtype)) for each in (*sequences, *counter)
        ]
        read = given if sequences else given[:-1]
        made = Program(body, self.what).run(params["jaxpr"].jaxpr, params["jaxpr"].consts, [*constants, *read])
        backwards = int(params["reverse"])
        ways = {
            "scan_input_directions": [backwards] * (len(given) - carried),
            "scan_output_directions": [backwards] * (len(made) - carried),
        }
        return graph.add_several(
            "Scan",
            [*states, *sequences, *counter],
            [(result.shape, result.dtype) for result in results],
            body=body.body(body.fresh("step"), given, made),
            num_scan_inputs=len(given) - carried,
            **{name: value for name, value in ways.items() if backwards and value},
        )

    def _loop(self, params: dict[str, Any], operands: Sequence[Any], results: Sequence[Any]) -> Sequence[Any]:
        graph, of_test, of_body = self.graph, params["cond_nconsts"], params["body_nconsts"]
        outside = self._outside(operands)
        for_test, rest = outside[:of_test], outside[of_test:]
        for_body, states = rest[:of_body], rest[of_body:]
        test, one_round = params["cond_jaxpr"], params["body_jaxpr"]
        (first,) = self.run(test.jaxpr, test.consts, [*for_test, *states])
        body = graph.inner()
        counter = Value(body.fresh("round"), (), np.dtype(np.int64))
        going = Value(body.fresh("going"), (), np.dtype(bool))
        given = [Value(body.fresh("state"), result.shape, np.dtype(result.dtype)) for result in results]
        inside = Program(body, self.what)
        made = inside.run(one_round.jaxpr, one_round.consts, [*for_body, *given])
        (again,) = inside.run(test.jaxpr, test.consts, [*for_test, *made])
        return graph.add_several(
            "Loop",
            [None, first, *states],
            [(result.shape, result.dtype) for result in results],
            body=body.body(body.fresh("round"), [counter, going, *given], [again, *made]),
        )

    def _choice(self, params: dict[str, Any], operands: Sequence[Any], results: Sequence[Any]) -> Sequence[Any]:
        which, *given = operands
        if len(params["branches"]) != 2:
            raise Refused(f"among {len(params['branches'])} branches")
        bodies = []
        for branch in params["branches"]:
            body = self.graph.inner()
            made = Program(body, self.what).run(branch.jaxpr, branch.consts, given)
            bodies.append(body.body(body.fresh("branch"), [], made))
        return self.graph.add_several(
            "If",
            [self.graph.cast(which, bool)],
            [(result.shape, result.dtype) for result in results],
            then_branch=bodies[1],
            else_branch=bodies[0],
        )
