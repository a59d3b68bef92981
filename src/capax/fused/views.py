"""Where an array lies in memory: a buffer, an offset, and strides, so that reshaping is free."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class View:
    """Part of a buffer: element [i, j, ..] is `base[offset + i strides[0] + j strides[1] + ..]`.

    `samples`: the samples' axis, as long as a tile; its stride is 1, or 0 where one number serves
    all samples. None without samples.
    """

    base: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    samples: int | None
    kind: str  # "float" or "int32_t"

    @staticmethod
    def whole(base: str, shape: tuple[int, ...], samples: int | None, kind: str) -> "View":
        """A whole buffer; logical values lie as int32_t."""
        kind = "float" if kind == "float" else "int32_t"
        return View(base, 0, shape, dense(shape, samples), samples, kind)

    def transposed(self, order: tuple[int, ...]) -> "View":
        """The axes in another order."""
        return dataclasses.replace(
            self,
            shape=tuple(self.shape[i] for i in order),
            strides=tuple(self.strides[i] for i in order),
            samples=None if self.samples is None else order.index(self.samples),
        )

    def sliced(self, axis: int, start: int, size: int, step: int = 1) -> "View":
        """Elements start, start + step, .. of an axis."""
        shape, strides = list(self.shape), list(self.strides)
        shape[axis], strides[axis] = size, strides[axis] * step
        return dataclasses.replace(
            self, offset=self.offset + start * self.strides[axis], shape=tuple(shape), strides=tuple(strides)
        )

    def without(self, axis: int) -> "View":
        """An axis of size 1 left out."""
        return self.transposed(tuple(i for i in range(len(self.shape)) if i != axis))

    def broadcast(self, shape: tuple[int, ...], axes: tuple[int, ...], samples: int | None) -> "View":
        """Repeated along new axes: own axis i becomes axes[i] of `shape`."""
        strides = [0] * len(shape)
        for own, new in enumerate(axes):
            if self.shape[own] == shape[new]:
                strides[new] = self.strides[own]
        return dataclasses.replace(self, shape=shape, strides=tuple(strides), samples=samples)

    def reshaped(self, shape: tuple[int, ...], samples: int | None) -> "View | None":
        """The same elements in another shape, None where that needs a copy."""
        own = [(size, stride) for size, stride in zip(self.shape, self.strides, strict=True) if size != 1]
        if [size for size, _ in own] == [size for size in shape if size != 1]:
            rest = iter(own)
            strides = tuple(next(rest)[1] if size != 1 else 0 for size in shape)
        elif self.strides == dense(self.shape, self.samples):
            strides = dense(shape, samples)
        else:
            return None
        return dataclasses.replace(self, shape=shape, strides=strides, samples=samples)

    def at(self, index: list[str]) -> str:
        """The address of an element, as a C++ expression."""
        axes = zip(index, self.strides, self.shape, strict=True)
        terms = [f"{name} * {stride}" for name, stride, length in axes if stride and length != 1]
        return " + ".join([self.base, *([str(self.offset)] if self.offset else []), *terms])

    @property
    def is_spread(self) -> bool:
        """Whether one number serves all samples."""
        return self.samples is None or self.strides[self.samples] == 0


def dense(shape: tuple[int, ...], samples: int | None) -> tuple[int, ...]:
    """Strides of a buffer of its own: the samples innermost, the other axes in order."""
    strides = [0] * len(shape)
    width = 1
    if samples is not None:
        strides[samples], width = 1, shape[samples]
    for axis in reversed(range(len(shape))):
        if axis != samples:
            strides[axis] = width
            width *= shape[axis]
    return tuple(strides)


def padded(length: int) -> int:
    """Floats that a buffer takes, so that the next one begins at a whole vector of any machine."""
    return -(-length // 16) * 16


def size(shape: tuple[int, ...]) -> int:
    """Elements of an array of this shape."""
    return math.prod(shape)
