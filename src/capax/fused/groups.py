"""Pass 3, group: the order of the work in the loop, with elementwise operations that run together.

One pass over memory does an elementwise value, its elementwise ancestors, and sums over samples
that use them. A value is computed as late as it can be. Of a pass only what is read later is
stored, and of that not what is cheaper to compute again than to read.
"""

import dataclasses
from collections.abc import Mapping

from capax.fused.labels import Labels, product_axes
from capax.fused.operations import CHEAP, JOINING, is_elementwise, is_view
from capax.fused.places import Destination, Part, Place, Pointer
from capax.fused.program import Constant, Equation, Operand, Traced, Value

RECOMPUTED = 3
"""Cheap operations that are done again rather than kept in memory."""


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass over arrays of one shape: `equations` element by element, of which the values
    `stored` are written to memory; `sums` are sums over samples, gathered on the way."""

    like: Operand
    equations: tuple[Equation, ...]
    stored: tuple[Value, ...]
    sums: tuple[Equation, ...]


@dataclasses.dataclass(frozen=True)
class See:
    """A view: from here on its values can be read."""

    equation: Equation


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy whose samples lie side by side, of a value that is one number for all samples."""

    source: Operand
    to: Value


@dataclasses.dataclass(frozen=True)
class Multiply:
    """A matrix times `values`, an array with samples. With `begin` the sum begins with that value,
    and `result` is the sum; else it is the product."""

    equation: Equation
    values: Operand
    begin: Operand | None
    result: Value


@dataclasses.dataclass(frozen=True)
class Gather:
    """Outer products, summed over the samples, whose results are only added to each other.

    `members`: each product with its two operands, as they are read."""

    result: Value
    members: tuple[tuple[Equation, Operand, Operand], ...]


@dataclasses.dataclass(frozen=True)
class Put:
    """One operand of an array that is put together, copied to its part."""

    part: Part


@dataclasses.dataclass(frozen=True)
class Pad:
    """An array with a margin."""

    equation: Equation


@dataclasses.dataclass(frozen=True)
class SumRows:
    """A sum over other axes than the samples'."""

    equation: Equation


@dataclasses.dataclass(frozen=True)
class Give:
    """A result, copied to where the pointer `name` points."""

    value: Operand
    name: str


