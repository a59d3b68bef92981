"""What a step of a loop leaves to its backward pass: results that are costly to compute again."""

from typing import Any

from capax.fused.labels import Labels
from capax.fused.operations import CHEAP, ELEMENTWISE, JOINING, is_view
from capax.fused.program import Constant, Equation, Operand, Traced, Value, given


def split(forward: Traced, backward: Traced, labels: Labels) -> tuple[Traced, list[Value], list[Value]]:
    """Shorten the backward program by what the forward program can leave to it.

    **Arguments:** `backward` must compute `forward` again from the same first inputs; `labels` are
    those of `backward`.

    Returns the shorter program, which is given further inputs after its own; which of the forward
    program's values these are; and which of the backward program's they replace.
    """
    numbering = _Numbering(len(forward.inputs))
    ours = numbering.of(forward)
    numbers = numbering.of(backward)
    by_number = {number: value for value, number in ours.items()}
    again = {
        value: by_number[number]
        for value, number in numbers.items()
        if number in by_number and labels.has_samples(value) and value.kind == "float"
    }
    producer = backward.producers()
    consumers = backward.consumers()
    kept: dict[Value, None] = {}
    stack: list[Operand] = list(backward.outputs)
    seen: set[Operand] = set()
    while stack:
        operand = stack.pop()
        if operand in seen or operand not in producer:
            continue
        seen.add(operand)
        assert isinstance(operand, Value)
        equation = producer[operand]
        if operand in again and _costly(equation, producer, consumers):
            kept[operand] = None
        else:
            stack.extend(equation.inputs)
    return given(backward, list(kept)), [again[value] for value in kept], list(kept)


def _costly(equation: Equation, producer: dict[Operand, Equation], consumers: dict[Operand, list[Equation]]) -> bool:
    """Whether a result is dearer to compute than to read; a sum with a product is a part of it."""
    if is_view(equation) or equation.name in JOINING:
        return False
    if equation.name in ("add", "add_any"):
        makers = [producer.get(o) for o in equation.inputs if len(consumers.get(o, ())) == 1]
        return any(maker is not None and maker.name == "dot_general" for maker in makers)
    return not (equation.name in ELEMENTWISE and equation.name in CHEAP)


class _Numbering:
    """Numbers for values: the same number for the same computation from the same inputs."""

    def __init__(self, shared: int):
        self._shared = shared  # how many first inputs all programs have in common
        self._known: dict[Any, int] = {}

    def _number(self, key: Any) -> int:
        return self._known.setdefault(key, len(self._known))

    def of(self, traced: Traced) -> dict[Value, int]:
        """The numbers of all values that the program's equations make."""
        numbers: dict[Operand, int] = {}
        for place, value in enumerate(traced.inputs):
            numbers[value] = self._number(("input", place) if place < self._shared else ("other input", value))
        for value, array in traced.constants:
            numbers[value] = self._number(("array", str(array.dtype), array.shape, array.tobytes()))
        made: dict[Value, int] = {}
        for equation in traced.equations:
            for operand in equation.inputs:
                if isinstance(operand, Constant):
                    numbers[operand] = self._number(("number", repr(operand.value), operand.kind, operand.shape))
            params = tuple(sorted((name, repr(value)) for name, value in equation.params.items()))
            whole = (equation.name, params, *(numbers[operand] for operand in equation.inputs))
            for place, output in enumerate(equation.outputs):
                numbers[output] = made[output] = self._number((place, *whole))
        return made
