"""The contract of a layer, and of its two kinds: a recurrent cell, and a layer that sees whole
sequences.

A cell reads like its equations. It declares its affine maps and its scalar hyperparameters as
fields; from the declaration alone follow initialisation, the search space, sizing, and the
parameter count. Arrays have their features on the FIRST axis and any trailing batch axes, so the
same equations serve one sample and a batch.

Symbols: n = units, i = inputs, k = blocks of an affine map, `...` = any batch axes.
"""

import abc
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int, PyTree

from capax.errors import CapaxError
from capax.hyperparameters import FINITE, Interval, Number

State = PyTree[Inexact[Array, "_ ..."]]
Projected = PyTree[Inexact[Array, "_ ..."]]

NORM_EPSILON = 1e-6
RECURRENT_INITIALISATIONS = ("identity", "orthogonal", "normal")


def sigmoid(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """Logistic function by way of tanh: the same function, and on CPUs about twice as fast per
    element.
    """
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def column(vector: Array, ndim: int) -> Array:
    """A vector of features that is broadcast over the batch axes of arrays with `ndim` axes."""
    return vector.reshape((-1,) + (1,) * (ndim - 1))


def layer_norm(x: Array) -> Array:
    """x with mean 0 and variance 1 over its features."""
    centred = x - jnp.mean(x, axis=0, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=0, keepdims=True) + NORM_EPSILON)


def scaled_norm(scale: Array, bias: Array, x: Array) -> Array:
    """scale layer_norm(x) + bias."""
    return column(scale, x.ndim) * layer_norm(x) + column(bias, x.ndim)


NONLINEARITIES: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu}


@dataclasses.dataclass(frozen=True)
class AffineDeclaration:
    """What a cell says of one affine map W_h h + W_x x + b: its blocks, and which initialisations
    the tuner may choose.
    """

    blocks: tuple[str, ...]
    recurrent: tuple[str, ...] = RECURRENT_INITIALISATIONS
    biased: bool = True


def affine(*blocks: str, recurrent: tuple[str, ...] = RECURRENT_INITIALISATIONS, biased: bool = True) -> Any:
    """Declare an affine map as a field of a cell.

    **Arguments:**

    - `blocks`: a name for each of the stacked maps that share one matrix product.
    - `recurrent`: the initialisations that the tuner may choose for the recurrent matrices, of
      "identity", "orthogonal", "normal". A single one is no choice; a sole "identity" has no scale
      either.
    - `biased`: False keeps the biases at zero initially and takes them out of the tuner's choices.
    """
    if not blocks or not set(recurrent) <= set(RECURRENT_INITIALISATIONS) or not recurrent:
        raise ValueError(f"affine() needs block names, and recurrent initialisations of {RECURRENT_INITIALISATIONS}.")
    return AffineDeclaration(blocks, recurrent, biased)


def hyperparameter(
    low: float | int,
    high: float | int,
    *,
    default: float | int,
    log: bool = False,
    allowed: Interval | None = None,
    meaning: str = "",
) -> Any:
    """Declare a scalar hyperparameter as a field of a cell; it has the field's name, and is never
    trained.

    **Arguments:**

    - `low`, `high`: the tuner's range, on a log scale if `log`.
    - `default`: the value where none is given.
    - `allowed`: what a given value may be, where that is more than the tuner's range.
    - `meaning`: one sentence, for `capax list hyperparameters`.

    Raises `ValueError` for a range or a default that does not fit.
    """
    return Number("", default, low, high, meaning, log=log, allowed=allowed)


def forget_bias(default: float | int = 1.0) -> Any:
    """The constant bias b_fg of a forget or update gate (Collins et al. 2017, appendix A)."""
    meaning = "Constant added inside the gate that keeps the state: the larger, the longer the memory at the start."
    return hyperparameter(0.0, 6.0, default=default, allowed=FINITE, meaning=meaning)


