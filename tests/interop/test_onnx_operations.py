"""Each rule from a JAX operation to ONNX's gives, by onnxruntime, what JAX gives."""

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

from capax.errors import CapaxError
from capax.interop.onnx.graph import Graph, Value
from capax.interop.onnx.rules import RULES
from capax.interop.onnx.tracing import CALLING, write

helper = pytest.importorskip("onnx.helper", reason="the package onnx is not installed: pip install 'capax[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'capax[onnx]'")

FEATURES, BATCH = 4, 5


def by_onnx(function, x):
    """What a function of one array (features, batch) gives by onnxruntime, the batch being of any
    size there.
    """
    graph = Graph()
    given = Value("x", (FEATURES, graph.batch), x.dtype)
    graph.size_is(graph.batch, given, 1)
    made = graph.body("network", [given], jax.tree.leaves(write(graph, "a function", function, given)))
    made.initializer.extend(graph.initialisers)
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def positive(x):
    return jnp.abs(x) + 0.5


def whole(x):
    return jnp.floor(3 * x).astype(jnp.int32)


CASES = {
    "abs": jnp.abs,
    "acos": lambda x: jnp.arccos(jnp.tanh(x)),
    "acosh": lambda x: jnp.arccosh(1 + positive(x)),
    "add": lambda x: x + 2.0,
    "add_any": lambda x: jax.grad(lambda x: jnp.sum(x * jnp.sin(x)))(x),
    "and": lambda x: (x > 0) & (x < 1),
    "argmax": lambda x: jnp.argmax(x, axis=0),
    "argmin": lambda x: jnp.argmin(x, axis=0),
    "asin": lambda x: jnp.arcsin(jnp.tanh(x)),
    "asinh": jnp.arcsinh,
    "atan": jnp.arctan,
    "atanh": lambda x: jnp.arctanh(0.9 * jnp.tanh(x)),
    "broadcast_in_dim": lambda x: jnp.broadcast_to(x[:, None], (4, 3, x.shape[1])),
    "cbrt": jnp.cbrt,
    "ceil": jnp.ceil,
    "clamp": lambda x: jax.lax.clamp(-0.5, x, 0.5),
    "concatenate": lambda x: jnp.concatenate([x, 2 * x, jnp.ones((1, x.shape[1]))]),
    "convert_element_type": lambda x: (3 * x).astype(jnp.int32).astype(jnp.float32),
    "copy": jax.lax.copy_p.bind,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "cumsum": lambda x: (jnp.cumsum(x, axis=0), jax.lax.cumsum(x, axis=1, reverse=True)),
    "dim_as_value": lambda x: jnp.mean(x, axis=1),
    "div": lambda x: (1 / positive(x), whole(x) // 2),
    "dot_general": lambda x: (jnp.ones((3, 4)) @ x, x.T @ jnp.ones((4, 3)), jnp.einsum("ib,jb->ij", x, x)),
    "dynamic_slice": lambda x: jax.lax.dynamic_slice_in_dim(x, 1, 2),
    "eq": lambda x: whole(x) == 1,
    "erf": jax.lax.erf,
    "erfc": jax.lax.erfc,
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expand_dims": lambda x: jax.lax.expand_dims(x, (0, 2)),
    "expm1": lambda x: (jnp.expm1(x), jnp.expm1(1e-4 * x)),
    "floor": jnp.floor,
    "gather": lambda x: (
        x[jnp.asarray([2, 0, 0])],
        x[1:3],
        x.at[jnp.argmax(x, axis=1) % 4].get(mode="promise_in_bounds"),
        x.T[:, 3 * whole(x)[0]],
        x.at[3 * whole(x)].get(mode="clip"),
        jnp.take(x, 3 * whole(x)[:2], axis=0),
    ),
    "ge": lambda x: x >= 0.5,
    "gt": lambda x: x > 0.5,
    "integer_pow": lambda x: (x**2, x**3, x**4, x**7, x**-1),
    "iota": lambda x: (jnp.arange(x.shape[1]), jax.lax.broadcasted_iota(jnp.float32, x.shape, 1)),
    "is_finite": lambda x: jnp.isfinite(1 / whole(x).astype(jnp.float32)),
    "le": lambda x: x <= 0.5,
    "log": lambda x: jnp.log(positive(x)),
    "log1p": lambda x: (jnp.log1p(positive(x)), jnp.log1p(1e-4 * x)),
    "logistic": jax.lax.logistic,
    "lt": lambda x: x < 0.5,
    "max": lambda x: jnp.maximum(x, x[:1]),
    "min": lambda x: jnp.minimum(x, 0.0),
    "mul": lambda x: x * x[::-1],
    "ne": lambda x: whole(x) != 1,
    "neg": lambda x: -x,
    "not": lambda x: ~(x > 0),
    "optimization_barrier": jax.lax.optimization_barrier,
    "or": lambda x: (x > 1) | (x < 0),
    "pad": lambda x: jnp.pad(x, ((1, 2), (0, 0))),
    "pow": lambda x: positive(x) ** 1.5,
    "reduce_and": lambda x: jnp.all(x > -1, axis=0),
    "reduce_max": lambda x: jnp.max(x, axis=0),
    "reduce_min": lambda x: jnp.min(x, axis=1),
    "reduce_or": lambda x: jnp.any(x > 1, axis=0),
    "reduce_prod": lambda x: jnp.prod(x, axis=0),
    "reduce_sum": lambda x: (jnp.sum(x), jnp.sum(x, axis=0)),
    "rem": lambda x: (jnp.fmod(x, 0.3), jax.lax.rem(whole(x), 2)),
    "reshape": lambda x: x.reshape(2, 2, -1),
    "rev": lambda x: jax.lax.rev(x, (0, 1)),
    "round": lambda x: (jnp.round(x), jax.lax.round(x, jax.lax.RoundingMethod.AWAY_FROM_ZERO)),
    "rsqrt": lambda x: jax.lax.rsqrt(positive(x)),
    "select_n": lambda x: (jnp.where(x > 0, x, 0.0), jax.lax.select_n(jnp.abs(whole(x)) % 3, x, 2 * x, 3 * x)),
    "sign": jnp.sign,
    "sin": jnp.sin,
    "sinh": jnp.sinh,
    "slice": lambda x: jax.lax.slice(jnp.sum(x, axis=1), (0,), (4,), (2,)),
    "split": lambda x: jnp.split(x, 2),
    "sqrt": lambda x: jnp.sqrt(positive(x)),
    "square": jax.lax.square,
    "squeeze": lambda x: jax.lax.squeeze(x[:1], (0,)),
    "stop_gradient": jax.lax.stop_gradient,
    "sub": lambda x: 1.0 - x,
    "tan": jnp.tan,
    "tanh": jnp.tanh,
    "transpose": lambda x: (x.T, jnp.tanh(x.T).T),
    "xor": lambda x: (x > 0) ^ (x > 1),
}
NOT_IN_ALL_VERSIONS = {"copy_p", "stack", "unstack"}
"""Primitives that some versions of JAX have and others do not."""


@pytest.mark.parametrize("name", CASES)
def test_a_rule_gives_what_jax_gives(name):
    x = np.random.default_rng(0).normal(size=(FEATURES, BATCH)).astype(np.float32)
    due = [np.asarray(leaf) for leaf in jax.tree.leaves(CASES[name](jnp.asarray(x)))]
    found = by_onnx(CASES[name], x)
    for one, other in zip(found, due, strict=True):
        assert one.dtype == other.dtype
        # Float32: a few units in the last place of functions that both libraries approximate.
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6 if np.abs(other).max() > 0.01 else 1e-10)


