"""The C++ of a loop over time, forward and backward, around the code of one step.

Symbols, in the C++ and here:

    g, t            the tile and the step of time
    s, t (arrays)   a state before and after a step
    x, y            an input, and the gradient with respect to it
    o, e            an output, and the gradient with respect to it
    d, f            gradients with respect to the state after and before a step
    h               a state at all steps
    k               what a step keeps for its gradient
    n, m, o, k      how many arrays: plain, states, outputs, inputs

Arrays that have a slice for every step lie as (tiles, steps, .., TILE): a step of a tile reads and
writes whole slices.
"""

import dataclasses
from collections.abc import Iterable

from capax.fused.cpp import handler
from capax.fused.emit import give, take
from capax.fused.lower import Lowered, lower
from capax.fused.program import Operand, Traced, Value
from capax.fused.refusal import Refusal
from capax.fused.views import padded, size


@dataclasses.dataclass(frozen=True)
class Table:
    """Tables of columns, chosen by symbols, as the loop's inputs.

    `rows`: of each table; `features`: the columns of all; `streams`: symbols a step.
    """

    rows: list[int]
    features: int
    streams: int

    @property
    def places(self) -> list[int]:
        """Where each table's rows begin in a line of all."""
        return [sum(padded(rows) for rows in self.rows[:i]) for i in range(len(self.rows) + 1)]

    @property
    def width(self) -> int:
        """The length of such a line."""
        return self.places[-1]

    @property
    def floats(self) -> int:
        """Scratch memory of the tables, transposed."""
        return self.width * self.features

    def call(self, function: str, pointers: str) -> str:
        """A call of a function of runtime.h for this step's symbols."""
        symbols = f"symbols + t * {self.streams} * batch + g * TILE"
        return f"{function}<{self.streams}>({symbols}, batch, {self.features // self.streams}, {pointers});"


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop over time.

    `first`: the step from which on outputs are wanted. `plain`: how many arrays all steps share.
    `states`, `inputs`, `outputs`: floats of each for one tile and one step. `forward`, `backward`:
    the programs of one step. `kept`: values of the forward program that the backward one is given,
    with their samples' axes. `table`: the tables, if inputs come from tables.
    """

    tile: int
    first: int
    plain: int
    states: list[int]
    inputs: list[int]
    outputs: list[int]
    forward: Traced
    backward: Traced
    kept: tuple[tuple[Value, int], ...]
    table: Table | None

    @property
    def output_is_state(self) -> list[int | None]:
        """For each output the state that it is, if it is one: it is not written twice."""
        made = self.forward.outputs
        states = made[: len(self.states)]
        return [next((i for i, one in enumerate(states) if one is out), None) for out in made[len(states) :]]

    @property
    def own_outputs(self) -> list[int]:
        """The outputs that are no states."""
        return [i for i, state in enumerate(self.output_is_state) if state is None]

    @property
    def fresh(self) -> dict[Value, int]:
        """What is kept beside the states, with its samples' axis."""
        states = self.forward.outputs[: len(self.states)]
        return {value: axis for value, axis in self.kept if value not in states}

    @property
    def fresh_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each, but for the samples' axis."""
        return [(*value.shape[:axis], *value.shape[axis + 1 :]) for value, axis in self.fresh.items()]


def _argument(number: int, kind: str = "float") -> str:
    return f"((const {kind}*)((XLA_FFI_Buffer*)frame->args.args[{number}])->data)"


def _result(number: int) -> str:
    return f"((float*)((XLA_FFI_Buffer*)frame->rets.rets[{number}])->data)"


def _slice(name: str, base: str, size: int, steps: str = "time", step: str = "t") -> str:
    """A pointer to this tile's slice of this step."""
    return f"float* const {name} = (float*){base} + (g * ({steps}) + ({step})) * {size};"


def _names(letter: str, items: Iterable[object]) -> list[str]:
    return [f"{letter}{i}" for i, _ in enumerate(items)]


