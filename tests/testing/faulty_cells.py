"""Cells of every kind of fault that the checks must name, each healthy but for one thing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import capax

CALLS = 0
SEEN = []
RANDOM = np.random.default_rng(0)


class Healthy(capax.Cell):
    """h' = s(W_h h + W_x x + b)."""

    hidden: capax.Affine = capax.affine("hidden")

    def project(self, x):
        return self.hidden.project(x)

    def step(self, h, projected):
        h = self.s(self.hidden.recur(h, projected))
        return h, self.out(h)

    def out(self, h):
        return h


class WrongShape(Healthy):
    def out(self, h):
        return h[:-1]


class WrongShapeInStep(Healthy):
    def step(self, h, projected):
        return h, jnp.sum(h, axis=0)


class Nan(Healthy):
    def out(self, h):
        return h + jnp.log(-1.0 - h**2)


class NanLater(Healthy):
    def step(self, h, projected):
        h = 3 * h**2 + projected + 10.0
        return h, h - h


class NanGradient(Healthy):
    def out(self, h):
        return h + 0.0 * jnp.sqrt(jnp.abs(h - h))


class NoGradient(Healthy):
    def out(self, h):
        return jax.lax.stop_gradient(h)


class SignOfState(Healthy):
    def out(self, h):
        return jnp.sign(h)


class StateGrows(Healthy):
    def step(self, h, projected):
        return jnp.concatenate([h, h]), h


class StateChangesType(Healthy):
    def step(self, h, projected):
        return h.astype(jnp.bfloat16), h


class OutputChangesType(Healthy):
    def out(self, h):
        return h.astype(jnp.float16)


class IntegerState(Healthy):
    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.initial = (jnp.zeros(units), jnp.zeros(units, jnp.int32))

    def step(self, state, projected):
        h, steps = state
        h = self.s(self.hidden.recur(h, projected))
        return (h, steps + 1), h


class NumpyNoise(Healthy):
    def out(self, h):
        return h + RANDOM.normal()


class OwnKey(Healthy):
    def out(self, h):
        return h + jax.random.normal(jax.random.key(0), h.shape[:1]).reshape(-1, *(1,) * (h.ndim - 1))


class DrawsWithoutKey(Healthy):
    own: Array

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.own = jnp.asarray(np.random.default_rng().normal(size=(units, units)), jnp.float32)

    def out(self, h):
        return jnp.tensordot(self.own, h, 1)


class DrawsWithOwnKey(DrawsWithoutKey):
    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.own = jax.random.normal(jax.random.key(3), (units, units))


class Prints(Healthy):
    def out(self, h):
        print("a step")
        return h


class Counts(Healthy):
    def out(self, h):
        global CALLS
        CALLS += 1
        return h


class Remembers(Healthy):
    def out(self, h):
        SEEN.append(h.shape)
        return h


class DebugPrints(Healthy):
    def out(self, h):
        jax.debug.print("{}", h[0])
        return h


class BatchMean(Healthy):
    def out(self, h):
        return h - h.mean(-1, keepdims=True)


class BatchNumber(Healthy):
    def out(self, h):
        return h * h.shape[-1]


class RaisesForMany(Healthy):
    def out(self, h):
        if h.shape[-1] > 100:
            raise ValueError("too many")
        return h


class PythonIf(Healthy):
    def out(self, h):
        return h if jnp.sum(h) > 0 else -h


class NumpyOnArray(Healthy):
    def out(self, h):
        return jnp.asarray(np.tanh(np.asarray(h)))


class ProjectMixesSamples(Healthy):
    def project(self, x):
        return jnp.cumsum(self.hidden.project(x), axis=-1)


class Box:
    """Something that remembers."""

    last = 0.0


class ProjectKeepsItsInput(Healthy):
    """Its projection has a part of the input before."""

    box: Box = eqx.field(static=True)

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.box = Box()

    def project(self, x):
        last, self.box.last = self.box.last, x
        return self.hidden.project(x + last)


class ProjectSeesTheState(Healthy):
    box: Box = eqx.field(static=True)

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.box = Box()

    def project(self, x):
        return self.hidden.project(x) + self.box.last

    def out(self, h):
        self.box.last = h
        return h


class StepKeepsItsState(Healthy):
    box: Box = eqx.field(static=True)

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.box = Box()

    def out(self, h):
        last, self.box.last = self.box.last, h
        return h + last


class Raises(Healthy):
    def out(self, h):
        raise RuntimeError("not today")


class ForgetsProject(capax.Cell):
    def step(self, h, projected):
        return h, h


class Complex(Healthy):
    weights: Array

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.weights = jnp.zeros(units, jnp.complex64)


class ComplexState(Healthy):
    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.initial = jnp.zeros(units, jnp.complex64)

    def step(self, h, projected):
        h = 0.9 * h + projected
        return h, h.real


class UnusedMap(Healthy):
    """A recurrent matrix that is declared and never used."""

    def step(self, h, projected):
        h = self.s(0.5 * h + projected)
        return h, h


class UnusedBlock(capax.Cell):
    maps: capax.Affine = capax.affine("hidden", "gate")

    def project(self, x):
        return self.maps.project(x)

    def step(self, h, projected):
        h, _ = self.maps.recur(h, projected)
        h = self.s(h)
        return h, h


class NotInitialised(Healthy):
    own: Array

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.own = jnp.zeros((units, units))

    def out(self, h):
        return h + jnp.tensordot(self.own, h, 1)


class ShrinksWithUnits(Healthy):
    own: Array

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.own = jnp.ones((max(1, 500 - units**2 - units * 20),))

    def out(self, h):
        return h * jnp.mean(self.own)


class Uncountable(Healthy):
    def out(self, h):
        one = jax.lax.while_loop(lambda n: n < 1, lambda n: n + 1, jnp.zeros((), jnp.int32))
        return h * one.astype(h.dtype)


class WhileLoop(Healthy):
    def out(self, h):
        return jax.lax.while_loop(lambda h: jnp.max(jnp.abs(h)) > 0.5, lambda h: h * 0.5, h)


class UnusedHyperparameter(Healthy):
    leak: Array = capax.hyperparameter(0.1, 0.9, default=0.5)


class ClashingHyperparameter(Healthy):
    learning_rate: Array = capax.hyperparameter(0.1, 0.9, default=0.5)

    def out(self, h):
        return h * self.learning_rate


class CallsBack(Healthy):
    def out(self, h):
        return _host(h)


@jax.custom_vjp
def _host(h):
    return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(h.shape, h.dtype), h, vmap_method="sequential")


_host.defvjp(lambda h: (_host(h), None), lambda _, g: (g,))


class StepGivesOneThing(Healthy):
    def step(self, h, projected):
        return self.s(self.hidden.recur(h, projected))


class StepGivesThree(Healthy):
    def step(self, h, projected):
        h = self.s(self.hidden.recur(h, projected))
        return h, h, h


class ForgetsStates(Healthy):
    """Two vectors of state, and no `states`."""

    def step(self, state, projected):
        h, c = state
        return (h, c), h


class ForgetsColumn(Healthy):
    """A vector times a state, without the batch's axis."""

    scale: Array

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.scale = jnp.ones((units,))

    def step(self, h, projected):
        h = self.s(self.scale * h + self.hidden.recur(h, projected))
        return h, h


class AlwaysTanh(Healthy):
    """Its nonlinearities are those of the base class, and it uses none of them."""

    def step(self, h, projected):
        h = jnp.tanh(self.hidden.recur(h, projected))
        return h, h
