"""One ONNX file in the making: a graph, what it reads, what it gives, what it says of itself."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from capax.cells.cell import Cell
from capax.interop.onnx.graph import Graph, Operand, Shape, Value, is_number
from capax.interop.onnx.package import IR_VERSION, OPSET, onnx_package
from capax.version import __version__

METADATA = "capax."
"""What the names of the entries begin with that capax writes into a file."""

FLOATS, WHOLE = np.dtype(np.float32), np.dtype(np.int64)


class Draft:
    """A file in the making. Its inputs and outputs have the batch first, or with `time_first` the
    time; those of the graph have the batch last.
    """

    def __init__(self, time_first: bool = False):
        self.graph = Graph()
        self._time_first = time_first
        self._given: dict[str, Value] = {}
        self._made: dict[str, Value] = {}
        self._sized: set[str] = set()

    def reads(self, name: str, shape: Shape, dtype: np.dtype) -> Value:
        """An input of the file; a size that is seen for the first time is that of this input."""
        value = Value(name, shape, dtype)
        self._given[name] = value
        for axis, size in enumerate(shape):
            if not is_number(size) and str(size) not in self._sized:
                self.graph.size_is(size, value, axis)
                self._sized.add(str(size))
        return value

    def reads_sequence(self, name: str, time: Any, features: int | None) -> Operand:
        """An input of numbers, as (time, features, batch); of symbols where there are no features,
        as (time, batch), 32-bit.
        """
        both = (time, self.graph.batch) if self._time_first else (self.graph.batch, time)
        order = (0, 1) if self._time_first else (1, 0)
        if features is None:
            return self.graph.cast(self.graph.transposed(self.reads(name, both, WHOLE), order), np.int32)
        value = self.reads(name, (*both, features), FLOATS)
        return self.graph.transposed(value, (order[0], 2, order[1]))

    def reads_lengths(self) -> Operand:
        """The input `lengths`, (batch,), 32-bit."""
        return self.graph.cast(self.reads("lengths", (self.graph.batch,), WHOLE), np.int32)

    def reads_states(self, cells: Sequence[Cell]) -> tuple[Any, ...]:
        """The inputs `state_0_0` and so on, by layer and part, each as (units, batch), in the
        structure of the cells' states.
        """
        found = []
        for number, cell in enumerate(cells):
            leaves, structure = jax.tree.flatten(cell.initial)
            read = [
                self.reads(f"state_{number}_{part}", (self.graph.batch, leaf.shape[0]), FLOATS)
                for part, leaf in enumerate(leaves)
            ]
            found.append(jax.tree.unflatten(structure, [self.graph.transposed(value, (1, 0)) for value in read]))
        return tuple(found)

    def gives(self, name: str, operand: Operand) -> None:
        """An output of the file."""
        made = self.graph.add("Identity", [operand], operand.shape, operand.dtype)
        self.graph.nodes[-1].output[0] = name
        self._made[name] = dataclasses.replace(made, name=name)

    def gives_sequence(self, name: str, operand: Operand, axes: tuple[int, int, int]) -> None:
        """An output of a sequence; `axes`: which axes of the operand are time, features, batch."""
        time, features, batch = axes
        order = (time, batch, features) if self._time_first else (batch, time, features)
        self.gives(name, self.graph.transposed(operand, order))

    def gives_states(self, states: Sequence[Any], ending: str = "") -> None:
        """The states of layers as outputs, named as the inputs are, with this ending."""
        for number, state in enumerate(states):
            for part, leaf in enumerate(jax.tree.leaves(state, is_leaf=_is_operand)):
                self.gives(f"state_{number}_{part}{ending}", self.graph.transposed(leaf, (1, 0)))

    def proto(self, said: dict[str, Any]) -> Any:
        """The file, checked by `onnx.checker`. `said`: what goes into its metadata, texts as they
        are, all else as JSON.
        """
        helper, graph = onnx_package("onnx.helper"), self.graph
        graph.prune(list(self._made))
        body = helper.make_graph(
            graph.nodes,
            "network",
            [graph.declared(each) for each in self._given.values()],
            [graph.declared(each) for each in self._made.values()],
            graph.initialisers,
        )
        proto = helper.make_model(
            body,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="capax",
            producer_version=__version__,
        )
        axes = {name: _axes(name, value.shape) for name, value in {**self._given, **self._made}.items()}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()}
        texts["axes"] = json.dumps(axes)
        helper.set_model_props(proto, {f"{METADATA}{name}": text for name, text in texts.items()})
        onnx_package("onnx.checker").check_model(proto, full_check=True)
        return proto


def _is_operand(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def _axes(name: str, shape: Shape) -> list[str]:
    """What the axes of an input or output are."""
    last = {"x": "inputs", "outputs": "outputs"}.get(name, "units")
    return [last if isinstance(size, int) else str(size) for size in shape]
