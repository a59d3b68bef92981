"""Initialisation of a network from hyperparameters (Collins et al. 2017, appendix A); what is not given has a default.

The names, for each block of a declared affine map: `<block>_init` (identity, orthogonal, normal) and `<block>_scale` for
the recurrent matrix, `<block>_input_scale` for the input matrix (normal / sqrt(inputs)); for the network:
`readout_scale`, `entry_scale`, `bias_distribution` (constant, normal), `bias_scale`; and the cell's own scalars by name.
The same values serve every layer. Learned initial states start at zero, or at what the cell gives.
"""

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Affine, Cell, affine_declarations, scalar_declarations
from capax.errors import CapaxError
from capax.networks.network import Linear, Network


def defaults(cell: type[Cell]) -> dict[str, Any]:
    """Every name with the value used where none is given: orthogonal recurrent matrices where the cell allows them, all
    scales 1, biases 0, the cell's scalars as it declares them."""
    found: dict[str, Any] = {"readout_scale": 1.0, "bias_distribution": "constant", "bias_scale": 0.0}
    if cell.square:
        found["entry_scale"] = 1.0
    for declaration in affine_declarations(cell).values():
        for block in declaration.blocks:
            allowed = declaration.recurrent
            found[f"{block}_init"] = "orthogonal" if "orthogonal" in allowed else allowed[0]
            found[f"{block}_scale"] = found[f"{block}_input_scale"] = 1.0
    for name, declaration in scalar_declarations(cell).items():
        found[name] = declaration.default
    return found


def choices(cell: type[Cell]) -> dict[str, tuple[str, ...]]:
    """The names that stand for a choice, with what may be chosen."""
    found: dict[str, tuple[str, ...]] = {"bias_distribution": ("constant", "normal")}
    for declaration in affine_declarations(cell).values():
        found |= {f"{block}_init": declaration.recurrent for block in declaration.blocks}
    return found


def check(cell: type[Cell], hyperparameters: Mapping[str, Any]) -> None:
    """Raise `CapaxError` for a choice that the cell does not allow."""
    for name, allowed in choices(cell).items():
        if name in hyperparameters and hyperparameters[name] not in allowed:
            raise CapaxError(
                f"{cell.__name__}: {name} must be one of {', '.join(allowed)}, not {hyperparameters[name]!r}."
            )


def is_biased(cell: type[Cell]) -> bool:
    """Whether biases start anywhere but at zero."""
    return any(declaration.biased for declaration in affine_declarations(cell).values())


def initialise(network: Network, hyperparameters: Mapping[str, Any], key: Array) -> Network:
    """A copy of the network with its parameters drawn."""
    cell = type(network.layers[0])
    check(cell, hyperparameters)
    hyperparameters = {**defaults(cell), **hyperparameters}
    keys = iter(jax.random.split(key, 2 + len(network.layers)))
    direct_key = jax.random.fold_in(key, 0)
    biased = is_biased(cell)

    def linear(part: Linear, name: str, key: Array) -> Linear:
        weight_key, bias_key = jax.random.split(key)
        weight = _rectangular(weight_key, part.weight.shape, hyperparameters[f"{name}_scale"])
        return eqx.tree_at(
            lambda l: (l.weight, l.bias), part, (weight, _bias(bias_key, part.bias, hyperparameters, biased))
        )

    readout = linear(network.readout, "readout", next(keys))
    entry_key = next(keys)
    entry = None if network.entry is None else linear(network.entry, "entry", entry_key)
    layers = tuple(_initialise_cell(layer, hyperparameters, next(keys)) for layer in network.layers)
    direct = network.direct
    if direct is not None:
        direct = _rectangular(direct_key, direct.shape, hyperparameters["readout_scale"])
    return eqx.tree_at(
        lambda n: (n.entry, n.layers, n.readout, n.direct),
        network,
        (entry, layers, readout, direct),
        is_leaf=lambda leaf: leaf is None,
    )


def _initialise_cell(cell: Cell, hyperparameters: Mapping[str, Any], key: Array) -> Cell:
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
    """Standard normals, drawn in powers of two so that networks of all widths share a few compiled draws."""
    number = math.prod(shape)
    return jax.random.normal(key, (1 << (number - 1).bit_length(),))[:number].reshape(shape)
