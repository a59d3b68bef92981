"""Pass 2, place: what is done before the loop over tiles, inside it, and after it.

What does not depend on the samples is done once, before the loop. What has samples is done in the
loop, for one tile of them after the other; what is summed over them is gathered there. What depends
on such sums follows after the loop.
"""

import dataclasses
import enum
from collections.abc import Mapping

from capax.fused.labels import Labels, product_axes
from capax.fused.operations import JOINING, is_elementwise
from capax.fused.program import Equation, Operand, Traced
from capax.fused.refusal import Refusal


class Place(enum.Enum):
    """When an equation is computed."""

    BEFORE = "before the loop over tiles"
    LOOP = "in the loop"
    SUM = "gathered over the samples in the loop, complete after it"
    AFTER = "after the loop"


def place(traced: Traced, labels: Labels) -> Mapping[Equation, Place] | Refusal:
    """The place of every equation; refused are samples that depend on a sum over samples."""
    places: dict[Equation, Place] = {}
    late: set[Operand] = set()  # known only after the loop
    for equation in traced.equations:
        depends = any(operand in late for operand in equation.inputs)
        if labels.has_samples(equation.output):
            if depends:
                return Refusal("samples that depend on a sum over samples")
            places[equation] = Place.LOOP
        elif labels.sums_samples(equation):
            places[equation] = Place.SUM
        else:
            places[equation] = Place.AFTER if depends else Place.BEFORE
        if places[equation] in (Place.SUM, Place.AFTER):
            late |= set(equation.outputs)
        if equation.name == "dot_general" and places[equation] in (Place.LOOP, Place.SUM):
            reason = _refused_product(equation, labels, places[equation])
            if reason is not None:
                return Refusal(reason)
    return places


def _refused_product(equation: Equation, labels: Labels, where: Place) -> str | None:
    """Why a product that reads samples cannot be done by runtime.h; None where it can."""

    def long(operand: Operand, axes: list[int]) -> int:
        return sum(operand.shape[axis] != 1 and axis != labels.axis(operand) for axis in axes)

    sides = product_axes(equation)
    if where is Place.SUM:
        if any(long(operand, free) > 1 for operand, free, _ in sides):
            return "a product with several free axes"
        return None
    if all(labels.has_samples(operand) for operand, _, _ in sides):
        return "a product of samples with samples"
    matrix, free, contracted = next(side for side in sides if not labels.has_samples(side[0]))
    if long(matrix, free) > 1:
        return "a product with several free axes"
    if long(matrix, contracted) > 1:
        return "a product with several contracted axes"
    return None


@dataclasses.dataclass(frozen=True)
class Pointer:
    """The memory that a pointer of this name points to."""

    name: str


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of an array that is put together of several: operand `number` of `equation`."""

    equation: Equation
    number: int


Destination = Pointer | Part


def destinations(
    traced: Traced, labels: Labels, results: tuple[tuple[Operand, str], ...]
) -> Mapping[Operand, Destination]:
    """Where values with samples are written at once, instead of to memory of their own.

    `results`: values that a pointer of the kernel waits for, with its name. The others are parts
    of arrays that are put together.
    """
    found: dict[Operand, Destination] = {}
    producers = traced.producers()
    for operand, name in results:
        source = producers.get(operand)
        if source is not None and (is_elementwise(source) or source.name in JOINING):
            found.setdefault(operand, Pointer(name))
    for equation in traced.equations:
        if equation.name in JOINING and labels.has_samples(equation.output):
            for number, operand in enumerate(equation.inputs):
                if operand in producers and is_elementwise(producers[operand]):
                    found.setdefault(operand, Part(equation, number))
    return found


def result_refused(operand: Operand, labels: Labels, *, samples: bool) -> Refusal | None:
    """Why an output cannot be given: all are float32, with samples or without as is asked."""
    if operand.kind != "float":
        return Refusal(f"an output of type {operand.kind}")
    if labels.has_samples(operand) == samples:
        return None
    return Refusal("a result without samples" if samples else "an output for each sample, not a sum over samples")
