"""An ONNX graph in the making: nodes, constants, and the sizes that are known only when it runs.

An operand of an operation is a `Value`, which a node computes; an array, which is known now; or a
`Spread`, which is repeated along axes only where somebody needs it so. Their shapes are of numbers
and of JAX's symbolic dimensions: `time`, `batch`, and `source`, the steps of an encoder.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.export import symbolic_shape

from capax.errors import CapaxError
from capax.interop.onnx.package import onnx_package

Shape = tuple[Any, ...]
"""Of whole numbers and of symbolic dimensions."""

TO_THE_END = np.iinfo(np.int64).max
"""ONNX's `Slice` takes it for the end of an axis, however long that is."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """What a node computes, or the graph is given, by its name in the file."""

    name: str
    shape: Shape
    dtype: np.dtype


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """`slim` repeated along its axes of size 1 until it has this shape; both have equally many
    axes.
    """

    slim: Any
    shape: Shape

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.slim.dtype)


Operand = Value | Spread | np.ndarray | jax.Array


def is_known(operand: Any) -> bool:
    """Whether an operand is an array: known now, not when the file is run."""
    return isinstance(operand, np.ndarray | jax.Array)


def is_number(size: Any) -> bool:
    """Whether a size is a whole number; else it is symbolic."""
    return isinstance(size, int | np.integer)


