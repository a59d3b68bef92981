"""From an intermediate program to C++: all passes, one after the other."""

import dataclasses
from collections.abc import Mapping

from capax.fused.emit import Code, emit
from capax.fused.groups import group
from capax.fused.labels import Labels, label
from capax.fused.memory import Memory, allocate
from capax.fused.places import destinations, place, result_refused
from capax.fused.program import Operand, Traced, Value
from capax.fused.refusal import Refusal


@dataclasses.dataclass(frozen=True)
class Lowered:
    """What the passes found, and the code."""

    labels: Labels
    memory: Memory
    code: Code


def lower(
    traced: Traced,
    marks: Mapping[Value, int],
    pointers: Mapping[Operand, str] | None = None,
    results: tuple[tuple[Operand, str], ...] = (),
) -> Lowered | Refusal:
    """The code of a program.

    **Arguments:**

    - `marks`: the samples' axis of the inputs and outputs that must have one.
    - `pointers`: inputs with samples that are read where a pointer of this name points; the others
      are copied to buffers first.
    - `results`: outputs with samples that are written where a pointer of this name points; all
      other outputs must be without samples.
    """
    labels = label(traced, marks)
    if isinstance(labels, Refusal):
        return labels
    written = {operand for operand, _ in results}
    for operand in traced.outputs:
        refusal = result_refused(operand, labels, samples=operand in written)
        if refusal is not None:
            return refusal
    places = place(traced, labels)
    if isinstance(places, Refusal):
        return places
    destined = destinations(traced, labels, results)
    schedule = group(traced, labels, places, destined, results)
    memory = allocate(traced, labels, schedule, destined, pointers or {})
    return Lowered(labels, memory, emit(labels, schedule, memory))
