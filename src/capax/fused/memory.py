"""Pass 4, allocate: where every value of a schedule lies.

What has no samples lives for the whole call. What has samples lives for one tile, and buffers whose
lives within a tile do not meet share memory. Sums over samples have accumulators, one number a lane
of a vector; how many lanes there are is the C++ compiler's to say.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from capax.fused.groups import Copy, Gather, Give, Multiply, Pad, Pass, Put, Schedule, See, Step, SumRows
from capax.fused.labels import Labels, product_axes
from capax.fused.operations import JOINING, is_view
from capax.fused.places import Destination, Part, Pointer
from capax.fused.program import Constant, Equation, Operand, Traced
from capax.fused.views import View, padded, size

WIDE = 32
"""Columns of an outer product from which its second operand is transposed."""


@dataclasses.dataclass(frozen=True)
class RowTotal:
    """The accumulator of a sum over samples: `width` numbers for each lane, and their strides over
    the axes of what is summed."""

    name: str
    width: int
    strides: tuple[int, ...]

    @property
    def floats(self) -> str:
        return f"{self.width} * LANES"


@dataclasses.dataclass(frozen=True)
class OuterTotal:
    """The accumulator of a sum of outer products: rows x columns, by lanes, or, if wide, padded to
    whole vectors."""

    name: str
    rows: int
    columns: int

    @property
    def wide(self) -> bool:
        return self.columns >= WIDE

    @property
    def floats(self) -> str:
        if self.wide:
            return f"{self.rows} * (({self.columns} + LANES - 1) / LANES * LANES)"
        return f"{self.rows * self.columns} * LANES"


Total = RowTotal | OuterTotal


@dataclasses.dataclass(frozen=True)
class Memory:
    """Where everything lies: a view for each value that is ever read from memory.

    `copies`: for reshapes that need it, the copy that they are a view of. `totals`: accumulators,
    by what they become. `places`: each buffer's offset in the scratch memory, in floats; `floats`:
    how many these are in all.
    """

    views: Mapping[Operand, View]
    copies: Mapping[Equation, View]
    totals: Mapping[Operand, Total]
    places: Mapping[str, int]
    floats: int


def allocate(
    traced: Traced,
    labels: Labels,
    schedule: Schedule,
    destined: Mapping[Operand, Destination],
    pointers: Mapping[Operand, str],
) -> Memory:
    """Give every value its memory. `pointers`: inputs that lie where a pointer points."""
    allocator = _Allocator(traced, labels, destined)
    inputs = allocator.given(pointers)
    for equation in schedule.before:
        allocator.plain(equation)
    for step in schedule.loop:
        allocator.step(step)
    for equation in schedule.after:
        allocator.plain(equation)
    lives = lifetimes([_touched(step, allocator) for step in schedule.loop], inputs)
    places, floats = share(allocator.whole_call, allocator.one_tile, lives)
    return Memory(allocator.views, allocator.copies, allocator.totals, places, floats)


class _Allocator:
    """Walks through a schedule and gives views. Buffers by name, with their sizes: `whole_call`
    those that live for the whole call, `one_tile` those that live for one tile."""

    def __init__(self, traced: Traced, labels: Labels, destined: Mapping[Operand, Destination]):
        self._traced, self._labels, self._destined = traced, labels, destined
        self.views: dict[Operand, View] = {}
        self.copies: dict[Equation, View] = {}
        self.totals: dict[Operand, Total] = {}
        self.whole_call: dict[str, int] = {}
        self.one_tile: dict[str, int] = {}
        self._names = 0

    def name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def buffer(self, shape: tuple[int, ...], samples: int | None, kind: str) -> View:
        name = self.name("b")
        (self.whole_call if samples is None else self.one_tile)[name] = size(shape)
        return View.whole(name, shape, samples, kind)

    def own(self, value: Operand) -> View:
        """A buffer of a value's own."""
        return self.buffer(value.shape, self._labels.axis(value), value.kind)

    def given(self, pointers: Mapping[Operand, str]) -> set[str]:
        """Views of inputs and constants, and of what is put together of parts. Returns the buffers
        of inputs that are read tile by tile."""
        for value in self._traced.given:
            axis = self._labels.axis(value)
            pointed = value in pointers
            self.views[value] = View.whole(pointers[value], value.shape, axis, "float") if pointed else self.own(value)
        inputs = set(self.one_tile)
        for equation in self._traced.equations:
            if equation.name in JOINING and self._labels.has_samples(equation.output):
                self.views[equation.output] = self.target(equation.output)
        return inputs

    def target(self, value: Operand) -> View:
        """Where a value with samples is written."""
        match self._destined.get(value):
            case Pointer(name):
                return View.whole(name, value.shape, self._labels.axis(value), value.kind)
            case Part(equation, number):
                return parts(equation, self.views[equation.output])[number]
            case None:
                return self.own(value)

    def read(self, operand: Operand) -> View:
        """The view of what is read; a number written in the program is given a buffer."""
        if isinstance(operand, Constant) and operand not in self.views:
            self.views[operand] = self.own(operand)
        return self.views[operand]

    def plain(self, equation: Equation) -> None:
        """An equation without samples."""
        if is_view(equation):
            self._see(equation)
        else:
            self.views[equation.output] = self.own(equation.output)
            if equation.name in ("reduce_sum", "dot_general"):
                for operand in equation.inputs:
                    self.read(operand)

    def step(self, step: Step) -> None:
        match step:
            case Pass(_, _, stored, sums):
                self.views |= {value: self.target(value) for value in stored}
                for equation in sums:
                    self.totals[equation.output] = self._row_total(equation)
                    self.views[equation.output] = self.own(equation.output)
            case See(equation):
                self._see(equation)
            case Copy(source, to):
                self.views[to] = self.buffer(to.shape, self._labels.axis(source), to.kind)
            case Multiply():
                self._product(step)
            case Gather(result, ((_, a, b), *_) as members):
                rows = size(tuple(a.shape[axis] for axis in product_axes(members[0][0])[0][1]))
                columns = size(tuple(b.shape[axis] for axis in product_axes(members[0][0])[1][1]))
                self.views[result] = self.own(result)
                self.totals[result] = OuterTotal(self.name("z"), rows, columns)
            case Put() | Give():  # what is put together has its memory; a pointer needs none
                pass
            case Pad(equation) | SumRows(equation):
                self.views[equation.output] = self.target(equation.output)

    def _row_total(self, equation: Equation) -> RowTotal:
        source, axes = equation.inputs[0], equation.params["axes"]
        strides, width = [0] * len(source.shape), 1
        for axis in reversed(range(len(source.shape))):
            if axis not in axes:
                strides[axis] = width
                width *= source.shape[axis]
        return RowTotal(self.name("z"), width, tuple(strides))

    def _product(self, step: Multiply) -> None:
        """Rows first, then the other axes, the samples innermost, whatever order JAX asks for."""
        sides = product_axes(step.equation)
        swapped = self._labels.has_samples(sides[0][0])
        (w, w_free, _), (x, x_free, _) = reversed(sides) if swapped else sides
        count, others = len(w_free), len(x_free)
        axis = self._labels.axis(x)
        assert axis is not None
        shape = tuple([w.shape[i] for i in w_free] + [x.shape[i] for i in x_free])
        lies = self.buffer(shape, count + x_free.index(axis), step.result.kind)
        order = (*range(count, count + others), *range(count)) if swapped else tuple(range(count + others))
        self.views[step.equation.output] = self.views[step.result] = lies.transposed(order)

    def _see(self, equation: Equation) -> None:
        source = self.read(equation.inputs[0])
        made = seen(equation, source, self._labels)
        if made is None:
            copy = self.buffer(source.shape, source.samples, source.kind)
            self.copies[equation] = copy
            made = seen(equation, copy, self._labels)
            assert made is not None
        self.views |= dict(zip(equation.outputs, made, strict=True))


