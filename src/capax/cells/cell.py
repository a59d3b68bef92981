"""The contract of a recurrent cell: declared affine maps, `project(x)`, `step(state, projected)`, a learned initial state.

A cell reads like its equations. It declares its affine maps and its scalar hyperparameters as fields; from the
declaration alone follow initialisation, the search space, sizing, and the parameter count. Arrays have their features
on the FIRST axis and any trailing batch axes, so the same equations serve one sample and a batch.

Symbols: n = units, i = inputs, k = blocks of an affine map, `...` = any batch axes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, PyTree

from capax.errors import CapaxError
from capax.hyperparameters import FINITE, Interval, Number

State = PyTree[Inexact[Array, "_ ..."]]
Projected = PyTree[Inexact[Array, "_ ..."]]

NORM_EPSILON = 1e-6
RECURRENT_INITIALISATIONS = ("identity", "orthogonal", "normal")


def sigmoid(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """Logistic function by way of tanh: the same function, and on CPUs about twice as fast per element."""
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
    """What a cell says of one affine map W_h h + W_x x + b: its blocks, and which initialisations the tuner may choose."""

    blocks: tuple[str, ...]
    recurrent: tuple[str, ...] = RECURRENT_INITIALISATIONS
    biased: bool = True


def affine(*blocks: str, recurrent: tuple[str, ...] = RECURRENT_INITIALISATIONS, biased: bool = True) -> Any:
    """Declare an affine map as a field of a cell.

    **Arguments:**

    - `blocks`: a name for each of the stacked maps that share one matrix product.
    - `recurrent`: the initialisations that the tuner may choose for the recurrent matrices, of "identity",
      "orthogonal", "normal". A single one is no choice; a sole "identity" has no scale either.
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
    """Declare a scalar hyperparameter as a field of a cell; it has the field's name, and is never trained.

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
        """W_h h + projected: one array (n, ...) for a single block, else a tuple with one per block. A batch of one in
        either is broadcast to the other's."""
        total = self.times(h) + projected
        blocks = len(self.declaration.blocks)
        return total if blocks == 1 else tuple(jnp.split(total, blocks, axis=0))