class Graph:
    """The nodes of a graph, in the order in which they run. `Graph()` is a file's whole graph;
    `inner` makes that of a loop's body or a branch, which may read all that stands outside.
    """

    def __init__(self, outer: "Graph | None" = None):
        self.nodes: list[Any] = []
        self.root: Graph = self if outer is None else outer.root
        self._expanded: dict[tuple[str, str], str] = {}
        self._transposed: dict[str, tuple[Value, tuple[int, ...]]] = {} if outer is None else outer._transposed
        if outer is None:
            self.time, self.batch, self.source = symbolic_shape("time, batch, source")
            self.initialisers: list[Any] = []
            self._sizes: dict[str, str] = {}
            self._vectors: dict[str, str] = {}
            self._known: dict[tuple[str, Shape, bytes], str] = {}
            self._number = 0

    def inner(self) -> "Graph":
        """An empty graph inside this one."""
        return Graph(self)

    def fresh(self, stem: str) -> str:
        """A name that nothing in the file has."""
        self.root._number += 1
        return f"{stem}_{self.root._number}"

    def size_is(self, dimension: Any, value: Value, axis: int) -> None:
        """Say that a symbolic dimension is the size of this axis of this input."""
        found = self.add("Shape", [value], (1,), np.int64, start=axis, end=axis + 1)
        self.root._sizes[str(dimension)] = found.name

    def add(self, operator: str, operands: Sequence[Any], shape: Shape, dtype: Any, **attributes: Any) -> Value:
        """A node with one output. An operand None is an optional input that is not given; other
        arguments as those of `add_several`.
        """
        return self.add_several(operator, operands, [(shape, dtype)], **attributes)[0]

    def add_several(
        self, operator: str, operands: Sequence[Any], outputs: Sequence[tuple[Shape, Any]], **attributes: Any
    ) -> list[Value]:
        """A node. **Arguments:** ONNX's name of the operator, what it reads, shape and type of what
        it makes, and its attributes.
        """
        made = [Value(self.fresh(operator.lower()), tuple(shape), np.dtype(dtype)) for shape, dtype in outputs]
        names = ["" if operand is None else self.name(operand) for operand in operands]
        self.nodes.append(
            onnx_package("onnx.helper").make_node(operator, names, [value.name for value in made], **attributes)
        )
        return made

    def name(self, operand: Operand | str) -> str:
        """The name of an operand in the file; what is known becomes a constant, what is spread is
        spread.
        """
        if isinstance(operand, str):
            return operand
        if isinstance(operand, Value):
            return operand.name
        if isinstance(operand, Spread):
            where = self.root if is_known(operand.slim) else self
            return where._spread(operand)
        return self.constant(operand)

    def _spread(self, operand: Spread) -> str:
        key = (self.name(operand.slim), str(operand.shape))
        if key not in self._expanded:
            wide = self.add("Expand", [operand.slim, self.sizes(operand.shape)], operand.shape, operand.dtype)
            self._expanded[key] = wide.name
        return self._expanded[key]

    def constant(self, array: Any, stem: str = "constant") -> str:
        """The name of an array in the file; equal arrays are one."""
        found = np.ascontiguousarray(np.asarray(array)).reshape(np.shape(array))
        key = (str(found.dtype), found.shape, found.tobytes())
        if key not in self.root._known:
            name = self.fresh(stem)
            self.root.initialisers.append(onnx_package("onnx.numpy_helper").from_array(found, name))
            self.root._known[key] = name
        return self.root._known[key]

    def sizes(self, shape: Shape) -> str:
        """The name of a vector that holds a shape when the file is run.

        Raises `CapaxError` for a size that is computed of symbolic ones.
        """
        if all(is_number(size) for size in shape):
            return self.constant(np.asarray(shape, np.int64))
        root = self.root
        if str(shape) not in root._vectors:
            parts = [self.constant(np.asarray([size])) if is_number(size) else self._size(size) for size in shape]
            root._vectors[str(shape)] = (
                parts[0] if len(parts) == 1 else root.add("Concat", parts, (len(shape),), np.int64, axis=0).name
            )
        return root._vectors[str(shape)]

    def _size(self, size: Any) -> str:
        found = self.root._sizes.get(str(size))
        if found is None:
            raise CapaxError(f"capax cannot write an array to ONNX one of whose sizes is {size}.")
        return found

    def fitted(self, operands: Sequence[Any], shape: Shape) -> list[Any]:
        """Operands for an operator that repeats them itself: what is spread stays slim, as long as
        the result has this shape.
        """
        slim = [operand.slim if isinstance(operand, Spread) else operand for operand in operands]
        for place, operand in enumerate(operands):
            if _broadcast([part.shape for part in slim]) == tuple(shape):
                break
            slim[place] = operand
        return slim

    def transposed(self, operand: Operand, axes: Sequence[int]) -> Operand:
        """An operand with its axes in this order; two such changes in a row are one."""
        order = tuple(axes)
        if is_known(operand):
            return np.transpose(np.asarray(operand), order)
        value = Value(self.name(operand), operand.shape, np.dtype(operand.dtype))
        if value.name in self._transposed:
            value, before = self._transposed[value.name]
            order = tuple(before[axis] for axis in order)
        if order == tuple(range(len(order))):
            return value
        made = self.add("Transpose", [value], tuple(value.shape[axis] for axis in order), value.dtype, perm=order)
        self._transposed[made.name] = (value, order)
        return made

    def reshaped(self, operand: Operand, shape: Shape) -> Operand:
        """An operand in another shape with as many numbers."""
        if tuple(operand.shape) == tuple(shape):
            return operand
        if is_known(operand):
            return np.reshape(np.asarray(operand), shape)
        unknown = [place for place, size in enumerate(shape) if not is_number(size)]
        if len(unknown) == 1 and 0 not in shape:
            target = self.constant(np.asarray([-1 if place in unknown else size for place, size in enumerate(shape)]))
        else:
            target = self.sizes(shape)
        return self.add("Reshape", [operand, target], shape, operand.dtype)

    def cast(self, operand: Operand, dtype: Any) -> Operand:
        """An operand as numbers of another type."""
        if np.dtype(operand.dtype) == np.dtype(dtype):
            return operand
        return self.add("Cast", [operand], operand.shape, dtype, to=element_type(dtype))

    def declared(self, value: Value, meaning: str = "") -> Any:
        """A value as an input or output of a graph, with its type and sizes."""
        sizes = [int(size) if is_number(size) else str(size) for size in value.shape]
        return onnx_package("onnx.helper").make_tensor_value_info(
            value.name, element_type(value.dtype), sizes, doc_string=meaning
        )

    def body(self, name: str, inputs: Sequence[Value], outputs: Sequence[Operand]) -> Any:
        """This graph, finished, as the body of a loop or a branch: every output has a name of its
        own that is made here.
        """
        made = [self.add("Identity", [operand], operand.shape, operand.dtype) for operand in outputs]
        return onnx_package("onnx.helper").make_graph(
            self.nodes, name, [self.declared(each) for each in inputs], [self.declared(each) for each in made]
        )

    def prune(self, outputs: Sequence[str]) -> None:
        """Take out the nodes and constants that none of these outputs needs."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(_read(node))
        self.nodes = kept[::-1]
        self.initialisers = [each for each in self.initialisers if each.name in needed]


def _read(node: Any) -> Iterator[str]:
    """The names that a node reads, those inside its own graphs too."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (output.name for output in attribute.g.output)
            for inner in attribute.g.node:
                yield from _read(inner)


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape of what comes of arrays of these shapes, element by element."""
    rank = max(len(shape) for shape in shapes)
    wide = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(
        next((size for size in sizes if not (is_number(size) and size == 1)), 1) for sizes in zip(*wide, strict=True)
    )


def element_type(dtype: Any) -> int:
    """ONNX's number for a type of numbers."""
    return onnx_package("onnx.helper").np_dtype_to_tensor_dtype(np.dtype(dtype))