Step = Pass | See | Copy | Multiply | Gather | Put | Pad | SumRows | Give


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The work in order: equations without samples `before` the loop, the steps of the `loop`,
    equations `after` it."""

    before: tuple[Equation, ...]
    loop: tuple[Step, ...]
    after: tuple[Equation, ...]


def group(
    traced: Traced,
    labels: Labels,
    places: Mapping[Equation, Place],
    destined: Mapping[Operand, Destination],
    results: tuple[tuple[Operand, str], ...] = (),
) -> Schedule:
    """Order the work. `destined`: where values are written at once (such values are always stored);
    `results`: values with samples, and the names of the pointers that wait for them."""
    return _Scheduler(traced, labels, places, destined).schedule(results)


class _Scheduler:
    """`ready`: what can be read at this point. `done`: equations that need no step of their own."""

    def __init__(
        self,
        traced: Traced,
        labels: Labels,
        places: Mapping[Equation, Place],
        destined: Mapping[Operand, Destination],
    ):
        self._traced, self._labels, self._places, self._destined = traced, labels, places, dict(destined)
        self._producer, self._consumers = traced.producers(), traced.consumers()
        self._order = {equation: number for number, equation in enumerate(traced.equations)}
        self._outputs = {output for output in traced.outputs if isinstance(output, Value)}
        self._row_sums = [e for e in traced.equations if e.name == "reduce_sum" and places[e] is Place.SUM]
        self._spread = spread(traced, labels)
        self._ready: set[Operand] = set(traced.given)
        self._done: set[Equation] = set()
        self._steps: list[Step] = []

    def schedule(self, results: tuple[tuple[Operand, str], ...]) -> Schedule:
        joined = self._joined()
        by_place = {place: [e for e in self._traced.equations if self._places[e] is place] for place in Place}
        for equation in self._traced.equations:
            place = self._places[equation]
            if place is Place.BEFORE:
                self._ready |= set(equation.outputs)
            elif place is Place.LOOP and not is_elementwise(equation) and not is_view(equation):
                self._need(equation.output)
            elif place is Place.SUM and equation.name == "dot_general":
                self._gather(equation, joined)
            elif place is Place.SUM:
                self._prepare(equation.inputs[0])
        for operand, name in results:
            self._need(operand)
            if self._destined.get(operand) != Pointer(name):
                self._steps.append(Give(operand, name))
        for equation in self._row_sums:  # those that found no pass to go along with
            if equation not in self._done:
                self._pass(None, [equation])
        after = tuple(equation for equation in by_place[Place.AFTER] if equation not in self._done)
        return Schedule(tuple(by_place[Place.BEFORE]), tuple(self._steps), after)

    # -- sums of outer products

    def _joined(self) -> dict[Equation, tuple[Value, list[Equation]]]:
        """Outer products whose sums are only added to each other are gathered as one, when the last
        of them can be: by that one, the result and all members."""
        found: dict[Operand, list[Equation]] = {}
        for equation in self._traced.equations:
            if equation.name == "dot_general" and self._places[equation] is Place.SUM:
                found[equation.output] = [equation]
            elif equation.name in ("add_any", "add") and all(
                operand in found and len(self._consumers[operand]) == 1 and operand not in self._outputs
                for operand in equation.inputs
            ):
                a, b = equation.inputs
                if a is not b and _outer_shape(found[a][0]) == _outer_shape(found[b][0]):
                    found[equation.output] = found.pop(a) + found.pop(b)
                    self._done.add(equation)
        groups = [(value, sorted(members, key=self._order.__getitem__)) for value, members in found.items()]
        return {members[-1]: (value, members) for value, members in groups if isinstance(value, Value)}

    def _gather(self, equation: Equation, joined: dict[Equation, tuple[Value, list[Equation]]]) -> None:
        for operand in equation.inputs:
            self._need(operand)
        if equation in joined:
            result, members = joined[equation]
            read = tuple((member, *map(self._solid, member.inputs)) for member in members)
            self._steps.append(Gather(result, read))  # pyright: ignore[reportArgumentType]

    # -- values with samples

    def _solid(self, operand: Operand) -> Operand:
        """The value itself, or a copy, so that its samples lie side by side in memory."""
        if operand not in self._spread:
            return operand
        copy = Value(operand.shape, operand.kind)
        self._steps.append(Copy(operand, copy))
        return copy

    def _need(self, operand: Operand) -> None:
        """Have a value in memory from here on."""
        if isinstance(operand, Constant) or operand in self._ready:
            return
        equation = self._producer[operand]
        if is_elementwise(equation):
            self._pass(operand, [])
        elif is_view(equation):
            self._need(equation.inputs[0])
            self._steps.append(See(equation))
            self._ready |= set(equation.outputs)
        else:
            self._array(equation)

    def _array(self, equation: Equation) -> None:
        """A value that is neither elementwise nor a view."""
        if equation.name == "dot_general":
            self._multiply(equation)
            return
        if equation.name in JOINING:
            for number, operand in enumerate(equation.inputs):
                self._need(operand)
                part = Part(equation, number)
                if self._destined.get(operand) != part:
                    self._steps.append(Put(part))
        else:
            self._need(equation.inputs[0])
            self._steps.append(Pad(equation) if equation.name == "pad" else SumRows(equation))
        self._ready.add(equation.output)

    def _multiply(self, equation: Equation) -> None:
        (values,) = (operand for operand in equation.inputs if self._labels.has_samples(operand))
        self._need(values)
        values = self._solid(values)
        use = self._added_to(equation)
        if use is None:
            self._steps.append(Multiply(equation, values, None, equation.output))
        else:
            begin = use.inputs[1] if use.inputs[0] is equation.output else use.inputs[0]
            self._steps.append(Multiply(equation, values, begin, use.output))
            self._done.add(use)
            self._ready.add(use.output)
            self._destined.pop(use.output, None)  # it lies in memory of the product's own
        self._ready.add(equation.output)

    def _added_to(self, equation: Equation) -> Equation | None:
        """Where a product is only added to something that lies in memory, that addition."""
        out = equation.output
        first_is_matrix = not self._labels.has_samples(equation.inputs[0])
        if len(self._consumers[out]) != 1 or len(out.shape) != 2 or out in self._outputs or not first_is_matrix:
            return None
        if any(length != 1 for axis, length in enumerate(out.shape[1:], 1) if axis != self._labels.axis(out)):
            return None
        (use,) = self._consumers[out]
        if use.name not in ("add", "add_any") or use.inputs[0] is use.inputs[1] or use in self._done:
            return None
        other = use.inputs[1] if use.inputs[0] is out else use.inputs[0]
        lies = other in self._ready and self._labels.has_samples(other) and other not in self._spread
        return use if lies else None

    # -- passes of elementwise operations

    def _ancestors(self, value: Operand) -> list[Equation]:
        """The elementwise equations, not yet done, of the same shape, that a value needs."""
        found: dict[Equation, None] = {}
        stack = [value]
        while stack:
            operand = stack.pop()
            if operand in self._ready or operand.shape != value.shape:
                continue
            equation = self._producer.get(operand)
            if equation is not None and is_elementwise(equation) and equation not in found:
                found[equation] = None
                stack.extend(equation.inputs)
        return list(found)

    def _prepare(self, value: Operand) -> None:
        """Have in memory whatever the elementwise ancestors of a value take from elsewhere."""
        while True:
            equations = self._ancestors(value)
            if not equations:
                self._need(value)
                return
            missing = self._missing(equations)
            if missing is None:
                return
            self._need(missing)

    def _missing(self, equations: list[Equation]) -> Operand | None:
        """The first operand that these equations neither make nor find in memory."""
        own = {equation.output for equation in equations}
        for equation in equations:
            for operand in equation.inputs:
                if isinstance(operand, Value) and operand not in own and operand not in self._ready:
                    return operand
        return None

    def _pass(self, value: Operand | None, sums: list[Equation]) -> None:
        """One pass: an elementwise value, its ancestors, and sums over samples that use them."""
        first = value if value is not None else sums[0].inputs[0]
        self._prepare(first)
        if value is not None and value in self._ready:
            return
        members = dict.fromkeys(self._ancestors(first))
        sinks = list(sums)
        for equation in self._row_sums:
            source = equation.inputs[0]
            if equation in self._done or equation in sinks or not self._alike(source, first):
                continue
            needed = self._ancestors(source)
            touches = any(e in members for e in needed) or (not needed and value is None and source in self._ready)
            if touches and self._missing(needed) is None:
                sinks.append(equation)
                members |= dict.fromkeys(needed)
        equations = sorted(members, key=self._order.__getitem__)
        stored = self._stored(equations, set(sinks), value)
        self._steps.append(Pass(first, tuple(equations), tuple(stored), tuple(sinks)))
        self._ready |= set(stored)
        self._done |= set(sinks)

    def _alike(self, one: Operand, other: Operand) -> bool:
        return one.shape == other.shape and self._labels.axis(one) == self._labels.axis(other)

    def _stored(self, equations: list[Equation], sinks: set[Equation], value: Operand | None) -> list[Value]:
        """Which values of a pass are kept in memory: those read later that are not cheaper to
        compute again."""
        inside = set(equations) | sinks
        effort: dict[Operand, int] = {}  # operations that make a value again from memory; absent: it is kept
        for equation in equations:
            out = equation.output
            again = 1 + sum(effort.get(operand, 0) for operand in equation.inputs)
            if equation.name in CHEAP and again <= RECOMPUTED and out not in self._destined and out is not value:
                effort[out] = again
        wanted: set[Operand] = {value} if value is not None else set()
        for equation in reversed(equations):
            out = equation.output
            uses = self._consumers.get(out, [])
            later = out in self._outputs or any(use not in inside and use not in self._done for use in uses)
            if later or any(use in inside and use.output in effort and use.output in wanted for use in uses):
                wanted.add(out)
        return [e.output for e in equations if e.output in wanted and e.output not in effort]


def spread(traced: Traced, labels: Labels) -> set[Operand]:
    """The values that are one number for all samples: broadcast along them, or views of such."""
    found: set[Operand] = set()
    for equation in traced.equations:
        if not is_view(equation) or not labels.has_samples(equation.output):
            continue
        source = equation.inputs[0]
        if source in found or not labels.has_samples(source):
            found |= set(equation.outputs)
    return found


def _outer_shape(equation: Equation) -> list[tuple[int, ...]]:
    return [tuple(operand.shape[axis] for axis in free) for operand, free, _ in product_axes(equation)]