def seen(equation: Equation, source: View, labels: Labels) -> list[View] | None:
    """The results of an operation that changes nothing in memory; None where it needs a copy."""
    name, params, out = equation.name, equation.params, equation.output
    if name == "broadcast_in_dim":
        axes = tuple(map(int, params["broadcast_dimensions"]))
        return [source.broadcast(out.shape, axes, labels.axis(out))]
    if name in ("reshape", "squeeze", "expand_dims"):
        view = source.reshaped(out.shape, labels.axis(out))
        return None if view is None else [view]
    if name == "transpose":
        return [source.transposed(tuple(map(int, params["permutation"])))]
    if name == "slice":
        steps = params["strides"] or (1,) * len(out.shape)
        for axis, (start, step) in enumerate(zip(params["start_indices"], steps, strict=True)):
            source = source.sliced(axis, start, out.shape[axis], step)
        return [source]
    if name == "split":
        sizes = [int(length) for length in params["sizes"]]
        return [source.sliced(params["axis"], sum(sizes[:i]), length) for i, length in enumerate(sizes)]
    if name == "unstack":
        axis = params["axis"]
        return [source.sliced(axis, i, 1).without(axis) for i in range(source.shape[axis])]
    return [source]  # a conversion to the kind that it has


def parts(equation: Equation, whole: View) -> list[View]:
    """Where the operands of an array that is put together lie in it."""
    if equation.name == "stack":
        axis = equation.params["axis"]
        return [whole.sliced(axis, i, 1).without(axis) for i in range(len(equation.inputs))]
    axis, start, found = equation.params["dimension"], 0, []
    for operand in equation.inputs:
        found.append(whole.sliced(axis, start, operand.shape[axis]))
        start += operand.shape[axis]
    return found


