"""Keras weights of `SimpleRNN`, `GRU`, and `LSTM` to networks.

What `layer.get_weights()` gives is read: a list of a kernel (inputs, k units), a recurrent kernel
(units, k units), and, unless `use_bias=False`, a bias. Keras itself is not needed. Blocks stand in
the order i, f, c, o of an LSTM (as ours: input, forget, candidate, output) and z, r, h of a GRU
(update, reset, candidate).

The equations are those of the classes `SimpleRNNCell`, `GRUCell`, and `LSTMCell` of Keras 3, with
`recurrent_activation="sigmoid"`, their default (the "hard_sigmoid" of Keras 1 is another function).
A GRU with `reset_after=True`, Keras's default, has a bias of shape (2, 3 units), for the input and
for the recurrent product, and is our cell `gru-reset-after`; one with `reset_after=False` has
(3 units,), and is our `gru`. z keeps the state, as our update gate does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from capax.cells.cell import Cell
from capax.cells.gru import GRU
from capax.cells.gru_reset_after import GRUResetAfter
from capax.cells.lstm import LSTM
from capax.cells.rnn import RNN
from capax.errors import CapaxError
from capax.interop.weights import Map, Weights, array, check_kind, network
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network

ORDERS = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 1, 2, 3)}
"""Where each of our blocks stands among Keras's."""
NAMES = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}


