"""A network as an ONNX graph: input map, layers, norms, readout, each by what the network itself
computes.

Between layers arrays are (time, features, batch), as everywhere in capax.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capax.cells.cell import Cell, Layer, LinearCell, State, pausing, real_steps
from capax.cells.sequence import OneHot
from capax.interop.onnx_graph import Graph, Operand, Spread
from capax.interop.onnx_native import native, node
from capax.interop.onnx_tracing import write
from capax.networks import ways
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network


class Written:
    """A network in a graph.

    **Arguments:** `x`, (time, inputs, batch), or symbols (time, batch); `lengths`, (batch,), 32-bit
    whole numbers, or None; `states`, those before the first step, one a layer, or None for the
    learned ones.

    `outputs`, (outputs, time, batch), 0 behind a length; `states`, those after the last real step,
    of a network with steps.
    """

    def __init__(self, graph: Graph, network: Network | Bidirectional, x: Any, lengths: Any, states: Any = None):
        self.graph, self.lengths = graph, lengths
        symbols = np.issubdtype(x.dtype, np.integer)
        if lengths is not None:
            x = self.write("the lengths", _symbols_cleared if symbols else _cleared, x, lengths)
        inputs = network.inputs
        dense = self._one_hot(x, inputs) if symbols and (network.entry is None or network.direct is not None) else x
        entered = self._embedded(network.entry, x) if symbols and network.entry is not None else dense
        if network.entry is not None and not symbols:
            entered = self.write("the input map", jax.vmap(network.entry), dense)
        if isinstance(network, Network):
            outputs, self.states = self._stack(network, entered, states)
            outputs = self.write(
                "the readout", network.read_all, outputs, dense if network.direct is not None else None
            )
        else:
            outputs, self.states = self._pairs(network, entered), ()
            outputs = self.write("the readout", _reading(network), outputs)
        if lengths is not None:
            outputs = self.write("the lengths", _zero_behind, outputs, lengths)
        self.outputs: Operand = outputs

    def write(self, what: str, function: Callable[..., Any], *operands: Any) -> Any:
        """What a function makes of operands."""
        return write(self.graph, what, function, *operands)

    def _one_hot(self, symbols: Any, size: int) -> Operand:
        """Symbols as vectors with one 1, (time, size, batch)."""
        values, depth = np.asarray([0, 1], np.float32), np.asarray(size)
        shape = (symbols.shape[0], size, symbols.shape[1])
        places = self.graph.cast(symbols, np.int64)  # onnxruntime has it for these alone
        return self.graph.add("OneHot", [places, depth, values], shape, np.float32, axis=1)

    def _embedded(self, entry: Any, symbols: Any) -> Operand:
        """What the input map makes of symbols: rows of a table."""
        size = entry.weight.shape[1]
        table = np.asarray(OneHot(jnp.zeros((1, 1), jnp.int32), size).table(entry)).T
        found = self.graph.add("Gather", [table, symbols], (*symbols.shape, table.shape[1]), np.float32, axis=0)
        return self.graph.transposed(found, (0, 2, 1))

    def _stack(self, network: Network, x: Any, states: Any) -> tuple[Any, Any]:
        def run(layer: Layer, state: Any, x: Any) -> tuple[Any, Any]:
            found = native(layer)
            if found is None or not isinstance(layer, Cell):
                function = lambda x, state, lengths: _over_time(layer, x, state, lengths)  # noqa: E731
                return self.write(_name(layer), function, x, state, self.lengths)
            outputs, (after,) = node(
                self.graph, found, [layer], x, [self._first(layer) if state is None else state], self.lengths
            )
            return outputs, after

        before = (None,) * len(network.layers) if states is None else states
        return ways.through(network.layers, before, x, run, between=self._between(network))

    def _pairs(self, network: Bidirectional, x: Any) -> Any:
        def both(pair: tuple[Cell, Cell], state: None, x: Any) -> tuple[Any, None]:
            found = native(pair[0])
            if found is not None:
                outputs, _ = node(self.graph, found, pair, x, [self._first(cell) for cell in pair], self.lengths)
                return outputs, state

            def function(x: Any, lengths: Any) -> Any:
                sides = [_over_time(cell, x, None, lengths, backwards=bool(side)) for side, cell in enumerate(pair)]
                return jnp.concatenate([outputs for outputs, _ in sides], axis=1)

            return self.write(_name(pair[0]), function, x, self.lengths), state

        pairs = tuple(zip(network.forwards, network.backwards, strict=True))
        return ways.through(pairs, (None,) * len(pairs), x, both, between=self._between(network))[0]

    def _first(self, cell: Cell) -> State:
        """The learned state before the first step, once for each sequence."""
        return jax.tree.map(lambda leaf: Spread(leaf[:, None], (leaf.shape[0], self.graph.batch)), cell.initial)

    def _between(self, network: Network | Bidirectional) -> Callable[[int, Any], Any]:
        def handed(number: int, outputs: Any) -> Any:
            if number >= len(network.norms):
                return outputs
            return self.write("the layer norm", jax.vmap(network.norms[number]), outputs)

        return handed


def _name(layer: Layer) -> str:
    return f"the cell {type(layer).__name__}"


def _over_time(layer: Layer, x: Any, state: Any, lengths: Any, backwards: bool = False) -> tuple[Any, Any]:
    """A layer's outputs and the states after, from the first step to the last, or backwards, which
    begins at the last real step: until there the state stays as it is.
    """
    if not isinstance(layer, Cell):
        return layer(x, layer.first_state(x.shape[2]), lengths)
    state = layer.first_state(x.shape[2]) if state is None else state
    projected = jax.vmap(layer.project)(x)

    def step(state: Any, projected: Any) -> tuple[Any, Any]:
        if not isinstance(layer, LinearCell):
            return layer.step(state, projected)
        state = layer.advance(state, projected)
        return state, state

    if lengths is None:
        after, outputs = jax.lax.scan(step, state, projected, reverse=backwards)
    else:
        real = real_steps(lengths, x.shape[0])[:, None]
        after, outputs = jax.lax.scan(pausing(step), state, (projected, real), reverse=backwards)
    if isinstance(layer, LinearCell):  # what it emits is no part of the loop
        outputs = jax.vmap(layer.emit)(outputs, projected)
    return outputs, after


def _reading(network: Bidirectional) -> Callable[[Any], Any]:
    def read(top: Any) -> Any:
        moved = jnp.moveaxis(top, 0, 1)
        return network.readout(moved if network.norm is None else network.norm(moved))

    return read


def _cleared(x: Any, lengths: Any) -> Any:
    return jnp.where(real_steps(lengths, x.shape[0])[:, None], x, 0.0)


def _symbols_cleared(symbols: Any, lengths: Any) -> Any:
    return jnp.where(real_steps(lengths, symbols.shape[0]), symbols, 0)


def _zero_behind(outputs: Any, lengths: Any) -> Any:
    return jnp.where(real_steps(lengths, outputs.shape[1]), outputs, 0.0)
