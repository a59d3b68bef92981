"""The C++ of a kernel: names, buffers, loops, reads and writes, and how the pieces make a source file."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from capax.fused.arrays import COLUMNS_TRACED, Unsupported, View, dense, size
from capax.fused.program import Constant, Operand, Value


@dataclasses.dataclass
class Item:
    """A piece of the loop's body with the buffers that it touches."""

    code: str
    buffers: set[str]


def has_samples(operand: Operand) -> bool:
    """Whether a value has an axis of samples."""
    return COLUMNS_TRACED in operand.shape


def handler(columns: int, floats: str, lines: list[str]) -> str:
    """A C++ file whose entry point, called by XLA, has scratch memory of so many floats and does the lines."""
    return "\n".join(
        [
            f"#define COLUMNS {columns}",
            '#include "runtime.h"',
            '#include "xla/ffi/api/c_api.h"',
            'extern "C" XLA_FFI_Error* capax_kernel(XLA_FFI_CallFrame* frame) {',
            "if (frame->extension_start && frame->extension_start->type == XLA_FFI_Extension_Metadata) {",
            "auto* metadata = ((XLA_FFI_Metadata_Extension*)frame->extension_start)->metadata;",
            "metadata->api_version.major_version = XLA_FFI_API_MAJOR;",
            "metadata->api_version.minor_version = XLA_FFI_API_MINOR;",
            "metadata->traits = 0;",
            "return nullptr;",
            "}",
            "if (frame->stage != XLA_FFI_ExecutionStage_EXECUTE) return nullptr;",
            "static thread_local Scratch memory;",
            f"float* const scratch = memory.get((size_t)({floats}));",
            *lines,
            "return nullptr;",
            "}\n",
        ]
    )