# -- lives, and who shares memory with whom


def _touched(step: Step, allocator: _Allocator) -> set[str]:
    """The buffers that a step reads or writes."""
    views = allocator.views

    def bases(values: Iterable[Operand]) -> set[str]:
        return {views[value].base for value in values if value in views}

    match step:
        case Pass(_, equations, stored, sums):
            own = {equation.output for equation in equations}
            read = {operand for equation in (*equations, *sums) for operand in equation.inputs} - own
            return bases(read) | bases(stored)
        case See(equation):
            if equation not in allocator.copies:
                return set()
            return {*bases(equation.inputs), allocator.copies[equation].base}
        case Copy(source, to):
            return bases([source, to])
        case Multiply(_, values, begin, result):
            return bases([values, result, *([] if begin is None else [begin])])
        case Gather(_, members):
            return bases(operand for _, *read in members for operand in read)
        case Put(part):
            return bases([part.equation.inputs[part.number], part.equation.output])
        case Pad(equation):
            return bases([equation.inputs[0], equation.output])
        case SumRows(equation):
            return bases([*equation.inputs, equation.output])
        case Give(value, _):
            return bases([value])


def lifetimes(touched: list[set[str]], inputs: set[str]) -> dict[str, tuple[int, int]]:
    """The first and last step that touch each buffer; `inputs` live from before the first."""
    lives: dict[str, tuple[int, int]] = {name: (-1, -1) for name in inputs}
    for number, names in enumerate(touched):
        for name in names:
            lives[name] = (lives.get(name, (number, number))[0], number)
    return lives


def share(
    whole_call: Mapping[str, int], one_tile: Mapping[str, int], lives: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, int], int]:
    """Offsets of all buffers, in floats, and how many floats they take in all.

    Buffers of one size, whose lives within a tile do not meet, share a place.
    """
    places: dict[str, int] = {}
    total = 0
    for name, length in whole_call.items():
        places[name], total = total, total + padded(length)
    free: dict[int, list[int]] = {}
    ends: dict[int, list[str]] = {}
    for name in sorted((name for name in one_tile if name in lives), key=lambda name: lives[name][0]):
        first, last = lives[name]
        for end in [end for end in ends if end < first]:
            for ended in ends.pop(end):
                free.setdefault(one_tile[ended], []).append(places[ended])
        spare = free.get(one_tile[name], [])
        if spare:
            places[name] = spare.pop()
        else:
            places[name], total = total, total + padded(one_tile[name])
        ends.setdefault(last, []).append(name)
    return places, total
