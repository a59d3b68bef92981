"""Parts of networks in an ONNX graph: input map, layers, norms, each by what the network itself
computes.

Between layers arrays are (time, features, batch), as everywhere in capax.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capax.cells.cell import Cell, Layer, LinearCell, pausing, real_steps
from capax.interop.onnx.graph import Graph, Operand, Spread
from capax.interop.onnx.native import native, node
from capax.interop.onnx.tracing import write
from capax.networks import ways
from capax.networks.parts import Linear, Norm


class Writer:
    """Writes parts of a network into a graph.

    **Arguments:** `lengths`, of the sequences that the layers read, (batch,), 32-bit whole numbers,
    or None.
    """

    def __init__(self, graph: Graph, lengths: Any = None):
        self.graph, self.lengths = graph, lengths

    def write(self, what: str, function: Callable[..., Any], *operands: Any) -> Any:
        """What a function makes of operands."""
        return write(self.graph, what, function, *operands)

    def cleared(self, x: Any) -> Operand:
        """Numbers (time, inputs, batch), or symbols (time, batch), without what is behind the
        lengths.
        """
        if self.lengths is None:
            return x
        return self.write("the lengths", _symbols_cleared if _are_symbols(x) else _cleared, x, self.lengths)

    def zero_behind(self, outputs: Any) -> Operand:
        """Outputs (outputs, time, batch), 0 behind the lengths."""
        return outputs if self.lengths is None else self.write("the lengths", _zero_behind, outputs, self.lengths)

    def dense(self, x: Any, size: int) -> Operand:
        """Numbers as they are, symbols as vectors with one 1, (time, size, batch)."""
        if not _are_symbols(x):
            return x
        values, depth = np.asarray([0, 1], np.float32), np.asarray(size)
        places = self.graph.cast(x, np.int64)  # onnxruntime has it for these alone
        return self.graph.add("OneHot", [places, depth, values], (x.shape[0], size, x.shape[1]), np.float32, axis=1)

    def entered(self, entry: Linear | None, x: Any, size: int) -> Operand:
        """What the lowest layer reads of numbers or symbols: of symbols rows of a table, where
        there is an input map.
        """
        if entry is None:
            return self.dense(x, size)
        if not _are_symbols(x):
            return self.write("the input map", jax.vmap(entry), x)
        table = np.asarray(entry(jnp.eye(size))).T
        found = self.graph.add("Gather", [table, x], (*x.shape, table.shape[1]), np.float32, axis=0)
        return self.graph.transposed(found, (0, 2, 1))

    def stack(
        self, layers: Sequence[Layer], norms: Sequence[Norm], x: Any, states: Sequence[Any] | None = None
    ) -> tuple[Any, Any]:
        """Layers one upon the other: the outputs of the top one, and the states after the last real
        step.

        **Arguments:** `states`, those before the first step, of operands (units, batch); None for
        the learned ones.
        """

        # Our cells say something at the first step of a sequence of no steps, too, and attention
        # looks at it; onnxruntime says 0 there, of outputs and of the state after.
        steps = None if self.lengths is None else self.write("the lengths", lambda n: jnp.maximum(n, 1), self.lengths)

        def run(layer: Layer, state: Any, x: Any) -> tuple[Any, Any]:
            if not isinstance(layer, Cell):
                return self.write(_name(layer), lambda x, lengths: layer(x, (), lengths), x, self.lengths)
            found, state = native(layer), self._first(layer) if state is None else state
            if found is None:
                function = lambda x, state, lengths: _over_time(layer, x, state, lengths)  # noqa: E731
                return self.write(_name(layer), function, x, state, self.lengths)
            outputs, (after,) = node(self.graph, found, [layer], x, [state], steps)
            if self.lengths is not None:
                after = self.write(_name(layer), _after_some, state, after, self.lengths)
            return outputs, after

        before = (None,) * len(layers) if states is None else tuple(states)
        return ways.through(tuple(layers), before, x, run, between=self._between(norms))

    def pairs(self, pairs: Sequence[tuple[Cell, Cell]], norms: Sequence[Norm], x: Any) -> Any:
        """Pairs of cells one upon the other, the first of a pair reading forwards, the second
        backwards: the outputs of the top pair.
        """

        def both(pair: tuple[Cell, Cell], state: None, x: Any) -> tuple[Any, None]:
            found, before = native(pair[0]), [self._first(cell) for cell in pair]
            if found is not None:
                return node(self.graph, found, pair, x, before, self.lengths)[0], state

            def function(x: Any, before: Any, lengths: Any) -> Any:
                one, other = (
                    _over_time(cell, x, first, lengths, backwards=cell is pair[1])
                    for cell, first in zip(pair, before, strict=True)
                )
                return jnp.concatenate([one[0], other[0]], axis=1)

            return self.write(_name(pair[0]), function, x, before, self.lengths), state

        return ways.through(tuple(pairs), (None,) * len(pairs), x, both, between=self._between(norms))[0]

    def _first(self, cell: Cell) -> Any:
        """The learned state before the first step, once for each sequence."""
        return jax.tree.map(lambda leaf: Spread(leaf[:, None], (leaf.shape[0], self.graph.batch)), cell.initial)

    def _between(self, norms: Sequence[Norm]) -> Callable[[int, Any], Any]:
        def handed(number: int, outputs: Any) -> Any:
            if number >= len(norms):
                return outputs
            return self.write("the layer norm", jax.vmap(norms[number]), outputs)

        return handed


def _are_symbols(x: Any) -> bool:
    return np.issubdtype(x.dtype, np.integer)


def _name(layer: Layer) -> str:
    return f"the cell {type(layer).__name__}"


def _over_time(cell: Cell, x: Any, state: Any, lengths: Any, backwards: bool = False) -> tuple[Any, Any]:
    """A cell's outputs and the state after, from the first step to the last, or backwards, which
    begins at the last real step: until there the state stays as it is.
    """
    projected = jax.vmap(cell.project)(x)

    def step(state: Any, projected: Any) -> tuple[Any, Any]:
        if not isinstance(cell, LinearCell):
            return cell.step(state, projected)
        state = cell.advance(state, projected)
        return state, state

    if lengths is None:
        after, outputs = jax.lax.scan(step, state, projected, reverse=backwards)
    else:
        real = real_steps(lengths, x.shape[0])[:, None]
        after, outputs = jax.lax.scan(pausing(step), state, (projected, real), reverse=backwards)
    if isinstance(cell, LinearCell):  # what it emits is no part of the loop
        outputs = jax.vmap(cell.emit)(outputs, projected)
    return outputs, after


def _cleared(x: Any, lengths: Any) -> Any:
    return jnp.where(real_steps(lengths, x.shape[0])[:, None], x, 0.0)


def _symbols_cleared(symbols: Any, lengths: Any) -> Any:
    return jnp.where(real_steps(lengths, symbols.shape[0]), symbols, 0)


def _after_some(before: Any, after: Any, lengths: Any) -> Any:
    """The states after where there was a step, else those before."""
    return jax.tree.map(lambda old, new: jnp.where(lengths[None] > 0, new, old), before, after)


def _zero_behind(outputs: Any, lengths: Any) -> Any:
    return jnp.where(real_steps(lengths, outputs.shape[1]), outputs, 0.0)