class Affine(eqx.Module):
    """Stacked affine maps W_h h + W_x x + b, one matrix product for all blocks."""

    recurrent: Float[Array, "kn n"]
    input: Float[Array, "kn i"]
    bias: Float[Array, " kn"]
    declaration: AffineDeclaration = eqx.field(static=True)

    def __init__(self, declaration: AffineDeclaration, inputs: int, units: int):
        rows = len(declaration.blocks) * units
        self.recurrent = jnp.zeros((rows, units))
        self.input = jnp.zeros((rows, inputs))
        self.bias = jnp.zeros((rows,))
        self.declaration = declaration

    def project(self, x: Inexact[Array, "i *batch"]) -> Inexact[Array, "kn *batch"]:
        """W_x x + b: all that depends on the input alone."""
        return jnp.tensordot(self.input, x, 1) + column(self.bias, x.ndim)

    def times(self, h: Inexact[Array, "n *batch"]) -> Inexact[Array, "kn *batch"]:
        """W_h h."""
        return jnp.tensordot(self.recurrent, h, 1)

    def recur(self, h: Inexact[Array, "n *#batch"], projected: Inexact[Array, "kn *#batch"]) -> Any:
        """W_h h + projected: one array (n, ...) for a single block, else a tuple with one per
        block. A batch of one in either is broadcast to the other's.
        """
        total = self.times(h) + projected
        blocks = len(self.declaration.blocks)
        return total if blocks == 1 else tuple(jnp.split(total, blocks, axis=0))


_ANNOTATIONS = {AffineDeclaration: "Affine", Number: "Array"}
"""What each kind of declaration is annotated with."""


@dataclasses.dataclass(frozen=True)
class Demands:
    """What the mathematics of a layer asks of its sizes and of the task.

    `square`: inputs and outputs have the same size, as in the Intersection RNN (a network then maps
    its input to that size first). `multiple`: the number of units must be a multiple of this.
    `causal`: no output depends on a later input.
    """

    square: bool = False
    multiple: int = 1
    causal: bool = True


class Layer(eqx.Module):
    """What maps a whole sequence, and the states before it, to a sequence and the states after it.
    Abstract.

    Two kinds: a `Cell` is a recurrence, a `SequenceLayer` sees the whole sequence at once. What can
    be done with a layer follows from its class.

    Class variables: `nonlinearities`, the choices for `s` (empty: the equations fix them);
    `demands`.
    """

    nonlinearities: ClassVar[tuple[str, ...]] = ("tanh", "relu")
    demands: ClassVar[Demands] = Demands()

    inputs: int = eqx.field(static=True)
    units: int = eqx.field(static=True)
    nonlinearity: str | None = eqx.field(static=True)

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        """All parameters zero: initialisation is apart (networks/initialisation.py).

        **Arguments:**

        - `inputs`, `units`: sizes of input and output.
        - `nonlinearity`: one of the class's `nonlinearities` (default: its first).
        - `key`: unused here, for layers that draw their own parameters when they are made.

        Raises `CapaxError` for a nonlinearity that the class does not have.
        """
        choices = type(self).nonlinearities
        if nonlinearity is None:
            nonlinearity = choices[0] if choices else None
        elif nonlinearity not in choices:
            allowed = f"choose of {', '.join(choices)}" if choices else "its equations fix them"
            raise CapaxError(f"{type(self).__name__} has no nonlinearity {nonlinearity!r}; {allowed}.")
        del key
        self.inputs, self.units, self.nonlinearity = inputs, units, nonlinearity
        for name, declaration in affine_declarations(type(self)).items():
            setattr(self, name, Affine(declaration, inputs, units))
        for name, declaration in scalar_declarations(type(self)).items():
            setattr(self, name, jnp.asarray(declaration.default, jnp.float32))

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        annotated = inspect.get_annotations(cls)
        for kind, annotation in _ANNOTATIONS.items():
            for name, value in vars(cls).items():
                if isinstance(value, kind) and name not in annotated:
                    raise CapaxError(
                        f"{cls.__name__}.{name} has no annotation, so it is no field: write '{name}: {annotation} = ...'."
                    )

    @property
    def s(self) -> Callable[[Array], Array]:
        """The nonlinearity."""
        if self.nonlinearity is None:
            raise AttributeError(f"{type(self).__name__} declares no nonlinearities.")
        return NONLINEARITIES[self.nonlinearity]

    @abc.abstractmethod
    def __call__(
        self, x: Inexact[Array, "time i batch"], state: State, lengths: Int[Array, " batch"] | None = None
    ) -> tuple[Inexact[Array, "time n batch"], State]:
        """The outputs at all times, and the state after the last real step of each sequence.

        With `lengths`, what `x` holds behind them must be finite, and what the outputs are there
        has no meaning.
        """

    @abc.abstractmethod
    def first_state(self, batch: int) -> State:
        """The state before the first step, once for each sequence of a batch."""

    @abc.abstractmethod
    def numbers_kept(self, length: int) -> int:
        """How many numbers must be kept of a sequence of this length to go on from its end."""

    def drawn(self, key: Array) -> "Layer":
        """The layer with those of its parameters drawn that no affine map declares; its scalars are
        set by then.

        The one method with a default that a layer may replace.
        """
        del key
        return self


