"""Pass 1, label axes: which axis of each value is the samples' axis.

Marks are set on the axes of inputs (and of outputs that must have samples), and carried from value
to value by a rule for each operation: a rule says which axes of what an operation reads and makes
are one and the same axis. No length is ever looked at to tell what an axis means, so a network may
have as many units as a tile has samples. An axis that an operation makes (a number broadcast to
all samples, say) belongs to the samples where it meets theirs.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from capax.fused.operations import ELEMENTWISE, JOINING, refused
from capax.fused.program import Equation, Operand, Traced, Value
from capax.fused.refusal import Refusal

Axis = tuple[Operand, int]
"""An axis of a value, by its number."""


@dataclasses.dataclass(frozen=True)
class Labels:
    """The samples' axis of each value that has one."""

    axes: Mapping[Operand, int]

    def axis(self, operand: Operand) -> int | None:
        """The number of the samples' axis; None for a value without samples."""
        return self.axes.get(operand)

    def has_samples(self, operand: Operand) -> bool:
        """Whether a value has an axis of samples."""
        return operand in self.axes

    def sums_samples(self, equation: Equation) -> bool:
        """Whether an operation sums over the samples."""
        return not self.has_samples(equation.output) and any(map(self.has_samples, equation.inputs))

    def others(self, value: Operand) -> tuple[int, ...]:
        """The lengths of a value's other axes."""
        return tuple(length for axis, length in enumerate(value.shape) if axis != self.axes.get(value))


def label(traced: Traced, marks: Mapping[Value, int]) -> Labels | Refusal:
    """Find the samples' axis of every value.

    **Arguments:** `marks`: the samples' axis of the inputs, and of the outputs, that must have one.
    All other inputs, and constants, are without samples.

    Refused are operations that kernels do not know, and those that take samples apart or mix them.
    """
    sets = _Sets()
    barred: list[tuple[Axis, str]] = []
    for value in traced.given:
        if value.kind not in ("float", "int32_t", "bool"):
            return Refusal(f"numbers of type {value.kind}")
        if value not in marks:
            barred += [((value, axis), _UNMARKED) for axis in range(len(value.shape))]
    for equation in traced.equations:
        reason = refused(equation)
        if reason is not None:
            return Refusal(reason)
        for rule in _rules(equation):
            if isinstance(rule[1], str):
                barred.append((rule[0], rule[1]))
            else:
                sets.join(rule[0], rule[1])
    marked = {sets.root(mark) for mark in marks.items()}
    for axis, reason in barred:
        if sets.root(axis) in marked:
            return Refusal(reason)
    return _collected(traced, sets, marked)


_UNMARKED = "an array that is the same for all samples has an axis that is used as theirs"


def _collected(traced: Traced, sets: "_Sets", marked: set[Axis]) -> Labels | Refusal:
    axes: dict[Operand, int] = {}
    for value in [*traced.given, *(output for equation in traced.equations for output in equation.outputs)]:
        found = [axis for axis in range(len(value.shape)) if sets.root((value, axis)) in marked]
        if len(found) > 1:
            return Refusal("an array with two axes of samples (samples that depend on each other)")
        if found:
            axes[value] = found[0]
    return Labels(axes)


