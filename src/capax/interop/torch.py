"""PyTorch state dicts of `nn.RNN`, `nn.GRU`, and `nn.LSTM` to networks, and back.

A state dict is a mapping of names to arrays; PyTorch itself is not needed. The layers' names are
PyTorch's own: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, the last number being the
layer's, with `_reverse` behind it for the cell that reads backwards. Blocks stand in the same order
as ours: r, z, n of a GRU are reset, update, candidate; i, f, g, o of an LSTM are input, forget,
candidate, output.

The equations are those of PyTorch's documentation (torch.nn.RNN, GRU, LSTM). Its GRU applies the
reset gate after the recurrent matrix, so it is our cell `gru-reset-after`; its update gate z keeps
the state, as ours does.

    module = torch.nn.GRU(3, 16, num_layers=2)
    net = capax.interop.torch.from_state_dict(module.state_dict(), kind="gru")
    found = capax.interop.torch.to_state_dict(net, layer="", readout=None)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in found.items()})
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from capax.cells import registry
from capax.cells.cell import Cell
from capax.cells.gru_reset_after import GRUResetAfter
from capax.cells.lstm import LSTM
from capax.cells.rnn import IRNN, RNN
from capax.errors import CapaxError
from capax.interop.weights import KINDS, Map, Weights, array, check_kind, directions_of, network, weights_of
from capax.networks.assembling import AnyNetwork
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network
from capax.networks.parts import Linear
from capax.training.model import Model

CELLS: dict[str, type[Cell]] = {"rnn": RNN, "gru": GRUResetAfter, "lstm": LSTM}
BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
INITIAL = ("initial_h", "initial_c")
"""Names of the states before the first step, (layers * directions, units) each. PyTorch's layers
have no such parameters: they are given h_0 and c_0 when they are called.
"""
_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_OWN = re.compile(r"(?:weight|bias)_(?:ih|hh|hr)_l(\d+)(_reverse)?")
_FIRST = "weight_ih_l0"


def to_state_dict(
    model: AnyNetwork | Model,
    *,
    layer: str = "rnn",
    readout: str | None = "readout",
    entry: str = "entry",
) -> dict[str, np.ndarray]:
    """The weights of a network under PyTorch's names, float32.

    They are those of a module such as

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = torch.nn.LSTM(3, 16, num_layers=2)
                self.readout = torch.nn.Linear(16, 2)

    whose `forward` applies one after the other (and whose `nn.RNN` has the network's nonlinearity).
    Our bias, with a constant forget bias in it, is
    `bias_ih`; `bias_hh` is 0 but for the candidate's second bias of `gru-reset-after`. Learned
    initial states are `initial_h` (and `initial_c`), (layers * directions, units), in the order of
    PyTorch's h_0: call the layer with `h_0 = initial_h[:, None].expand(-1, batch, -1)`. They are
    left out where all are zero, as PyTorch begins there anyway.

    **Arguments:**

    - `model`: a network of rnn, irnn, lstm, or gru-reset-after cells, or a model of one, as
      `capax.load` gives it.
    - `layer`: the module's name for the recurrent layers, "" where the layer is the module.
    - `readout`: its name for the `nn.Linear` behind them; None to leave it out.
    - `entry`: its name for the `nn.Linear` before them, where the network has an input map (an
      embedding; an `nn.Embedding` has the transposed weight, and needs the bias added).

    **Returns:** arrays by name; `torch.from_numpy` makes tensors of them.

    Raises `CapaxError` for a network that is no such module: another cell, a layer norm, ReLU in an
    LSTM or GRU.
    """
    net = model.network if isinstance(model, Model) else model
    if not isinstance(net, Network | Bidirectional):
        raise CapaxError(f"capax cannot write a {type(net).__name__} for PyTorch; it writes Network and Bidirectional.")
    _require_ours(net)
    found: dict[str, np.ndarray] = {}
    initial: list[tuple[np.ndarray, ...]] = []
    for l, cells in enumerate(directions_of(net)):
        for d, cell in enumerate(cells):
            weights = weights_of(cell)
            for part, value in zip(_PARTS, _parts(weights), strict=True):
                found[_joined(layer, _name(part, l, d))] = value
            initial.append(weights.initial)
    stacked = [np.stack(states) for states in zip(*initial, strict=True)]
    if any(state.any() for state in stacked):
        found.update(zip(INITIAL, stacked, strict=False))
    if net.entry is not None:
        found.update(_of_linear(net.entry, entry))
    if readout is not None:
        found.update(_of_linear(net.readout, readout))
    return found


def from_state_dict(
    state: Mapping[str, Any],
    kind: str,
    *,
    nonlinearity: str = "tanh",
    layer: str | None = None,
    readout: str | None = None,
    entry: str = "entry",
) -> Network | Bidirectional:
    """A network that computes what a PyTorch module with this state dict computes.

    **Arguments:**

    - `state`: arrays or tensors on the CPU by name, as `module.state_dict()` gives them; they
      become float32. Names behind any prefix, of the layers, of at most one `nn.Linear` behind
      them (the readout), of one before them (`entry`), and `initial_h`, `initial_c` as
      `to_state_dict` writes them.
    - `kind`: "rnn", "gru", or "lstm".
    - `nonlinearity`: of an `nn.RNN`, "tanh" or "relu": its state dict does not say.
    - `layer`, `readout`: names of the layers and of the readout in the module, where several could
      be meant.
    - `entry`: the name of an `nn.Linear` before the layers. An `nn.Embedding` is one with the
      weight transposed and no bias.

    **Returns:** a `Network`, or a `Bidirectional` for bidirectional layers. Without a readout its
    outputs are those of the top layer.

    Raises `CapaxError` for names, shapes, or a kind that do not fit together, naming the first that
    does not.

        rng = np.random.default_rng(0)
        shapes = {"weight_ih": (12, 3), "weight_hh": (12, 4), "bias_ih": 12, "bias_hh": 12}
        state = {f"rnn.{part}_l0": rng.normal(size=shape) for part, shape in shapes.items()}
        net = capax.interop.torch.from_state_dict(state, kind="gru")
        net(jax.numpy.zeros((7, 3)))  # outputs (7, 4)
    """
    check_kind(kind)
    if nonlinearity not in (("tanh", "relu") if kind == "rnn" else ("tanh",)):
        allowed = "tanh or relu" if kind == "rnn" else "tanh alone"
        raise CapaxError(f"PyTorch's {kind} has no nonlinearity {nonlinearity!r}, but {allowed}.")
    reading = _Reading(state)
    layers = _layers(reading, kind, _prefix(reading, layer))
    initial = _initial(reading, kind, (len(layers) * len(layers[0]), layers[0][0].recurrent.shape[1]))
    if initial:
        rows = iter(zip(*initial, strict=True))
        layers = [
            tuple(Weights(w.input, w.recurrent, w.bias, w.recurrent_bias, next(rows)) for w in each) for each in layers
        ]
    before = reading.linear(entry, outputs=layers[0][0].input.shape[1]) if reading.has(entry) else None
    width = len(layers[0]) * layers[0][0].recurrent.shape[1]
    name = reading.only_linear() if readout is None else readout
    after = None if name is None else reading.linear(name, inputs=width)
    reading.require_nothing_left()
    return network(CELLS[kind], layers, nonlinearity=nonlinearity, readout=after, entry=before)


class _Reading:
    """A state dict that is being read: what has not been taken is left."""

    def __init__(self, state: Any):
        if not isinstance(state, Mapping):
            raise CapaxError(
                f"a state dict is a mapping of names to arrays, as module.state_dict() gives it, not a {type(state).__name__}."
            )
        self.left = {str(name): value for name, value in state.items()}

    def take(self, name: str, shape: tuple[int | None, ...], meaning: str) -> np.ndarray:
        """The array of a name, whose shape must be this one; None for any number."""
        if name not in self.left:
            raise CapaxError(f"the state dict has no {name}, {meaning}; it has {_listed(self.left)}.")
        found = array(self.left.pop(name), name)
        if len(found.shape) != len(shape) or any(s not in (None, f) for s, f in zip(shape, found.shape, strict=True)):
            due = ", ".join("any" if size is None else str(size) for size in shape)
            due += "," if len(shape) == 1 else ""
            raise CapaxError(f"{name} has shape {found.shape}; {meaning}, it must have ({due}).")
        return found

    def has(self, module: str) -> bool:
        """Whether there is an nn.Linear of this name."""
        return _joined(module, "weight") in self.left

    def only_linear(self) -> str | None:
        """The name of the one nn.Linear that is left; None where there is none."""
        found = [
            name.removesuffix("weight").removesuffix(".")
            for name, value in self.left.items()
            if name.rpartition(".")[2] == "weight" and np.ndim(value) == 2
        ]
        if len(found) > 1:
            raise CapaxError(
                f"the state dict has several linear maps, {', '.join(found)}: name the one behind the layers by readout= "
                "and one before them by entry=, and take the others out."
            )
        return found[0] if found else None

    def linear(self, module: str, *, inputs: int | None = None, outputs: int | None = None) -> Map:
        """An nn.Linear, its bias zero where it has none."""
        where = "the map behind the layers" if outputs is None else "the map before the layers"
        weight = self.take(_joined(module, "weight"), (outputs, inputs), f"the weight of {where}")
        bias = _joined(module, "bias")
        if bias not in self.left:
            return Map(weight, np.zeros(weight.shape[0], np.float32))
        return Map(weight, self.take(bias, (weight.shape[0],), f"the bias of {where}"))

    def require_nothing_left(self) -> None:
        """Every name has been read."""
        if self.left:
            raise CapaxError(
                f"the state dict has {_listed(self.left)}, which belongs to no recurrent layer, readout, or entry; take "
                "it out if the network can do without."
            )


def _prefix(reading: _Reading, layer: str | None) -> str:
    """The name of the recurrent layers within the module."""
    if layer is not None:
        return layer
    found = [name.removesuffix(_FIRST).removesuffix(".") for name in reading.left if name.rpartition(".")[2] == _FIRST]
    if not found:
        raise CapaxError(
            f"the state dict holds no recurrent layer: none of its names ends in {_FIRST}, as those of nn.RNN, nn.GRU, and "
            f"nn.LSTM do; it has {_listed(reading.left)}."
        )
    if len(found) > 1:
        raise CapaxError(
            f"the state dict holds several recurrent layers, {', '.join(found)}: name one by layer= and take the others out."
        )
    return found[0]


def _layers(reading: _Reading, kind: str, prefix: str) -> list[tuple[Weights, ...]]:
    """The weights of all cells, layer by layer."""
    own = [name for name in reading.left if name.startswith(_joined(prefix, ""))]
    matches = [found for name in own if (found := _OWN.fullmatch(name[len(_joined(prefix, "")) :]))]
    for found in matches:
        if found[0].startswith("weight_hr"):
            raise CapaxError(
                f"{_joined(prefix, found[0])}: an nn.LSTM with projections (proj_size) has no cell in capax."
            )
    depth = 1 + max((int(found[1]) for found in matches), default=0)
    directions = 2 if any(found[2] for found in matches) else 1
    biased = any(found[0].startswith("bias") for found in matches)
    units = _units(reading, kind, _joined(prefix, "weight_hh_l0"))
    rows = BLOCKS[kind] * units
    layers = []
    for l in range(depth):
        inputs, cells = (directions * units if l else None), []
        for d in range(directions):
            if d:
                inputs = cells[0].input.shape[1]
            shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, units), "bias_ih": (rows,), "bias_hh": (rows,)}
            meaning = f"of layer {l} of {'a' if directions == 1 else 'a bidirectional'} {kind} with {units} units"
            values = {
                part: reading.take(_joined(prefix, _name(part, l, d)), shape, meaning)
                for part, shape in shapes.items()
                if biased or not part.startswith("bias")
            }
            zero = np.zeros(rows, np.float32)
            cells.append(
                _weights(
                    kind,
                    values["weight_ih"],
                    values["weight_hh"],
                    values.get("bias_ih", zero),
                    values.get("bias_hh", zero),
                )
            )
        layers.append(tuple(cells))
    return layers


def _units(reading: _Reading, kind: str, name: str) -> int:
    """The number of units, by the lowest recurrent matrix."""
    shape = tuple(np.shape(reading.left.get(name, ())))
    if len(shape) == 2 and shape[1] and shape[0] != BLOCKS[kind] * shape[1]:
        fitting = [other for other in KINDS if shape[0] == BLOCKS[other] * shape[1]]
        hint = f"; that is an nn.{fitting[0].upper()}: give kind='{fitting[0]}'" if fitting else ""
        raise CapaxError(
            f"{name} has shape {shape}, but a {kind} with {shape[1]} units has ({BLOCKS[kind] * shape[1]}, {shape[1]}){hint}."
        )
    if len(shape) != 2:
        reading.take(name, (None, None), f"of layer 0 of a {kind}")  # raises: it is not there, or is no matrix
    return shape[1]


def _weights(kind: str, inward: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, second: np.ndarray) -> Weights:
    """PyTorch's two biases are one of ours, but for the candidate of a GRU, whose second one is
    multiplied by the reset gate.
    """
    if kind != "gru":
        return Weights(inward, recurrent, bias + second)
    units = recurrent.shape[1]
    gates = np.concatenate([second[: 2 * units], np.zeros(units, np.float32)])
    return Weights(inward, recurrent, bias + gates, second[2 * units :])


def _parts(weights: Weights) -> tuple[np.ndarray, ...]:
    """PyTorch's four arrays, in the order of `_PARTS`."""
    second = np.zeros_like(weights.bias)
    if weights.recurrent_bias is not None:
        second[-len(weights.recurrent_bias) :] = weights.recurrent_bias
    return weights.input, weights.recurrent, weights.bias, second


def _initial(reading: _Reading, kind: str, shape: tuple[int, int]) -> list[np.ndarray]:
    """The states before the first step, each (layers * directions, units); none where there are
    none.
    """
    found = []
    for name in INITIAL[: 2 if kind == "lstm" else 1]:
        named = next((each for each in reading.left if each.rpartition(".")[2] == name), None)
        if named is not None:
            if tuple(np.shape(reading.left[named])) == (shape[0], 1, shape[1]):  # as h_0 of a batch of one
                reading.left[named] = array(reading.left[named], named)[:, 0]
            found.append(reading.take(named, shape, "the states before the first step, (layers * directions, units)"))
    if found and len(found) < (2 if kind == "lstm" else 1):
        raise CapaxError(
            "the state dict has one of initial_h and initial_c; an lstm begins with both, or with neither."
        )
    return found


def _require_ours(net: Network | Bidirectional) -> None:
    """Raise `CapaxError` for a network that nn.RNN, nn.GRU, nn.LSTM, and nn.Linear do not make."""
    kind, nonlinearity = type(net.layers[0]), net.layers[0].nonlinearity
    if kind not in (*CELLS.values(), IRNN):
        name = next((name for name, known in registry.BUILT_IN.items() if known is kind), kind.__name__)
        hint = ", whose reset gate acts after the matrix: train gru-reset-after" if name in ("gru", "chrono") else ""
        raise CapaxError(f"PyTorch has no layer with the equations of {name}, only nn.RNN, nn.LSTM, and nn.GRU{hint}.")
    if kind in (GRUResetAfter, LSTM) and nonlinearity != "tanh":
        raise CapaxError(
            f"PyTorch's {'nn.LSTM' if kind is LSTM else 'nn.GRU'} has tanh alone, and this network {nonlinearity}."
        )
    if net.norm is not None or net.norms or net.direct is not None:
        raise CapaxError(
            "this network has layer norms or a direct part, which PyTorch's recurrent layers have no place for; export it to "
            "ONNX instead."
        )


def _of_linear(part: Linear, module: str) -> dict[str, np.ndarray]:
    return {_joined(module, "weight"): np.array(part.weight), _joined(module, "bias"): np.array(part.bias)}


def _name(part: str, layer: int, direction: int) -> str:
    return f"{part}_l{layer}{'_reverse' if direction else ''}"


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _listed(names: Mapping[str, Any]) -> str:
    shown = ", ".join(list(names)[:3])
    return f"{shown}, and {len(names) - 3} more" if len(names) > 3 else shown or "nothing"