def step_marks(traced: Traced, plain: int, made: int = 0) -> dict[Value, int]:
    """The samples' axis, the last, of a step's inputs after the first `plain`, and of its outputs
    after the first `made`."""
    shared = traced.inputs[:plain]
    found = (*traced.inputs[plain:], *traced.outputs[made:])
    return {value: len(value.shape) - 1 for value in found if isinstance(value, Value) and value not in shared}


class _Writer:
    """What both directions share: the code of a step, and the lines before the loops."""

    def __init__(self, loop: Loop, traced: Traced, lowered: Lowered):
        self._loop, self._traced, self._memory = loop, traced, lowered.memory
        self.code = lowered.code
        self.lines, self.floats = list(self.code.declarations), self.code.floats
        self._numbers = [
            (number, value) for number, value in enumerate(traced.given) if not lowered.labels.has_samples(value)
        ]

    def scratch(self, name: str, size: int) -> None:
        """Memory of the kernel's own."""
        self.lines.append(f"float* const {name} = scratch + {self.floats};")
        self.floats = f"{self.floats} + {size}"

    def begin(self, constants: int, dims: str) -> None:
        """Read the arguments without samples, and how long the loops are.

        `constants`: the number of the argument where the constants begin.
        """
        for place, (number, value) in enumerate(self._numbers):
            argument = number if number < self._loop.plain else constants + place - self._loop.plain
            self.lines.append(f"const void* const a{number} = {_argument(argument)};")
            self.lines.append(take(self._memory.views[value], value.kind, f"a{number}"))
        self.lines += self.code.before
        self.lines.append(
            f"const long tiles = {dims}->dims[0], time = {dims}->dims[1] - 1, first = {self._loop.first};"
        )
        self.lines.append("const long batch = tiles * TILE;")

    def tables(self, number: int, symbols: int, *, read: bool) -> None:
        """Memory for a tile's lines, and, where the tables are read, for them, transposed.

        `number`: the number of their first argument; `symbols`: that of the symbols.
        """
        table = self._loop.table
        assert table is not None
        self.scratch("lines", table.width * self._loop.tile)
        self.lines.append(f"const int32_t* const symbols = {_argument(symbols, 'int32_t')};")
        if read:
            self.scratch("turned_tables", table.floats)
            self.lines.append(f"std::memset(turned_tables, 0, {4 * table.floats});")
            for i, (rows, place) in enumerate(zip(table.rows, table.places, strict=False)):
                shape, to = f"{rows}, {table.features}", f"turned_tables + {place}"
                self.lines.append(
                    f"transpose({shape}, {_argument(number + i)}, {table.features}, {to}, {table.width});"
                )
            for i, (begin, end) in enumerate(zip(table.places, table.places[1:], strict=False)):
                self.scratch(f"x{i}", (end - begin) * self._loop.tile)

    def inputs(self, number: int) -> None:
        """In a step: pointers to its inputs."""
        table = self._loop.table
        if table is None:
            sizes = enumerate(self._loop.inputs)
            self.lines += [_slice(f"x{i}", _argument(number + i), size) for i, size in sizes]
            return
        self.lines.append(table.call("look_up", f"turned_tables, {table.width}, lines"))
        for i, (begin, end) in enumerate(zip(table.places, table.places[1:], strict=False)):
            self.lines.append(f"transpose(TILE, {end - begin}, lines + {begin}, {table.width}, x{i}, TILE);")

    def gives(self, number: int, operand: Operand) -> str:
        """A result without samples."""
        name = f"r{number}"
        return f"{{ float* const {name} = {_result(number)};\n{give(operand, self._memory, name)}\n}}"

    def source(self) -> str:
        return handler(self._loop.tile, self.floats, self.lines)