class _Sets:
    """Axes that are one and the same, as sets (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[Axis, Axis] = {}

    def root(self, axis: Axis) -> Axis:
        while (parent := self._parents.get(axis, axis)) != axis:
            self._parents[axis] = self._parents.get(parent, parent)
            axis = parent
        return axis

    def join(self, one: Axis, other: Axis) -> None:
        self._parents[self.root(one)] = self.root(other)


# -- the rules: of (axis, axis), which are the same, and (axis, why), which cannot be the samples'

Rule = tuple[Axis, Axis | str]


def _rules(equation: Equation) -> Iterator[Rule]:
    name, params, out = equation.name, equation.params, equation.output
    source = equation.inputs[0] if equation.inputs else out
    if name in ELEMENTWISE:
        for operand in equation.inputs:
            for axis, length in enumerate(operand.shape):
                if length == out.shape[axis]:  # else it is 1, and repeated
                    yield (operand, axis), (out, axis)
    elif name == "broadcast_in_dim":
        for own, new in enumerate(map(int, params["broadcast_dimensions"])):
            if source.shape[own] == out.shape[new]:
                yield (source, own), (out, new)
    elif name in ("reshape", "squeeze", "expand_dims"):
        yield from _reshape(source, out)
    elif name == "transpose":
        yield from (((source, own), (out, new)) for new, own in enumerate(map(int, params["permutation"])))
    elif name == "slice":
        whole = [length == out.shape[axis] for axis, length in enumerate(source.shape)]
        yield from _kept(source, out, whole, "a slice of the samples")
    elif name in ("split", "unstack"):
        axis = int(params["axis"])
        rest = [number for number in range(len(source.shape)) if number != axis]
        yield (source, axis), "samples taken apart"
        for output in equation.outputs:
            new = rest if name == "split" else range(len(rest))
            yield from (((source, a), (output, b)) for a, b in zip(rest, new, strict=True))
    elif name in JOINING:
        yield from _join(equation)
    elif name == "pad":
        whole = [not (low or high) for low, high, _ in params["padding_config"]]
        yield from _kept(source, out, whole, "a pad of the samples")
    elif name == "reduce_sum":
        rest = [axis for axis in range(len(source.shape)) if axis not in params["axes"]]
        yield from (((source, own), (out, new)) for new, own in enumerate(rest))
    elif name == "dot_general":
        yield from _product(equation)
    elif name == "iota":
        yield (out, int(params["dimension"])), "samples that are numbered"


def _kept(source: Operand, out: Value, whole: list[bool], why: str) -> Iterator[Rule]:
    """Axes that are kept whole are the same before and after; the others cannot be the samples'."""
    for axis, kept in enumerate(whole):
        if kept:
            yield (source, axis), (out, axis)
        else:
            yield (source, axis), why
            yield (out, axis), why


def _reshape(source: Operand, out: Value) -> Iterator[Rule]:
    """An axis is the same after a reshape where it has its length and as much before it."""

    def places(value: Operand) -> dict[tuple[int, int], Axis]:
        before, found = 1, {}
        for axis, length in enumerate(value.shape):
            if length != 1:
                found[before, length] = (value, axis)
            before *= length
        return found

    old, new = places(source), places(out)
    why = f"a reshape of {source.shape} to {out.shape} that mixes samples with another axis"
    yield from ((axis, new.get(place, why)) for place, axis in old.items())
    yield from ((axis, why) for place, axis in new.items() if place not in old)


def _join(equation: Equation) -> Iterator[Rule]:
    out, why = equation.output, "samples put side by side"
    stacked = equation.name == "stack"
    axis = int(equation.params["axis" if stacked else "dimension"])
    yield (out, axis), why
    for operand in equation.inputs:
        for own in range(len(operand.shape)):
            if not stacked and own == axis:
                yield (operand, own), why
            else:
                yield (operand, own), (out, own + (stacked and own >= axis))


def product_axes(equation: Equation) -> list[tuple[Operand, list[int], list[int]]]:
    """For both operands of a product of matrices: it, its free axes, its contracted axes."""
    contract, _ = equation.params["dimension_numbers"]
    sides = []
    for operand, axes in zip(equation.inputs, contract, strict=True):
        free = [axis for axis in range(len(operand.shape)) if axis not in axes]
        sides.append((operand, free, [int(axis) for axis in axes]))
    return sides


def _product(equation: Equation) -> Iterator[Rule]:
    (a, a_free, a_axes), (b, b_free, b_axes) = product_axes(equation)
    yield from (((a, i), (b, j)) for i, j in zip(a_axes, b_axes, strict=True))
    free = [*((a, i) for i in a_free), *((b, j) for j in b_free)]
    yield from ((axis, (equation.output, new)) for new, axis in enumerate(free))
