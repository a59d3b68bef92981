"""The C++ of a loop over time, forward and backward, around the code of one step.

Arrays that have a slice for every step lie as (blocks, steps, .., COLUMNS): a step of a block reads and writes whole slices.
"""

import dataclasses
from collections.abc import Iterable

from capax.fused import arrays
from capax.fused.code import handler
from capax.fused.groups import Groups
from capax.fused.program import Operand, Traced, Value


@dataclasses.dataclass(frozen=True)
class Table:
    """Tables of columns, chosen by symbols, as the loop's inputs: the rows of each, the columns of all, the streams."""

    rows: list[int]
    features: int
    streams: int

    @property
    def places(self) -> list[int]:
        """Where each table's rows begin in a line of all."""
        return [sum(-(-rows // 16) * 16 for rows in self.rows[:i]) for i in range(len(self.rows) + 1)]

    @property
    def width(self) -> int:
        """The length of such a line."""
        return self.places[-1]

    @property
    def floats(self) -> int:
        """Scratch memory: the tables, turned; a block's lines; a step's inputs."""
        return self.width * self.features

    def call(self, function: str, pointers: str) -> str:
        """A call of a function of runtime.h for this step's symbols."""
        symbols = f"symbols + t * {self.streams} * batch + g * COLUMNS"
        return f"{function}<{self.streams}>({symbols}, batch, {self.features // self.streams}, {pointers});"


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop: sizes in floats of a block's states, inputs, and outputs at one step; programs of a step, forward and
    backward; the forward program's values that the backward one is given; the tables, if inputs come from tables."""

    columns: int
    first: int
    plain: int
    states: list[int]
    inputs: list[int]
    outputs: list[int]
    forward: Traced
    backward: Traced
    kept: list[Value]
    table: Table | None

    @property
    def output_is_state(self) -> list[int | None]:
        """For each output the state that it is, if it is one: it is not written twice."""
        made = self.forward.outputs
        states = made[: len(self.states)]
        return [next((i for i, one in enumerate(states) if one is out), None) for out in made[len(states) :]]

    @property
    def own_outputs(self) -> list[int]:
        return [i for i, state in enumerate(self.output_is_state) if state is None]

    @property
    def fresh(self) -> list[Value]:
        """What is kept beside the states."""
        return [value for value in self.kept if value not in self.forward.outputs[: len(self.states)]]


def _argument(number: int, kind: str = "float") -> str:
    return f"((const {kind}*)((XLA_FFI_Buffer*)frame->args.args[{number}])->data)"


def _result(number: int) -> str:
    return f"((float*)((XLA_FFI_Buffer*)frame->rets.rets[{number}])->data)"


def _slice(name: str, base: str, size: int, steps: str = "time", step: str = "t") -> str:
    """A pointer to this block's slice of this step."""
    return f"float* const {name} = (float*){base} + (g * ({steps}) + ({step})) * {size};"


def _names(letter: str, items: Iterable[object]) -> list[str]:
    return [f"{letter}{i}" for i, _ in enumerate(items)]


class _Writer:
    """What both directions share: the code of a step, and the lines before the loops."""

    def __init__(self, loop: Loop, traced: Traced, pointers: list[str], results: list[tuple[Operand, str]]):
        self.step = Groups(traced, loop.columns)
        views = self.step.arguments(iter(pointers))
        self.step.write_step(views, results)
        self.lines, self.floats = self.step.declarations()
        self._numbers = [(number, view) for number, view in enumerate(views) if view.column_axis is None]
        self._loop = loop

    def scratch(self, name: str, size: int) -> None:
        """Memory of the kernel's own."""
        self.lines.append(f"float* const {name} = scratch + {self.floats};")
        self.floats = f"{self.floats} + {size}"

    def begin(self, constants: int, dims: str) -> None:
        """Read the arguments without samples, and how long the loops are. `constants`: where the constants begin."""
        for place, (number, view) in enumerate(self._numbers):
            argument = number if number < self._loop.plain else constants + place - self._loop.plain
            self.lines.append(f"const void* const a{number} = {_argument(argument)};")
            self.lines.append(self.step.take(number, view))
        self.lines += self.step.before
        self.lines.append(
            f"const long blocks = {dims}->dims[0], time = {dims}->dims[1] - 1, first = {self._loop.first};"
        )
        self.lines.append("const long batch = blocks * COLUMNS;")

    def tables(self, number: int, symbols: int, *, read: bool) -> None:
        """Memory for tables and a block's lines, and, where they are read, the tables turned; `number`: their first
        argument's."""
        table = self._loop.table
        assert table is not None
        self.scratch("lines", table.width * self._loop.columns)
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
                self.scratch(f"x{i}", (end - begin) * self._loop.columns)

    def inputs(self, number: int) -> None:
        """In a step: pointers to its inputs."""
        table = self._loop.table
        if table is None:
            sizes = enumerate(self._loop.inputs)
            self.lines += [_slice(f"x{i}", _argument(number + i), size) for i, size in sizes]
            return
        self.lines.append(table.call("look_up", f"turned_tables, {table.width}, lines"))
        for i, (begin, end) in enumerate(zip(table.places, table.places[1:], strict=False)):
            self.lines.append(f"transpose(COLUMNS, {end - begin}, lines + {begin}, {table.width}, x{i}, COLUMNS);")

    def source(self) -> str:
        return handler(self._loop.columns, self.floats, self.lines)


def forward_source(loop: Loop, *, keep: bool) -> str:
    """Arguments: plain arrays, first states, inputs (or tables and symbols), constants. Results: states at all steps,
    outputs that are not states from `first` on, and, to `keep`, what the backward pass reads beside the states."""
    n, m, k = loop.plain, len(loop.states), len(loop.inputs)
    made, own = loop.forward.outputs, loop.own_outputs
    fresh = loop.fresh if keep else []
    results: list[tuple[Operand, str]] = [(made[i], f"t{i}") for i in range(m)]
    results += [(made[m + i], f"o{i}") for i in own]
    results += [(value, f"k{i}") for i, value in enumerate(fresh)]
    wanted = dataclasses.replace(loop.forward, outputs=[*made, *fresh])
    writer = _Writer(loop, wanted, _names("s", loop.states) + _names("x", loop.inputs), results)
    lines = writer.lines
    writer.begin(n + m + k + (loop.table is not None), "((XLA_FFI_Buffer*)frame->rets.rets[0])")
    if loop.table is not None:
        writer.tables(n + m, n + m + k, read=True)
    for i in own:
        writer.scratch(f"unscored{i}", loop.outputs[i])
    lines.append("for (long g = 0; g < blocks; g++) {")
    for i, size in enumerate(loop.states):
        lines.append(_slice(f"h{i}", _result(i), size, "time + 1", "0"))
        lines.append(f"std::memcpy(h{i}, {_argument(n + i)} + g * {size}, {4 * size});")
    lines.append("for (long t = 0; t < time; t++) {")
    for i, size in enumerate(loop.states):
        lines.append(f"float *const s{i} = h{i} + t * {size}, *const t{i} = s{i} + {size};")
    writer.inputs(n + m)
    for place, i in enumerate(own):
        lines.append(_slice(f"to{i}", _result(m + place), loop.outputs[i], "time - first", "t - first"))
        lines.append(f"float* const o{i} = t < first ? unscored{i} : to{i};")
    lines += [
        _slice(f"k{i}", _result(m + len(own) + i), arrays.size(value.shape, loop.columns))
        for i, value in enumerate(fresh)
    ]
    lines += [*writer.step.body(), "}", "}"]
    return writer.source()


def backward_source(loop: Loop) -> str:
    """Arguments: plain arrays; states at all steps and what else was kept; inputs (or tables and symbols); gradients of
    the last states and of the outputs; constants. Results: gradients of plain arrays, first states, inputs (tables)."""
    n, m, k, o = loop.plain, len(loop.states), len(loop.inputs), len(loop.outputs)
    fresh, states = loop.fresh, loop.forward.outputs[:m]
    found = loop.backward.outputs
    results: list[tuple[Operand, str]] = [(found[n + i], f"f{i}") for i in range(m)]
    results += [(found[n + m + i], f"y{i}") for i in range(k)]
    kept = [f"t{states.index(value)}" if value in states else f"k{fresh.index(value)}" for value in loop.kept]
    pointers = (
        _names("s", loop.states) + _names("x", loop.inputs) + _names("d", loop.states) + _names("e", loop.outputs)
    )
    writer = _Writer(loop, loop.backward, pointers + kept, results)
    lines, table = writer.lines, loop.table
    given = n + m + len(fresh)  # the number of the first input
    gradients = given + k + (table is not None)
    writer.begin(gradients + m + o, f"((XLA_FFI_Buffer*)frame->args.args[{n}])")
    for i, size in enumerate(loop.states):
        writer.scratch(f"d{i}", size)
        writer.scratch(f"f{i}", size)
    for i, size in enumerate(loop.outputs):
        writer.scratch(f"unscored{i}", size)
        lines.append(f"std::memset(unscored{i}, 0, {4 * size});")
    inputs = loop.backward.inputs[n + m : n + m + k]
    reads = any(value in equation.inputs for equation in loop.backward.equations for value in inputs)
    if table is not None:
        writer.tables(given, given + k, read=reads)
        writer.scratch("gathered", table.floats)
        lines.append(f"std::memset(gathered, 0, {4 * table.floats});")
        for i, (begin, end) in enumerate(zip(table.places, table.places[1:], strict=False)):
            writer.scratch(f"y{i}", (end - begin) * loop.columns)
            lines.append(f"std::memset(y{i}, 0, {4 * (end - begin) * loop.columns});")
    lines.append("for (long g = 0; g < blocks; g++) {")
    for i, size in enumerate(loop.states):
        lines.append(f"std::memcpy(d{i}, {_argument(gradients + i)} + g * {size}, {4 * size});")
    lines.append("for (long t = time - 1; t >= 0; t--) {")
    for i, size in enumerate(loop.states):
        lines.append(_slice(f"s{i}", _argument(n + i), size, "time + 1"))
        lines.append(f"float* const t{i} = s{i} + {size};")
    lines += [
        _slice(f"k{i}", _argument(n + m + i), arrays.size(value.shape, loop.columns)) for i, value in enumerate(fresh)
    ]
    if reads:
        writer.inputs(given)
    if table is None:
        lines += [_slice(f"y{i}", _result(n + m + i), size) for i, size in enumerate(loop.inputs)]
    for i, size in enumerate(loop.outputs):
        lines.append(_slice(f"of{i}", _argument(gradients + m + i), size, "time - first", "t - first"))
        lines.append(f"float* const e{i} = t < first ? unscored{i} : of{i};")
    lines += writer.step.body()
    lines += [f"std::memcpy(d{i}, f{i}, {4 * size});" for i, size in enumerate(loop.states)]
    if table is not None:
        for i, (begin, end) in enumerate(zip(table.places, table.places[1:], strict=False)):
            lines.append(f"transpose({end - begin}, COLUMNS, y{i}, COLUMNS, lines + {begin}, {table.width});")
        lines.append(table.call("look_back", f"gathered, {table.width}, lines"))
    lines.append("}")
    for i, size in enumerate(loop.states):
        lines.append(f"std::memcpy({_result(n + i)} + g * {size}, d{i}, {4 * size});")
    lines += ["}", *writer.step.after]
    lines += [writer.step.give(i, found[i]) for i in range(n)]
    if table is not None:
        for i, (rows, place) in enumerate(zip(table.rows, table.places, strict=False)):
            lines.append(
                f"transpose({table.features}, {rows}, gathered + {place}, {table.width}, {_result(n + m + i)}, {table.features});"
            )
    return writer.source()