def forward_source(loop: Loop, *, keep: bool) -> str | Refusal:
    """The loop forward.

    Arguments of the kernel: plain arrays, first states, inputs (or tables and symbols), constants.
    Results: states at all steps, outputs that are not states from `first` on, and, to `keep`, what
    the backward pass reads beside the states.
    """
    n, m, k = loop.plain, len(loop.states), len(loop.inputs)
    made, own = loop.forward.outputs, loop.own_outputs
    fresh = loop.fresh if keep else {}
    results: list[tuple[Operand, str]] = [(made[i], f"t{i}") for i in range(m)]
    results += [(made[m + i], f"o{i}") for i in own]
    results += [(value, f"k{i}") for i, value in enumerate(fresh)]
    wanted = dataclasses.replace(loop.forward, outputs=(*made, *fresh))
    marks = step_marks(loop.forward, n) | fresh
    names = _names("s", loop.states) + _names("x", loop.inputs)
    lowered = lower(wanted, marks, dict(zip(wanted.inputs[n:], names, strict=True)), tuple(results))
    if isinstance(lowered, Refusal):
        return lowered
    writer = _Writer(loop, wanted, lowered)
    lines = writer.lines
    writer.begin(n + m + k + (loop.table is not None), "((XLA_FFI_Buffer*)frame->rets.rets[0])")
    if loop.table is not None:
        writer.tables(n + m, n + m + k, read=True)
    for i in own:
        writer.scratch(f"unscored{i}", loop.outputs[i])
    lines.append("for (long g = 0; g < tiles; g++) {")
    for i, floats in enumerate(loop.states):
        lines.append(_slice(f"h{i}", _result(i), floats, "time + 1", "0"))
        lines.append(f"std::memcpy(h{i}, {_argument(n + i)} + g * {floats}, {4 * floats});")
    lines.append("for (long t = 0; t < time; t++) {")
    for i, floats in enumerate(loop.states):
        lines.append(f"float *const s{i} = h{i} + t * {floats}, *const t{i} = s{i} + {floats};")
    writer.inputs(n + m)
    for place, i in enumerate(own):
        lines.append(_slice(f"to{i}", _result(m + place), loop.outputs[i], "time - first", "t - first"))
        lines.append(f"float* const o{i} = t < first ? unscored{i} : to{i};")
    lines += [_slice(f"k{i}", _result(m + len(own) + i), size(value.shape)) for i, value in enumerate(fresh)]
    lines += [*writer.code.loop, "}", "}"]
    return writer.source()


def backward_source(loop: Loop) -> str | Refusal:
    """The loop backward.

    Arguments of the kernel: plain arrays; states at all steps and what else was kept; inputs (or
    tables and symbols); gradients of the last states and of the outputs; constants. Results:
    gradients of plain arrays, first states, inputs (tables).
    """
    n, m, k = loop.plain, len(loop.states), len(loop.inputs)
    lowered = _lowered_backward(loop)
    if isinstance(lowered, Refusal):
        return lowered
    writer = _Writer(loop, loop.backward, lowered)
    lines, table = writer.lines, loop.table
    given = n + m + len(loop.fresh)  # the number of the first input
    gradients = given + k + (table is not None)
    writer.begin(gradients + m + len(loop.outputs), f"((XLA_FFI_Buffer*)frame->args.args[{n}])")
    for i, floats in enumerate(loop.states):
        writer.scratch(f"d{i}", floats)
        writer.scratch(f"f{i}", floats)
    for i, floats in enumerate(loop.outputs):
        writer.scratch(f"unscored{i}", floats)
        lines.append(f"std::memset(unscored{i}, 0, {4 * floats});")
    inputs = loop.backward.inputs[n + m : n + m + k]
    reads = any(value in equation.inputs for equation in loop.backward.equations for value in inputs)
    if table is not None:
        writer.tables(given, given + k, read=reads)
        _begin_gathering(writer, loop, table)
    lines.append("for (long g = 0; g < tiles; g++) {")
    for i, floats in enumerate(loop.states):
        lines.append(f"std::memcpy(d{i}, {_argument(gradients + i)} + g * {floats}, {4 * floats});")
    lines.append("for (long t = time - 1; t >= 0; t--) {")
    _backward_step(writer, loop, given, gradients, reads)
    lines.append("}")
    for i, floats in enumerate(loop.states):
        lines.append(f"std::memcpy({_result(n + i)} + g * {floats}, d{i}, {4 * floats});")
    lines += ["}", *writer.code.after]
    lines += [writer.gives(i, loop.backward.outputs[i]) for i in range(n)]
    if table is not None:
        for i, (rows, place) in enumerate(zip(table.rows, table.places, strict=False)):
            source, to = f"gathered + {place}, {table.width}", f"{_result(n + m + i)}, {table.features}"
            lines.append(f"transpose({table.features}, {rows}, {source}, {to});")
    return writer.source()