def test_every_rule_is_tried():
    assert set(RULES) - NOT_IN_ALL_VERSIONS == set(CASES)


def primitives(program):
    for equation in program.eqns:
        yield equation.primitive.name
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from primitives(inner)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: jnp.sort(x, axis=0), "no rule for the operation 'sort'"),
        (lambda x: whole(x) & 1, "'and' of int32 numbers, bit by bit"),
        (
            lambda x: x.at[:, whole(x)[0]].get(mode="clip"),
            "'gather' at places that may lie outside an axis of any size",
        ),
        (lambda x: jnp.take_along_axis(x, whole(x), axis=0), "'gather' at several axes at once"),
        (lambda x: jax.lax.pad(x, 0.0, ((0, 0, 1), (0, 0, 0))), "'pad' between the numbers"),
        (lambda x: jax.lax.switch(jnp.sum(whole(x)), [jnp.sin, jnp.cos, jnp.tan], x), "'cond' among 3 branches"),
        (lambda x: jnp.broadcast_to(jnp.sum(x), (FEATURES, 2 * x.shape[1])), r"one of whose sizes is 2\*batch"),
    ],
)
def test_what_cannot_be_written_is_named_in_one_line(function, said):
    with pytest.raises(CapaxError, match=said) as error:
        by_onnx(function, np.ones((FEATURES, BATCH), np.float32))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_loop_reads_and_writes_in_its_direction(backwards):
    def function(x):
        return jax.lax.scan(lambda c, x: (c + x, c * x), jnp.ones((x.shape[1],)), x, reverse=backwards)

    x = np.random.default_rng(0).normal(size=(FEATURES, BATCH)).astype(np.float32)
    for one, other in zip(by_onnx(function, x), function(jnp.asarray(x)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_a_loop_may_end_when_a_condition_says_so():
    def function(x):
        def halved(state):
            return state[0] + 1, state[1] / 2 + x.sum(axis=0, keepdims=True) * 1e-3

        return jax.lax.while_loop(lambda state: jnp.max(jnp.abs(state[1])) > 0.1, halved, (0, x))

    x = np.random.default_rng(0).normal(size=(FEATURES, BATCH)).astype(np.float32)
    (rounds, found), (due_rounds, due) = by_onnx(function, x), function(jnp.asarray(x))
    assert rounds == due_rounds > 2
    np.testing.assert_allclose(found, due, rtol=1e-6, atol=1e-6)


def test_what_follows_from_constants_alone_is_computed_at_once():
    matrix = np.random.default_rng(0).normal(size=(FEATURES, FEATURES)).astype(np.float32)
    graph = Graph()
    given = Value("x", (FEATURES, graph.batch), np.dtype(np.float32))
    write(graph, "a function", lambda x: jnp.linalg.inv(jnp.asarray(matrix)) @ x, given)
    assert [node.op_type for node in graph.nodes] == ["MatMul"]


def test_calls_are_those_of_this_jax():
    program = jax.make_jaxpr(jax.checkpoint(lambda x: jax.jit(jax.nn.relu)(x)))(1.0).jaxpr
    assert {name for name in primitives(program) if "call" in name or name in ("jit", "checkpoint")} <= CALLING