class Code:
    """What has been written so far: `before` the loop over blocks, in the `loop`, `after` it."""

    def __init__(self, columns: int):
        self.columns = columns
        self.views: dict[Value, View] = {}
        self.before: list[str] = []
        self.loop: list[Item] = []
        self.after: list[str] = []
        self.sizes: dict[str, int] = {}  # of buffers that live for one block
        self.kept: dict[str, int] = {}  # of buffers that live for the whole call
        self.sums: list[tuple[str, str]] = []  # accumulators: name, and how many numbers, a C++ expression
        self.widest = 0  # columns of the widest operand that is transposed
        self.inputs_of_blocks: frozenset[str] = frozenset()
        self.kind_of_input: list[str] = []
        self._names = 0

    def name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def buffer(self, value_shape: tuple[int, ...], kind: str) -> View:
        """A buffer of its own: for one block if it has samples, else for the whole call."""
        name = self.name("b")
        shape = value_shape
        (self.sizes if COLUMNS_TRACED in shape else self.kept)[name] = size(shape, self.columns)
        return View(name, 0, shape, dense(shape, self.columns), "float" if kind == "float" else "int32_t")

    def loops(
        self,
        shape: tuple[int, ...],
        body: Callable[[list[str]], list[str]],
        around: Callable[[list[str]], tuple[list[str], list[str]]] = lambda index: ([], []),
    ) -> str:
        """Nested loops over all axes; the samples' is innermost, by vectors, and its index counts samples.

        `around` gives what comes before and after the loop over samples."""
        index, lines, depth = ["0"] * len(shape), ["{"], 1
        column = shape.index(COLUMNS_TRACED) if COLUMNS_TRACED in shape else None
        for axis, length in enumerate(shape):
            if axis != column and length != 1:
                index[axis] = self.name("i")
                lines.append(f"for (int {index[axis]} = 0; {index[axis]} < {length}; {index[axis]}++) {{")
                depth += 1
        before, after = around(index)
        lines += before
        if column is not None:
            index[column] = self.name("c")
            lines.append(f"for (int {index[column]} = 0; {index[column]} < COLUMNS; {index[column]} += LANES) {{")
            after.insert(0, "}")
        return "\n".join([*lines, *body(index), *after, "}" * depth])

    def read(self, view: View, index: list[str], vector: bool) -> str:
        """The expression that reads an element, or a vector of LANES samples."""
        cast = "(const int32_t*)" if view.kind == "int32_t" else ""
        if not vector:
            return f"({cast}({view.at(index)}))[0]" if cast else f"({view.at(index)})[0]"
        column = view.column_axis
        if column is None or view.strides[column] == 0:
            return f"splat(({cast}({view.at(index)}))[0])"
        return f"load({cast}({view.at(index)}))"

    def write(self, view: View, index: list[str], vector: bool, value: str) -> str:
        cast = "(int32_t*)" if view.kind == "int32_t" else ""
        return f"store({cast}({view.at(index)}), {value});" if vector else f"({cast}({view.at(index)}))[0] = {value};"

    @staticmethod
    def constant(operand: Constant, vector: bool) -> str:
        value = np.asarray(operand.value)
        if value.ndim:
            raise Unsupported("an array written in the program")
        if operand.kind == "bool":
            text = "(int32_t)-1" if bool(value) else "(int32_t)0"
        elif operand.kind == "int32_t":
            text = f"(int32_t){int(value)}"
        elif math.isinf(value):
            text = f"{'-' if value < 0 else ''}std::numeric_limits<float>::infinity()"
        elif math.isnan(value):
            text = "std::numeric_limits<float>::quiet_NaN()"
        else:
            text = f"{float(value).hex()}f"
        return f"splat({text})" if vector else text

    # -- the source file

    def declarations(self) -> tuple[list[str], str]:
        """The buffers of this code within the scratch memory, and how many floats they take."""
        places, total = self._allocate()
        lines: list[str] = []
        kept = 0
        for name, length in self.kept.items():
            lines.append(f"float* const {name} = scratch + {kept};")
            kept += -(-length // 16) * 16
        lines += [f"float* const {name} = scratch + {kept + place};" for name, place in places.items()]
        extent = " + ".join(["0", *(f"({floats})" for _, floats in self.sums)])
        offset = "0"
        for name, floats in self.sums:
            lines.append(f"float* const {name} = scratch + {kept + total} + {offset};")
            offset = f"{offset} + ({floats})"
        lines.append(f"float* const turned = scratch + {kept + total} + {extent};")
        lines.append(f"std::memset(scratch + {kept + total}, 0, 4 * (size_t)({extent}));")
        turned = f"COLUMNS * (({self.widest} + LANES - 1) / LANES * LANES)"
        return lines, f"{kept + total} + {extent} + {turned}"

    def body(self) -> list[str]:
        """What is done for each block."""
        return [f"{{\n{item.code}\n}}" for item in self.loop]

    def source(self, inputs: list[tuple[View, bool]], results: list[Operand]) -> str:
        """The whole C++ file. `inputs`: each argument's view and whether it has samples, in order."""
        lines, floats = self.declarations()
        rows = []
        for number, (view, samples) in enumerate(inputs):
            argument = f"((XLA_FFI_Buffer*)frame->args.args[{number}])"
            lines.append(f"const void* const a{number} = {argument}->data;")
            if samples:
                rows.append((number, view))
                lines.append(f"const long n{number} = {argument}->dims[{argument}->rank - 1];")
            else:
                lines.append(self.take(number, view))
        lines += self.before
        lines.append(f"const long count = *(const int32_t*)((XLA_FFI_Buffer*)frame->args.args[{len(inputs)}])->data;")
        lines.append(f"const long end = count < n{rows[0][0]} ? count : n{rows[0][0]};")
        lines.append("for (long start = 0; start < end; start += COLUMNS) {")
        lines += [self._take_block(number, view) for number, view in rows]
        lines += [*self.body(), "}", *self.after]
        lines += [self.give(number, operand) for number, operand in enumerate(results)]
        return handler(self.columns, floats, lines)

    def _allocate(self) -> tuple[dict[str, int], int]:
        """Offsets of the buffers that live within a block: those whose lives do not meet share memory."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for number, item in enumerate(self.loop):
            for name in item.buffers & set(self.sizes):
                first.setdefault(name, number)
                last[name] = number
        for name in self.sizes:
            if name in self.inputs_of_blocks:
                first[name] = -1
                last.setdefault(name, -1)
        free: dict[int, list[int]] = {}
        places: dict[str, int] = {}
        total = 0
        ends: dict[int, list[str]] = {}
        for name in sorted((name for name in self.sizes if name in first), key=lambda name: (first[name], name)):
            for end in [end for end in ends if end < first[name]]:
                for ended in ends.pop(end):
                    free.setdefault(self.sizes[ended], []).append(places[ended])
            spare = free.get(self.sizes[name], [])
            if spare:
                places[name] = spare.pop()
            else:
                places[name], total = total, total + -(-self.sizes[name] // 16) * 16
            ends.setdefault(last[name], []).append(name)
        return places, total

    def take(self, number: int, view: View) -> str:
        """An argument without samples, into the kernel's own memory."""
        length = math.prod(view.shape)
        if self.kind_of_input[number] == "bool":
            return f"for (int i = 0; i < {length}; i++) ((int32_t*){view.base})[i] = -(int32_t)((const uint8_t*)a{number})[i];"
        return f"std::memcpy({view.base}, a{number}, {4 * length});"

    def _take_block(self, number: int, view: View) -> str:
        """A block of an argument with samples."""
        length = math.prod(n for n in view.shape if n != COLUMNS_TRACED)
        if self.kind_of_input[number] == "bool":
            to, of = (
                f"((int32_t*){view.base})[i * COLUMNS + c]",
                f"((const uint8_t*)a{number})[i * n{number} + start + c]",
            )
            inner = f"for (int c = 0; c < COLUMNS; c++) {to} = -(int32_t){of};"
        else:
            inner = (
                f"std::memcpy({view.base} + i * COLUMNS, (const float*)a{number} + i * n{number} + start, 4 * COLUMNS);"
            )
        return f"for (long i = 0; i < {length}; i++) {inner}"

    def give(self, number: int, operand: Operand) -> str:
        result = f"(float*)((XLA_FFI_Buffer*)frame->rets.rets[{number}])->data"
        if operand.kind != "float" or has_samples(operand):
            raise Unsupported("an output that is not a sum of numbers")
        to = View(f"r{number}", 0, operand.shape, dense(operand.shape, self.columns), "float")
        if isinstance(operand, Constant):
            text = self.loops(
                operand.shape, lambda index: [self.write(to, index, False, self.constant(operand, False))]
            )
        else:
            view = self.views[operand]
            text = self.loops(view.shape, lambda index: [self.write(to, index, False, self.read(view, index, False))])
        return f"{{ float* const r{number} = {result};\n{text}\n}}"