class Cell(eqx.Module):
    """One recurrence. Subclass it, declare affine maps and hyperparameters, write `project` and `step`.

        class UGRNN(Cell):
            affine: Affine = affine("candidate", "gate")
            forget_bias: Array = forget_bias()

            def project(self, x):
                return self.affine.project(x)

            def step(self, h, projected):
                c, g = self.affine.recur(h, projected)
                ...
                return h, h                      # the new state, and the output to the layer above

    Class variables: `nonlinearities`, the choices for `s` (empty: the equations fix them); `states`, the names of
    the state's vectors (one: the state is an array (n, ...); several: a tuple of them); `square`, True if inputs and
    outputs must have the same size, as in the Intersection RNN; `least_depth` of a stack; `multiple`, of which the number of units
    must be one; `direct`, True if the readout sees the network's input beside the cells' output (the D x of a linear system);
    `normed`, True if the readout sees the outputs through a layer norm.

    A layer that is no recurrence (a transformer's) has `whole` in place of `project` and `step`, and no states; `causal` is False
    where its outputs depend on later inputs.
    """

    nonlinearities: ClassVar[tuple[str, ...]] = ("tanh", "relu")
    states: ClassVar[tuple[str, ...]] = ("h",)
    square: ClassVar[bool] = False
    least_depth: ClassVar[int] = 1
    multiple: ClassVar[int] = 1
    direct: ClassVar[bool] = False
    normed: ClassVar[bool] = False
    causal: ClassVar[bool] = True

    inputs: int = eqx.field(static=True)
    units: int = eqx.field(static=True)
    nonlinearity: str | None = eqx.field(static=True)
    initial: PyTree[Float[Array, " n"]]

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        """All parameters zero: initialisation is apart (networks/initialisation.py).

        **Arguments:** sizes of input and state; `nonlinearity`, one of the class's `nonlinearities` (default: its
        first); `key`, unused here: for cells that draw their own parameters.
        """
        choices = type(self).nonlinearities
        if nonlinearity is None:
            nonlinearity = choices[0] if choices else None
        elif nonlinearity not in choices:
            allowed = f"choose of {', '.join(choices)}" if choices else "its equations fix them"
            raise CapaxError(f"{type(self).__name__} has no nonlinearity {nonlinearity!r}; {allowed}.")
        del key
        self.inputs, self.units, self.nonlinearity = inputs, units, nonlinearity
        zeros = tuple(jnp.zeros((units,)) for _ in type(self).states)
        self.initial = zeros[0] if len(zeros) == 1 else zeros
        for name, declaration in affine_declarations(type(self)).items():
            setattr(self, name, Affine(declaration, inputs, units))
        for name, declaration in scalar_declarations(type(self)).items():
            setattr(self, name, jnp.asarray(declaration.default, jnp.float32))

    @property
    def s(self) -> Callable[[Array], Array]:
        """The nonlinearity."""
        if self.nonlinearity is None:
            raise AttributeError(f"{type(self).__name__} declares no nonlinearities.")
        return NONLINEARITIES[self.nonlinearity]

    def project(self, x: Inexact[Array, "i ..."]) -> Projected:
        """All that depends on the input alone; hoisted out of the loop over time."""
        raise NotImplementedError

    def step(self, state: State, projected: Projected) -> tuple[State, Inexact[Array, "n ..."]]:
        """One step: the new state, and the output to the layer above. Write this, or `advance` and `emit`."""
        state = self.advance(state, projected)
        return state, self.emit(state, projected)

    def advance(self, state: State, projected: Projected) -> State:
        """The new state of a cell whose output is not needed for it; `emit` is then hoisted out of the loop over time."""
        raise NotImplementedError

    def emit(self, state: State, projected: Projected) -> Inexact[Array, "n ..."]:
        """The output to the layer above, from the new state."""
        raise NotImplementedError

    def all_states(self, initial: State, projected: Projected) -> State:
        """The states at all times (time first), of a cell that is written as `advance` and `emit` and whose recurrence can be
        computed for all times at once; used where that is faster than a loop, which is on accelerators."""
        raise NotImplementedError

    def whole(self, x: Inexact[Array, "time i batch"]) -> Inexact[Array, "time n batch"]:
        """The outputs at all times, of a layer that sees whole sequences and has no steps."""
        raise NotImplementedError

    def numbers_kept(self, length: int) -> int:
        """How many numbers must be kept of a sequence of this length to go on from its end: those of the state."""
        del length
        return sum(leaf.size for leaf in jax.tree.leaves(self.initial))

    @classmethod
    def recurrent(cls) -> bool:
        """Whether the cell has steps; else `whole`."""
        return cls.whole is Cell.whole

    @classmethod
    def parallel(cls) -> bool:
        """Whether the cell has `all_states`."""
        return cls.all_states is not Cell.all_states

    @classmethod
    def emits(cls) -> bool:
        """Whether the cell is written as `advance` and `emit`."""
        return cls.step is Cell.step

    def drawn(self, key: Array) -> "Cell":
        """The cell with those of its parameters drawn that no affine map declares; its scalars are set by then."""
        del key
        return self


def _declarations(cell: type, kind: type) -> dict[str, Any]:
    fields = dataclasses.fields(cell) if dataclasses.is_dataclass(cell) else ()
    return {field.name: field.default for field in fields if isinstance(field.default, kind)}


def affine_declarations(cell: type) -> dict[str, AffineDeclaration]:
    """The affine maps that a cell class declares, by field name, in the order of declaration."""
    return _declarations(cell, AffineDeclaration)


def scalar_declarations(cell: type) -> dict[str, Number]:
    """The scalar hyperparameters that a cell class declares, by field name."""
    return {name: dataclasses.replace(found, name=name) for name, found in _declarations(cell, Number).items()}
