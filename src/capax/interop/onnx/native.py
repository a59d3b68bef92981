"""Cells that ONNX has itself: the operators RNN, GRU, and LSTM.

A cell is one of them where what it does is, unchanged, that of a class in `NATIVE`.
ONNX stacks its gates in another order than ours and adds a constant bias b_fg nowhere, so here it
goes into the gate's own bias.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from capax.cells.cell import Cell, Layer, affine_declarations
from capax.cells.gru import ResetUpdate
from capax.cells.gru_reset_after import GRUResetAfter
from capax.cells.lstm import LSTM
from capax.cells.rnn import Elman
from capax.interop.onnx.graph import Graph, Value

CHOSEN = "the nonlinearity that was chosen"


@dataclasses.dataclass(frozen=True)
class Native:
    """How a cell is said in ONNX.

    `order`: our blocks, in the order of ONNX's gates; `activations`: of ONNX's functions f, g, h;
    `constants`: which scalar of the cell is added inside a block; `recurrent_biases`: which vector
    is added to W_h h alone; `attributes`: others of the operator.
    """

    operator: str
    order: tuple[str, ...]
    activations: tuple[str, ...]
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    recurrent_biases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    attributes: Mapping[str, int] = dataclasses.field(default_factory=dict)


NATIVE: dict[type[Cell], Native] = {
    Elman: Native("RNN", ("hidden",), (CHOSEN,)),
    ResetUpdate: Native(
        "GRU",
        ("update", "reset", "candidate"),
        ("Sigmoid", CHOSEN),
        {"update": "forget_bias"},
        attributes={"linear_before_reset": 0},
    ),
    GRUResetAfter: Native(
        "GRU",
        ("update", "reset", "candidate"),
        ("Sigmoid", CHOSEN),
        {"update": "forget_bias"},
        {"candidate": "recurrent_bias"},
        {"linear_before_reset": 1},
    ),
    LSTM: Native(
        "LSTM", ("input", "output", "forget", "candidate"), ("Sigmoid", CHOSEN, "Tanh"), {"forget": "forget_bias"}
    ),
}
DOES = ("project", "step", "__call__", "first_state", "s")
"""What of a class says what its cells do."""
ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu"}


def native(layer: Layer) -> Native | None:
    """How a layer is said by one operator of ONNX; None where its equations are none of theirs."""
    kind: Any = type(layer)
    for known, found in NATIVE.items():
        if isinstance(layer, known) and all(getattr(kind, name) is getattr(known, name) for name in DOES):
            return found
    return None


def node(
    graph: Graph, found: Native, cells: Sequence[Cell], x: Any, states: Sequence[Any], lengths: Value | None
) -> tuple[Any, list[Any]]:
    """One node for a cell that reads forwards, or for two, of which the second reads backwards.

    **Arguments:** `x`, (time, features, batch); `states`, those before the first step, one a cell,
    of operands (units, batch); `lengths`, (batch,), 32-bit whole numbers.

    **Returns:** the outputs, (time, cells * units, batch), and the states after, one a cell.
    """
    weights = [_weights(cell, found) for cell in cells]
    stacked = [graph.constant(np.stack(parts), found.operator.lower()) for parts in zip(*weights, strict=True)]
    units, directions = cells[0].units, len(cells)
    before = [jax.tree.leaves(state, is_leaf=_is_operand) for state in states]
    initial = [_joined(graph, [state[number] for state in before]) for number in range(len(before[0]))]
    time, _, batch = x.shape
    functions = [ACTIVATIONS[cells[0].nonlinearity or "tanh"] if each is CHOSEN else each for each in found.activations]
    shapes = [((time, directions, batch, units), np.float32)] + [((directions, batch, units), np.float32)] * len(
        initial
    )
    outputs, *after = graph.add_several(
        found.operator,
        [graph.transposed(x, (0, 2, 1)), *stacked, lengths, *initial],
        shapes,
        hidden_size=units,
        activations=functions * directions,
        direction="forward" if directions == 1 else "bidirectional",
        **found.attributes,
    )
    joined = graph.reshaped(graph.transposed(outputs, (0, 2, 1, 3)), (time, batch, directions * units))
    structures = [jax.tree.structure(cell.initial) for cell in cells]
    return graph.transposed(joined, (0, 2, 1)), [
        jax.tree.unflatten(structure, [_of_direction(graph, leaf, number) for leaf in after])
        for number, structure in enumerate(structures)
    ]


def _is_operand(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def _joined(graph: Graph, leaves: Sequence[Any]) -> Any:
    """States (units, batch) of the directions as one, (directions, batch, units)."""
    single = [graph.reshaped(graph.transposed(leaf, (1, 0)), (1, leaf.shape[1], leaf.shape[0])) for leaf in leaves]
    shape = (len(single), *single[0].shape[1:])
    return single[0] if len(single) == 1 else graph.add("Concat", single, shape, np.float32, axis=0)


def _of_direction(graph: Graph, state: Value, number: int) -> Any:
    """The state (units, batch) of one direction."""
    _, batch, units = state.shape
    chosen = graph.add("Gather", [state, np.asarray(number)], (batch, units), state.dtype, axis=0)
    return graph.transposed(chosen, (1, 0))


def _weights(cell: Cell, found: Native) -> tuple[Array | np.ndarray, ...]:
    """ONNX's W (gates * units, inputs), R (gates * units, units), and B: input biases, then
    recurrent ones.
    """
    blocks: dict[str, tuple[np.ndarray, ...]] = {}
    for name, declaration in affine_declarations(type(cell)).items():
        part = getattr(cell, name)
        arrays = [np.asarray(array) for array in (part.input, part.recurrent, part.bias)]
        split = [np.split(array, len(declaration.blocks)) for array in arrays]
        blocks.update(zip(declaration.blocks, zip(*split, strict=True), strict=True))
    W, R, b = (np.concatenate([blocks[block][place] for block in found.order]) for place in range(3))
    units, fields = cell.units, vars(cell)
    added = [_vector(fields, found.constants.get(block), units) for block in found.order]
    recurrent = [_vector(fields, found.recurrent_biases.get(block), units) for block in found.order]
    return W, R, np.concatenate([b + np.concatenate(added), *recurrent])


def _vector(fields: Mapping[str, Any], name: str | None, units: int) -> np.ndarray:
    """A field of a cell, a number or a vector, as a vector; zeros where none is meant."""
    return np.broadcast_to(np.zeros(()) if name is None else np.asarray(fields[name]), (units,)).astype(np.float32)
