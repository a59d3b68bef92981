"""The C++ of a kernel's small parts: names, loops, reads, writes, numbers, and the entry point."""

import math
from collections.abc import Callable

import numpy as np

from capax.fused.program import Constant
from capax.fused.views import View


class Names:
    """Gives names that no other variable has."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"


def handler(tile: int, floats: str, lines: list[str]) -> str:
    """A C++ file whose entry point, called by XLA, has so many floats of scratch memory and does
    the lines."""
    return "\n".join(
        [
            f"#define TILE {tile}",
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


def loops(
    names: Names,
    like: View,
    body: Callable[[list[str]], list[str]],
    around: Callable[[list[str]], tuple[list[str], list[str]]] = lambda index: ([], []),
) -> str:
    """Nested loops over all axes of `like`.

    The samples' axis is innermost, by vectors, and its index counts samples. `around` gives what
    comes before and after that loop.
    """
    index, lines, depth = ["0"] * len(like.shape), ["{"], 1
    for axis, length in enumerate(like.shape):
        if axis != like.samples and length != 1:
            index[axis] = names("i")
            lines.append(f"for (int {index[axis]} = 0; {index[axis]} < {length}; {index[axis]}++) {{")
            depth += 1
    before, after = around(index)
    lines += before
    if like.samples is not None:
        c = index[like.samples] = names("c")
        lines.append(f"for (int {c} = 0; {c} < TILE; {c} += LANES) {{")
        after.insert(0, "}")
    return "\n".join([*lines, *body(index), *after, "}" * depth])


def read(view: View, index: list[str], vector: bool) -> str:
    """The expression that reads an element, or a vector of LANES samples."""
    cast = "(const int32_t*)" if view.kind == "int32_t" else ""
    address = f"{cast}({view.at(index)})" if cast else view.at(index)
    if not vector:
        return f"({address})[0]"
    return f"splat(({address})[0])" if view.is_spread else f"load({address})"


def write(view: View, index: list[str], vector: bool, value: str) -> str:
    """The statement that writes an element, or a vector of LANES samples."""
    cast = "(int32_t*)" if view.kind == "int32_t" else ""
    return f"store({cast}({view.at(index)}), {value});" if vector else f"({cast}({view.at(index)}))[0] = {value};"


def number(operand: Constant, vector: bool) -> str:
    """A number that is written in the program."""
    value = np.asarray(operand.value)
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
