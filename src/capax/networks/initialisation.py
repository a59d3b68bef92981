"""Initialisation of a network from hyperparameters (Collins et al. 2017, appendix A).

The names, ranges, and defaults are in networks/hyperparameters.py; the same values serve every
layer. Learned initial states start at zero, or at what the cell gives.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Affine, Layer, affine_declarations, scalar_declarations
from capax.networks.hyperparameters import hyperparameters_of, is_biased
from capax.networks.parts import Assembled, Linear

Net = TypeVar("Net", bound=Assembled)


def initialise(network: Net, hyperparameters: Mapping[str, Any], key: Array) -> Net:
    """A copy of the network with its parameters drawn; what is not given has its default.

    Raises `CapaxError` for a value that a hyperparameter cannot have.
    """
    cell = type(network.layers[0])
    hyperparameters = {
        name: declared.checked(hyperparameters.get(name, declared.default), f"{cell.__name__}: {name}")
        for name, declared in hyperparameters_of(cell, entry=network.entry is not None).items()
    }
    keys = iter(jax.random.split(key, 2 + len(network.layers)))
    direct_key = jax.random.fold_in(key, 0)
    biased = is_biased(cell)

    def linear(part: Linear, scale: float, key: Array) -> Linear:
        weight_key, bias_key = jax.random.split(key)
        weight = _rectangular(weight_key, part.weight.shape, scale)
        return eqx.tree_at(
            lambda l: (l.weight, l.bias), part, (weight, _bias(bias_key, part.bias, hyperparameters, biased))
        )

    readout = linear(network.readout, hyperparameters["readout_scale"], next(keys))
    entry_key = next(keys)
    entry = None if network.entry is None else linear(network.entry, hyperparameters["entry_scale"], entry_key)
    layers = tuple(_initialise_cell(layer, hyperparameters, next(keys)) for layer in network.layers)
    direct = network.direct
    if direct is not None:
        direct = _rectangular(direct_key, direct.shape, hyperparameters["readout_scale"])
    maps = tuple(linear(part, 1.0, jax.random.fold_in(key, 1 + i)) for i, part in enumerate(network.maps))
    drawn: list[tuple[Callable[[Net], Any], Any]] = [(lambda n: n.readout, readout), (lambda n: n.layers, layers)]
    drawn += [(lambda n: n.entry, entry)] if entry is not None else []
    drawn += [(lambda n: n.direct, direct)] if direct is not None else []
    drawn += [(lambda n: n.maps, maps)] if maps else []
    for where, part in drawn:
        network = eqx.tree_at(where, network, part)
    return network


def _initialise_cell(cell: Layer, hyperparameters: Mapping[str, Any], key: Array) -> Layer:
    names = list(affine_declarations(type(cell)))
    scalars = {name: jnp.asarray(hyperparameters[name], jnp.float32) for name in scalar_declarations(type(cell))}
    maps = {
        name: _initialise_affine(getattr(cell, name), hyperparameters, key)
        for name, key in zip(names, jax.random.split(key, max(1, len(names))), strict=False)
    }
    new = {**maps, **scalars}
    if new:
        cell = eqx.tree_at(lambda c: [getattr(c, name) for name in new], cell, list(new.values()))
    return cell.drawn(jax.random.fold_in(key, len(names)))


def _initialise_affine(affine: Affine, hyperparameters: Mapping[str, Any], key: Array) -> Affine:
    declaration = affine.declaration
    units, inputs = affine.recurrent.shape[1], affine.input.shape[1]
    bias_key, *keys = jax.random.split(key, 1 + len(declaration.blocks))
    recurrent, rectangular = [], []
    for block, block_key in zip(declaration.blocks, keys, strict=True):
        square_key, rectangular_key = jax.random.split(block_key)
        kind = hyperparameters[f"{block}_init"]
        recurrent.append(_square(square_key, units, kind, hyperparameters[f"{block}_scale"]))
        rectangular.append(_rectangular(rectangular_key, (units, inputs), hyperparameters[f"{block}_input_scale"]))
    bias = _bias(bias_key, affine.bias, hyperparameters, declaration.biased)
    parts = (jnp.concatenate(recurrent), jnp.concatenate(rectangular), bias)
    return eqx.tree_at(lambda a: (a.recurrent, a.input, a.bias), affine, parts)


def _square(key: Array, units: int, kind: str, scale: float) -> Float[Array, "n n"]:
    if kind == "identity":  # has no scale
        return jnp.eye(units)
    normal = _normals(key, (units, units))
    if kind == "orthogonal":
        q, r = jnp.linalg.qr(normal)
        return scale * q * jnp.sign(jnp.diagonal(r))[None, :]  # the signs make the draw uniform (Mezzadri 2007)
    return scale / units**0.5 * normal


def _rectangular(key: Array, shape: tuple[int, ...], scale: float) -> Float[Array, "n i"]:
    return scale / shape[1] ** 0.5 * _normals(key, shape)


def _bias(key: Array, bias: Array, hyperparameters: Mapping[str, Any], biased: bool) -> Float[Array, " n"]:
    scale = hyperparameters["bias_scale"] if biased else 0.0
    if hyperparameters["bias_distribution"] == "normal":
        return scale * _normals(key, bias.shape)
    return jnp.full(bias.shape, scale)


def _normals(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normals, drawn in powers of two so that networks of all widths share a few compiled
    draws.
    """
    number = math.prod(shape)
    return jax.random.normal(key, (1 << (number - 1).bit_length(),))[:number].reshape(shape)
