"""What networks are put together from beside layers, and what of a network is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from capax.cells.cell import Layer, column, scalar_declarations, scaled_norm


class Linear(eqx.Module):
    """W x + b, features first."""

    weight: Float[Array, "o i"]
    bias: Float[Array, " o"]

    def __init__(self, inputs: int, outputs: int):
        self.weight, self.bias = jnp.zeros((outputs, inputs)), jnp.zeros((outputs,))

    def __call__(self, x: Float[Array, "i *batch"]) -> Float[Array, "o *batch"]:
        return jnp.tensordot(self.weight, x, 1) + column(self.bias, x.ndim)


class Norm(eqx.Module):
    """scale layer_norm(x) + bias, features first."""

    scale: Float[Array, " n"]
    bias: Float[Array, " n"]

    def __init__(self, units: int):
        self.scale, self.bias = jnp.ones((units,)), jnp.zeros((units,))

    def __call__(self, x: Float[Array, "n *batch"]) -> Float[Array, "n *batch"]:
        return scaled_norm(self.scale, self.bias, x)


class Assembled(eqx.Module):
    """What initialisation draws of a network: its `layers`, all of one class, and its affine maps.
    Abstract.

    `maps`: those beside entry and readout.
    """

    entry: eqx.AbstractVar[Linear | None]
    layers: eqx.AbstractVar[tuple[Layer, ...]]
    readout: eqx.AbstractVar[Linear]
    direct: eqx.AbstractVar[Array | None]
    maps: eqx.AbstractVar[tuple[Linear, ...]]


def dropped(
    probability: float | Float[Array, ""], key: Array, x: Float[Array, "time n batch"], times: Int[Array, " time"]
) -> Float[Array, "time n batch"]:
    """x with each number zero with this probability, the others divided by what is left of 1. The
    numbers of a step follow from the key and the step's place in `times`, in whatever parts a
    sequence is run.
    """

    def one(x: Array, time: Array) -> Array:
        kept = jax.random.bernoulli(jax.random.fold_in(key, time), 1 - probability, x.shape)
        return jnp.where(kept, x / (1 - probability), 0.0)

    return jax.vmap(one)(x, times)


class Dropout(NamedTuple):
    """How a network drops: `probability` of each number to be zero, and the `key` of the draws."""

    probability: float | Float[Array, ""]
    key: Array

    def split(self) -> "tuple[Dropout, Dropout]":
        """For two parts of a network, independent of each other."""
        one, other = jax.random.split(self.key)
        return Dropout(self.probability, one), Dropout(self.probability, other)


def upwards(norms: tuple[Norm, ...], dropout: Dropout | None) -> Any:
    """What layers hand upwards (`ways.Between`): their outputs through the norm of their number, if
    there is one, and with dropout where there is any. None where that is the outputs as they are.
    """
    if dropout is None and not norms:
        return None

    def handed(number: int, outputs: Array, times: Array) -> Array:
        if number < len(norms):
            outputs = jax.vmap(norms[number])(outputs)
        if dropout is None:
            return outputs
        return dropped(dropout.probability, jax.random.fold_in(dropout.key, number), outputs, times)

    return handed


def is_array_shape(leaf: Any) -> bool:
    """Whether a leaf is an array, or stands for one where only shapes are known."""
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def _is_layer(part: Any) -> bool:
    return isinstance(part, Layer)


def _trained(part: Any) -> PyTree:
    if not _is_layer(part):
        return is_array_shape(part) and jnp.issubdtype(part.dtype, jnp.inexact)
    mask, names = jax.tree.map(_trained, part), list(scalar_declarations(type(part)))
    if not names:
        return mask
    return eqx.tree_at(lambda layer: [getattr(layer, name) for name in names], mask, [False] * len(names))


def trainable(network: PyTree) -> PyTree:
    """True at the leaves that training changes: all inexact arrays but the layers' scalar
    hyperparameters.
    """
    return jax.tree.map(_trained, network, is_leaf=_is_layer)


def count_parameters(network: PyTree) -> int:
    """The number of trainable parameters: cells, biases, learned initial states, input map, and
    readout.
    """
    leaves = jax.tree.leaves(eqx.filter(network, trainable(network)))
    return sum(leaf.size for leaf in leaves)


def count_on_shapes(kind: Callable[..., Any], *arguments: Any, **sizes: Any) -> int:
    """The number of trainable parameters of `kind(*arguments, **sizes)`, counted on shapes: nothing
    is computed.
    """
    # The filter is for what a user's cell holds beside arrays.
    return count_parameters(eqx.filter_eval_shape(kind, *arguments, **sizes))
