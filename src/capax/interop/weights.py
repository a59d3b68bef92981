"""The weights of recurrent layers as PyTorch and Keras hold them, into our networks and out of
them.

Both libraries stack the blocks of a layer, as we do; in what order is said in torch.py and
keras.py. Here stands what is ours: in which fields of a cell the blocks are, which constant is
added to which bias, and how layers and a readout are put together.

Symbols: n = units, i = inputs, k = blocks of a cell, o = outputs.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from capax.cells.cell import Cell, affine_declarations, scalar_declarations
from capax.cells.gru_reset_after import GRUResetAfter
from capax.cells.lstm import LSTM
from capax.cells.wiring import Wiring
from capax.errors import CapaxError, closest
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network
from capax.networks.parts import Linear

Vector = Float[np.ndarray, " _"]
Matrix = Float[np.ndarray, "_ _"]

_CONSTANTS: dict[type[Cell], str] = {GRUResetAfter: "update", LSTM: "forget"}
"""The block to whose bias a cell adds its constant `forget_bias`; other programs have no such
constant.
"""


@dataclasses.dataclass(frozen=True)
class Weights:
    """Those of one cell, its blocks one below the other in the order in which its class declares
    them.

    `input` (kn, i), `recurrent` (kn, n), `bias` (kn,); `recurrent_bias` (n,), the candidate's
    second bias of `gru-reset-after`, None for other cells; `initial`, the states before the first
    step, each (n,), none where they are zero.
    """

    input: Matrix
    recurrent: Matrix
    bias: Vector
    recurrent_bias: Vector | None = None
    initial: tuple[Vector, ...] = ()


@dataclasses.dataclass(frozen=True)
class Map:
    """An affine map beside the layers: `weight` (o, i), `bias` (o,)."""

    weight: Matrix
    bias: Vector


KINDS = ("rnn", "gru", "lstm")


def check_kind(kind: str) -> None:
    """Raise `CapaxError` for a kind of layer that other programs do not have."""
    if kind not in KINDS:
        raise CapaxError(f"unknown kind '{kind}'{closest(str(kind), list(KINDS))}; choose of {', '.join(KINDS)}.")


def array(value: Any, name: str) -> np.ndarray:
    """What another program hands over, as float32.

    Raises `CapaxError` for what is no array of real numbers.
    """
    try:
        found = np.asarray(value)
    except Exception as error:  # whatever a tensor of another program says
        raise CapaxError(
            f"{name} cannot be read as an array ({error}); hand over tensors on the CPU, such as tensor.float().cpu()."
        ) from None
    if found.dtype.kind != "f":
        raise CapaxError(f"{name} must be an array of floating-point numbers, not of type {found.dtype}.")
    return found.astype(np.float32)


def network(
    cell: type[Cell],
    layers: Sequence[tuple[Weights, ...]],
    *,
    nonlinearity: str | None = None,
    readout: Map | None = None,
    entry: Map | None = None,
) -> Network | Bidirectional:
    """A network with these weights.

    **Arguments:** `layers`, the lowest first, each with the weights of the cell that reads
    forwards, and in a bidirectional network of the one that reads backwards; `readout`, None for
    the identity: the outputs are then those of the top layer; `entry`, a map before the lowest
    layer. Shapes must fit.
    """
    directions, units = len(layers[0]), layers[0][0].recurrent.shape[1]
    width = directions * units
    read = Map(np.eye(width, dtype=np.float32), np.zeros(width, np.float32)) if readout is None else readout
    net = (Network if directions == 1 else Bidirectional)(
        cell,
        inputs=(layers[0][0].input if entry is None else entry.weight).shape[1],
        outputs=read.weight.shape[0],
        depth=len(layers),
        units=units,
        nonlinearity=nonlinearity,
        wiring=Wiring(embedding=0 if entry is None else entry.weight.shape[0]),
    )
    weights = [each for layer in layers for each in layer]
    filled = [_filled(cell, each) for cell, each in zip(_cells(net), weights, strict=True)]
    net = eqx.tree_at(_cells, net, filled)
    net = eqx.tree_at(lambda n: n.readout, net, _linear(net.readout, read))
    if entry is None or net.entry is None:
        return net
    return eqx.tree_at(lambda n: n.entry, net, _linear(net.entry, entry))


def directions_of(net: Network | Bidirectional) -> list[tuple[Cell, ...]]:
    """The cells of each layer: one, or one that reads forwards and one that reads backwards."""
    if isinstance(net, Bidirectional):
        return list(zip(net.forwards, net.backwards, strict=True))
    return [(cell,) for cell in net.cells]


def _cells(net: Network | Bidirectional) -> list[Cell]:
    return [cell for layer in directions_of(net) for cell in layer]


def weights_of(cell: Cell) -> Weights:
    """Those of one of our cells, its constant forget bias within its biases."""
    maps = [getattr(cell, name) for name in affine_declarations(type(cell))]
    inward, recurrent, bias = (
        np.concatenate([np.asarray(part, np.float32) for part in parts])
        for parts in ([m.input for m in maps], [m.recurrent for m in maps], [m.bias for m in maps])
    )
    block = _CONSTANTS.get(type(cell))
    if block is not None:
        place = _blocks(type(cell)).index(block) * cell.units
        bias[place : place + cell.units] += np.float32(getattr(cell, "forget_bias"))  # noqa: B009  (some cells' alone)
    second = np.array(cell.recurrent_bias) if isinstance(cell, GRUResetAfter) else None
    initial = tuple(np.array(leaf) for leaf in jax.tree.leaves(cell.initial))
    return Weights(inward, recurrent, bias, second, initial)


def _blocks(cell: type[Cell]) -> list[str]:
    return [block for declaration in affine_declarations(cell).values() for block in declaration.blocks]


def _filled(cell: Cell, weights: Weights) -> Cell:
    """The cell with these weights, and a constant forget bias of 0."""
    new: dict[str, Any] = {name: jnp.zeros((), jnp.float32) for name in scalar_declarations(type(cell))}
    begin = 0
    for name, declaration in affine_declarations(type(cell)).items():
        end = begin + len(declaration.blocks) * cell.units
        parts = [jnp.asarray(part[begin:end]) for part in (weights.recurrent, weights.input, weights.bias)]
        new[name] = eqx.tree_at(lambda a: [a.recurrent, a.input, a.bias], getattr(cell, name), parts)
        begin = end
    if weights.recurrent_bias is not None:
        new["recurrent_bias"] = jnp.asarray(weights.recurrent_bias)
    if weights.initial:
        states = [jnp.asarray(state) for state in weights.initial]
        new["initial"] = jax.tree.unflatten(jax.tree.structure(cell.initial), states)
    return eqx.tree_at(lambda c: [getattr(c, name) for name in new], cell, list(new.values()))


def _linear(part: Linear, given: Map) -> Linear:
    return eqx.tree_at(lambda l: [l.weight, l.bias], part, [jnp.asarray(given.weight), jnp.asarray(given.bias)])