def from_weights(
    weights: Sequence[Any],
    kind: str,
    *,
    bidirectional: bool = False,
    reset_after: bool | None = None,
    nonlinearity: str = "tanh",
    readout: Sequence[Any] | None = None,
) -> Network | Bidirectional:
    """A network that computes what Keras layers with these weights compute, with
    `return_sequences=True`.

    **Arguments:**

    - `weights`: what `layer.get_weights()` gives; of stacked layers, a list of such lists, the
      lowest first.
    - `kind`: "rnn" (SimpleRNN), "gru", or "lstm".
    - `bidirectional`: the layers are those of `Bidirectional` with `merge_mode="concat"`: each has
      the weights that read forwards, then as many that read backwards.
    - `reset_after`: of a GRU; None for what the shape of the bias says, or, without biases, for
      True, Keras's default.
    - `nonlinearity`: the layers' `activation`, "tanh" or "relu", which the weights do not say. (An
      LSTM of ours has tanh at its output always, so "relu" is no Keras LSTM's.)
    - `readout`: what the `get_weights()` of a `Dense` behind the layers gives, [kernel (features,
      outputs), bias (outputs,)]; None for none: outputs are then those of the top layer.

    **Returns:** a `Network`, or a `Bidirectional`. Its initial states are zero.

    Raises `CapaxError` for a number of arrays, shapes, or a kind that do not fit together, naming
    the first that does not.

        rng = np.random.default_rng(0)
        lower = [rng.normal(size=shape) for shape in [(3, 12), (4, 12), (2, 12)]]
        upper = [rng.normal(size=shape) for shape in [(4, 12), (4, 12), (2, 12)]]
        net = capax.interop.keras.from_weights([lower, upper], kind="gru")
        net(jax.numpy.zeros((7, 3)))  # outputs (7, 4)
    """
    check_kind(kind)
    if nonlinearity not in (("tanh",) if kind == "lstm" else ("tanh", "relu")):
        raise CapaxError(
            f"activation {nonlinearity!r} of a Keras {NAMES[kind]} cannot be read; "
            f"{'tanh' if kind == 'lstm' else 'tanh and relu'} can."
        )
    if reset_after is not None and kind != "gru":
        raise CapaxError(f"reset_after is said of a GRU, not of a {NAMES[kind]}.")
    if not isinstance(weights, Sequence) or not len(weights):
        raise CapaxError(
            f"weights must be what layer.get_weights() gives, or a list of such lists, not {_described(weights)}."
        )
    stacked = weights if all(isinstance(each, list | tuple) for each in weights) else [weights]
    directions = 2 if bidirectional else 1
    layers = [_cells(each, kind, directions, f"layer {l}") for l, each in enumerate(stacked)]
    _require_stack(layers)
    after = {
        _reset_after(kind, bias, f"layer {l}", reset_after) for l, each in enumerate(layers) for _, _, bias in each
    }
    if len(after) > 1:
        raise CapaxError(
            "some of these GRUs have a bias of reset_after=True and some of False; a network has one cell."
        )
    cell = _cell(kind, after.pop())
    read = [tuple(_weights(cell, kind, *arrays) for arrays in each) for each in layers]
    width = directions * read[0][0].recurrent.shape[1]
    return network(cell, read, nonlinearity=nonlinearity, readout=None if readout is None else _dense(readout, width))


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Kernel, recurrent kernel, and bias, as Keras has them."""


def _cells(weights: Sequence[Any], kind: str, directions: int, where: str) -> list[Arrays]:
    """The arrays of each direction of a layer."""
    each, rest = divmod(len(weights), directions)
    if rest or each not in (2, 3):
        due = "a kernel, a recurrent kernel and a bias" + (", once for each direction" if directions == 2 else "")
        hint = "; are the layers bidirectional?" if directions == 1 and len(weights) in (4, 6) else ""
        raise CapaxError(
            f"{where} has {len(weights)} arrays; a {NAMES[kind]} has {directions * 3}, {due}, or "
            f"{directions * 2} with use_bias=False{hint}."
        )
    return [_arrays(weights[each * d : each * (d + 1)], kind, where) for d in range(directions)]


def _arrays(weights: Sequence[Any], kind: str, where: str) -> Arrays:
    names = ("kernel", "recurrent kernel", "bias")
    found = [array(value, f"the {name} of {where}") for value, name in zip(weights, names, strict=False)]
    blocks, (kernel, recurrent), bias = len(ORDERS[kind]), found[:2], found[2] if len(found) == 3 else None
    units = recurrent.shape[0] if recurrent.ndim == 2 else 0
    if not units or recurrent.shape != (units, blocks * units):
        fitting = [k for k, order in ORDERS.items() if recurrent.shape == (units, len(order) * units) and units]
        hint = f"; that is a {NAMES[fitting[0]]}: give kind='{fitting[0]}'" if fitting else ""
        raise CapaxError(
            f"the recurrent kernel of {where} has shape {recurrent.shape}; a {NAMES[kind]} has (units, {blocks} * units){hint}."
        )
    if kernel.ndim != 2 or kernel.shape[1] != blocks * units:
        raise CapaxError(
            f"the kernel of {where} has shape {kernel.shape}; with {units} units it must have (inputs, {blocks * units})."
        )
    due = [(blocks * units,)] + ([(2, blocks * units)] if kind == "gru" else [])
    if bias is not None and bias.shape not in due:
        raise CapaxError(
            f"the bias of {where} has shape {bias.shape}; with {units} units it must have {' or '.join(map(str, due))}."
        )
    return kernel, recurrent, bias


def _require_stack(layers: list[list[Arrays]]) -> None:
    """Raise `CapaxError` where a layer does not fit upon the one below it."""
    inputs, units = layers[0][0][0].shape[0], layers[0][0][1].shape[0]
    for l, cells in enumerate(layers):
        for kernel, recurrent, _ in cells:
            if recurrent.shape[0] != units:
                raise CapaxError(
                    f"layer {l} has {recurrent.shape[0]} units and layer 0 {units}; the layers of a capax network are equal."
                )
            if kernel.shape[0] != inputs:
                raise CapaxError(
                    f"the kernel of layer {l} is for {kernel.shape[0]} inputs, but there are {inputs} below it."
                )
        inputs = len(cells) * units


def _reset_after(kind: str, bias: np.ndarray | None, where: str, said: bool | None) -> bool:
    if kind != "gru" or bias is None:
        return kind == "gru" and said is not False
    seen = bias.ndim == 2
    if said is not None and said != seen:
        raise CapaxError(f"the bias of {where} has shape {bias.shape}, that of reset_after={seen}, not of {said}.")
    return seen


def _cell(kind: str, reset_after: bool) -> type[Cell]:
    gru = GRUResetAfter if reset_after else GRU
    return {"rnn": RNN, "gru": gru, "lstm": LSTM}[kind]


def _weights(
    cell: type[Cell], kind: str, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray | None
) -> Weights:
    blocks, units = len(ORDERS[kind]), recurrent.shape[0]
    inward, outward = (_ordered(kind, matrix.T) for matrix in (kernel, recurrent))
    rows = np.zeros((2, blocks * units), np.float32)
    if bias is not None:
        rows[: bias.ndim] = bias  # one row, for the input, or two, the second for the recurrent product
    first, second = (_ordered(kind, row) for row in rows)
    if cell is not GRUResetAfter:
        return Weights(inward, outward, first)
    gates = np.concatenate([second[: 2 * units], np.zeros(units, np.float32)])
    return Weights(inward, outward, first + gates, second[2 * units :])


def _ordered(kind: str, stacked: np.ndarray) -> np.ndarray:
    """Our order of the blocks, one below the other."""
    blocks = np.split(stacked, len(ORDERS[kind]))
    return np.concatenate([blocks[place] for place in ORDERS[kind]])


def _dense(readout: Sequence[Any], features: int) -> Map:
    if not isinstance(readout, Sequence) or len(readout) not in (1, 2):
        raise CapaxError(f"readout must be [kernel, bias] of a Dense, or [kernel], not {_described(readout)}.")
    kernel = array(readout[0], "the kernel of the readout")
    if kernel.ndim != 2 or kernel.shape[0] != features:
        raise CapaxError(
            f"the kernel of the readout has shape {kernel.shape}; behind these layers, ({features}, outputs) is due."
        )
    bias = array(readout[1], "the bias of the readout") if len(readout) == 2 else np.zeros(kernel.shape[1], np.float32)
    if bias.shape != kernel.shape[1:]:
        raise CapaxError(f"the bias of the readout has shape {bias.shape}; its kernel has {kernel.shape[1]} outputs.")
    return Map(kernel.T, bias)


def _described(value: Any) -> str:
    return f"{len(value)} arrays" if isinstance(value, Sequence) else f"a {type(value).__name__}"