class Cell(Layer):
    """A recurrence. Subclass it, declare affine maps and hyperparameters, write `project` and
    `step`.

        class UGRNN(Cell):
            affine: Affine = affine("candidate", "gate")
            forget_bias: Array = forget_bias()

            def project(self, x):
                return self.affine.project(x)

            def step(self, h, projected):
                c, g = self.affine.recur(h, projected)
                ...
                return h, h                      # the new state, and the output to the layer above

    What else a cell may need:

    - **Several vectors of state**: `states: ClassVar[tuple[str, ...]] = ("h", "c")`; the state is
      then a tuple of them, each of shape (units, ...). With one name it is an array.
    - **No choice of nonlinearity**: `nonlinearities: ClassVar[tuple[str, ...]] = ()`; else `self.s`
      is the one that was chosen, of `nonlinearities` (tanh and ReLU).
    - **Parameters of another form than an affine map**: a field such as `scale: Array`, which
      `__init__` makes and `drawn` draws. A field that `__init__` leaves out is refused by JAX's
      module class.
    - **A vector times a state**: states and inputs have any batch axes behind their features, so
      write `column(self.scale, h.ndim) * h`.
    - **Sizes**: `demands: ClassVar[Demands] = Demands(square=True)`, or `multiple=8`.

        class IndRNN(Cell):
            inward: Affine = affine("inward", recurrent=("identity",))
            scale: Array

            def __init__(self, inputs, units, nonlinearity=None, key=None):
                super().__init__(inputs, units, nonlinearity, key)
                self.scale = jnp.zeros((units,))

            def drawn(self, key):
                scale = jax.random.uniform(key, (self.units,))
                return eqx.tree_at(lambda cell: cell.scale, self, scale)

            def project(self, x):
                return self.inward.project(x)

            def step(self, h, projected):
                h = self.s(column(self.scale, h.ndim) * h + projected)
                return h, h
    """

    states: ClassVar[tuple[str, ...]] = ("h",)
    initial: PyTree[Float[Array, " n"]]

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        zeros = tuple(jnp.zeros((units,)) for _ in type(self).states)
        self.initial = zeros[0] if len(zeros) == 1 else zeros

    @abc.abstractmethod
    def project(self, x: Inexact[Array, "i ..."]) -> Projected:
        """All that depends on the input alone; hoisted out of the loop over time."""

    @abc.abstractmethod
    def step(self, state: State, projected: Projected) -> tuple[State, Inexact[Array, "n ..."]]:
        """One step: the new state, and the output to the layer above."""

    def __call__(
        self, x: Inexact[Array, "time i batch"], state: State, lengths: Int[Array, " batch"] | None = None
    ) -> tuple[Inexact[Array, "time n batch"], State]:
        """A plain loop over time, which can be differentiated in every mode and order."""
        projected = jax.vmap(self.project)(x)
        if lengths is None:
            step = lambda state, p: self.step(state, p)  # noqa: E731
            state, outputs = jax.lax.scan(step, state, projected)
        else:
            state, outputs = jax.lax.scan(
                pausing(self.step), state, (projected, real_steps(lengths, x.shape[0])[:, None])
            )
        return outputs, state

    def first_state(self, batch: int) -> State:
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:, None], (leaf.shape[0], batch)), self.initial)

    def numbers_kept(self, length: int) -> int:
        """Those of the state."""
        del length
        return sum(leaf.size for leaf in jax.tree.leaves(self.initial))