def _lowered_backward(loop: Loop) -> Lowered | Refusal:
    """The code of one step backward."""
    n, m, k = loop.plain, len(loop.states), len(loop.inputs)
    fresh, states = list(loop.fresh), loop.forward.outputs[:m]
    found = loop.backward.outputs
    results: list[tuple[Operand, str]] = [(found[n + i], f"f{i}") for i in range(m)]
    results += [(found[n + m + i], f"y{i}") for i in range(k)]
    names = _names("s", loop.states) + _names("x", loop.inputs) + _names("d", loop.states) + _names("e", loop.outputs)
    names += [f"t{states.index(value)}" if value in states else f"k{fresh.index(value)}" for value, _ in loop.kept]
    marks = step_marks(loop.backward, n, n)
    further = loop.backward.inputs[len(loop.backward.inputs) - len(loop.kept) :]
    marks |= {value: axis for value, (_, axis) in zip(further, loop.kept, strict=True)}
    return lower(loop.backward, marks, dict(zip(loop.backward.inputs[n:], names, strict=True)), tuple(results))


def _begin_gathering(writer: _Writer, loop: Loop, table: Table) -> None:
    """Memory for the gradients of tables, all transposed, and of one step's inputs."""
    writer.scratch("gathered", table.floats)
    writer.lines.append(f"std::memset(gathered, 0, {4 * table.floats});")
    for i, (begin, end) in enumerate(zip(table.places, table.places[1:], strict=False)):
        writer.scratch(f"y{i}", (end - begin) * loop.tile)
        writer.lines.append(f"std::memset(y{i}, 0, {4 * (end - begin) * loop.tile});")


def _backward_step(writer: _Writer, loop: Loop, given: int, gradients: int, reads: bool) -> None:
    """One step of the loop back in time. `given`, `gradients`: the numbers of the arguments where
    inputs and gradients begin; `reads`: whether the step reads its inputs."""
    n, m = loop.plain, len(loop.states)
    lines, table = writer.lines, loop.table
    for i, floats in enumerate(loop.states):
        lines.append(_slice(f"s{i}", _argument(n + i), floats, "time + 1"))
        lines.append(f"float* const t{i} = s{i} + {floats};")
    lines += [_slice(f"k{i}", _argument(n + m + i), size(value.shape)) for i, value in enumerate(loop.fresh)]
    if reads:
        writer.inputs(given)
    if table is None:
        lines += [_slice(f"y{i}", _result(n + m + i), floats) for i, floats in enumerate(loop.inputs)]
    for i, floats in enumerate(loop.outputs):
        lines.append(_slice(f"of{i}", _argument(gradients + m + i), floats, "time - first", "t - first"))
        lines.append(f"float* const e{i} = t < first ? unscored{i} : of{i};")
    lines += writer.code.loop
    lines += [f"std::memcpy(d{i}, f{i}, {4 * floats});" for i, floats in enumerate(loop.states)]
    if table is not None:
        for i, (begin, end) in enumerate(zip(table.places, table.places[1:], strict=False)):
            lines.append(f"transpose({end - begin}, TILE, y{i}, TILE, lines + {begin}, {table.width});")
        lines.append(table.call("look_back", f"gathered, {table.width}, lines"))
