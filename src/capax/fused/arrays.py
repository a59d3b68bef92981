"""Where a traced value lies in memory: a buffer seen through an offset and strides, so that reshaping costs nothing."""

import dataclasses
import math

COLUMNS_TRACED = 7919
"""Stands for the samples of a block in traced shapes: a number that no other axis has."""


BLOCKS = (48, 32, 64, 16)
"""Samples in a block: the first that divides their number."""


class Unsupported(Exception):
    """A traced program that cannot be fused: the compiled one serves instead."""


def block(samples: set[int]) -> int:
    """Samples in a block of arrays that have so many; raises `Unsupported` where they differ or cannot be divided."""
    if len(samples) == 1:
        for columns in BLOCKS:
            if next(iter(samples)) % columns == 0:
                return columns
    raise Unsupported(f"{sorted(samples)} samples")


@dataclasses.dataclass(frozen=True)
class View:
    """Elements of a buffer: element [i, j, ..] lies at `base[offset + i strides[0] + j strides[1] + ..]`.

    `shape` has COLUMNS_TRACED for the samples' axis, whose stride is 1, or 0 where one value serves all samples;
    `columns` is how many samples a block has.
    """

    base: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str  # "float" or "int32_t"

    @property
    def column_axis(self) -> int | None:
        return self.shape.index(COLUMNS_TRACED) if COLUMNS_TRACED in self.shape else None

    def transposed(self, order: tuple[int, ...]) -> "View":
        return dataclasses.replace(
            self, shape=tuple(self.shape[i] for i in order), strides=tuple(self.strides[i] for i in order)
        )

    def sliced(self, axis: int, start: int, size: int, step: int = 1) -> "View":
        if self.shape[axis] == COLUMNS_TRACED and (start, size, step) != (0, COLUMNS_TRACED, 1):
            raise Unsupported("a slice of the samples")
        shape, strides = list(self.shape), list(self.strides)
        shape[axis], strides[axis] = size, strides[axis] * step
        return dataclasses.replace(
            self, offset=self.offset + start * self.strides[axis], shape=tuple(shape), strides=tuple(strides)
        )

    def without(self, axis: int) -> "View":
        """An axis of size 1 left out."""
        keep = [i for i in range(len(self.shape)) if i != axis]
        return dataclasses.replace(
            self, shape=tuple(self.shape[i] for i in keep), strides=tuple(self.strides[i] for i in keep)
        )

    def broadcast(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> "View":
        strides = [0] * len(shape)
        for own, new in enumerate(axes):
            if self.shape[own] == shape[new]:
                strides[new] = self.strides[own]
        return dataclasses.replace(self, shape=shape, strides=tuple(strides))

    def reshaped(self, shape: tuple[int, ...], columns: int) -> "View | None":
        """The same elements in another shape, None where that needs a copy."""
        own = [(size, stride) for size, stride in zip(self.shape, self.strides, strict=True) if size != 1]
        if [size for size, _ in own] == [size for size in shape if size != 1]:
            rest = iter(own)
            strides = tuple(next(rest)[1] if size != 1 else 0 for size in shape)
            return dataclasses.replace(self, shape=shape, strides=strides)
        if math.prod(self.shape) != math.prod(shape) or (self.column_axis is not None and shape[-1] != COLUMNS_TRACED):
            raise Unsupported(f"a reshape of {self.shape} to {shape}")
        if self.strides == dense(self.shape, columns):
            return dataclasses.replace(self, shape=shape, strides=dense(shape, columns))
        return None

    def at(self, index: list[str]) -> str:
        """The address of an element, as a C++ expression."""
        axes = zip(index, self.strides, self.shape, strict=True)
        terms = [f"{name} * {stride}" for name, stride, length in axes if stride and length != 1]
        return " + ".join([self.base, *([str(self.offset)] if self.offset else []), *terms])


def dense(shape: tuple[int, ...], columns: int) -> tuple[int, ...]:
    """Strides of a buffer of its own: the samples innermost, the other axes in order."""
    strides, width = [0] * len(shape), 1
    if COLUMNS_TRACED in shape:
        strides[shape.index(COLUMNS_TRACED)] = 1
        width = columns
    for axis in reversed(range(len(shape))):
        if shape[axis] != COLUMNS_TRACED:
            strides[axis] = width
            width *= shape[axis]
    return tuple(strides)


def size(shape: tuple[int, ...], columns: int) -> int:
    """Elements of a buffer of this shape."""
    return math.prod(columns if n == COLUMNS_TRACED else n for n in shape)