class LinearCell(Cell):
    """A recurrence that is linear in its state, so that all states can be computed at once.
    Abstract.

    Write `advance` and `emit` in place of `step`: the output is not needed for the next state, so
    `emit` is hoisted out of the loop over time.
    """

    @abc.abstractmethod
    def advance(self, state: State, projected: Projected) -> State:
        """The new state."""

    @abc.abstractmethod
    def emit(self, state: State, projected: Projected) -> Inexact[Array, "n ..."]:
        """The output to the layer above, from the new state."""

    @abc.abstractmethod
    def all_states(self, initial: State, projected: Projected) -> State:
        """The states at all times (time first); used where that is faster than a loop: on
        accelerators.
        """

    def step(self, state: State, projected: Projected) -> tuple[State, Inexact[Array, "n ..."]]:
        state = self.advance(state, projected)
        return state, self.emit(state, projected)


class SequenceLayer(Layer):
    """A layer that sees the whole sequence and has neither steps nor states, such as attention.
    Abstract.
    """

    nonlinearities: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def whole(
        self, x: Inexact[Array, "time i batch"], lengths: Int[Array, " batch"] | None = None
    ) -> Inexact[Array, "time n batch"]:
        """The outputs at all times. No output at a real step depends on what is behind
        `lengths`.
        """

    def __call__(
        self, x: Inexact[Array, "time i batch"], state: State, lengths: Int[Array, " batch"] | None = None
    ) -> tuple[Inexact[Array, "time n batch"], State]:
        return self.whole(x, lengths), state

    def first_state(self, batch: int) -> State:
        """None: an empty tuple."""
        return ()


def real_steps(lengths: Int[Array, " batch"], time: int) -> Bool[Array, "time batch"]:
    """Which of `time` steps of each sequence are real: those before its length."""
    return jnp.arange(time)[:, None] < lengths[None, :]


def pausing(step: Callable[[State, Any], Any]) -> Callable[[State, Any], Any]:
    """The same step for sequences of several lengths: it is given `(projected, real)`, and where a
    sequence is over (`real`, of shape (1, batch), is False) its state stays as it is.
    """

    def step_or_stay(state: State, given: tuple[Projected, Bool[Array, "1 batch"]]) -> Any:
        projected, real = given
        after, output = step(state, projected)
        return jax.tree.map(lambda new, old: jnp.where(real, new, old), after, state), output

    return step_or_stay


def _declarations(cell: type, kind: type) -> dict[str, Any]:
    fields = dataclasses.fields(cell) if dataclasses.is_dataclass(cell) else ()
    return {field.name: field.default for field in fields if isinstance(field.default, kind)}


def affine_declarations(cell: type) -> dict[str, AffineDeclaration]:
    """The affine maps that a cell class declares, by field name, in the order of declaration."""
    return _declarations(cell, AffineDeclaration)


def scalar_declarations(cell: type) -> dict[str, Number]:
    """The scalar hyperparameters that a cell class declares, by field name."""
    return {name: dataclasses.replace(found, name=name) for name, found in _declarations(cell, Number).items()}
