"""From a traced function of a block of samples to a C++ kernel that runs through all blocks.

The samples are the last axis of some inputs. Whatever does not depend on them is computed once, before the loop over
blocks; what is summed over them is gathered in the loop; what depends on the sums follows after it. Inside the loop every
array of a block stays in cache, elementwise operations run together, one pass per group, as late as they can, and sums of
outer products over time steps (weight gradients) are done together. Nothing here knows of any cell.
"""

import dataclasses
import math
import subprocess
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capax.training.fused import library
from capax.training.fused.arrays import COLUMNS_TRACED, Unsupported, View, dense, size
from capax.training.fused.operations import CHEAP, ELEMENTWISE, expression
from capax.training.fused.program import Constant, Equation, Operand, Traced, Value, trace

WIDE = 32
"""Columns of an outer product from which its second operand is transposed."""
BLOCKS = (48, 32, 64, 16)
"""Samples in a block: the first that divides their number."""


@dataclasses.dataclass
class _Item:
    """A piece of the loop's body with the buffers that it touches."""

    code: str
    buffers: set[str]


class _Writer:
    """Writes the kernel of a traced program."""

    def __init__(self, traced: Traced, columns: int):
        self.traced, self.columns = traced, columns
        self.views: dict[Value, View] = {}
        self.before: list[str] = []
        self.loop: list[_Item] = []
        self.after: list[str] = []
        self.sizes: dict[str, int] = {}  # of buffers that live for one block
        self.kept: dict[str, int] = {}  # of buffers that live for the whole call
        self.producer = {output: equation for equation in traced.equations for output in equation.outputs}
        self.consumers: dict[Value, list[Equation]] = {}
        for equation in traced.equations:
            for operand in equation.inputs:
                if isinstance(operand, Value):
                    self.consumers.setdefault(operand, []).append(equation)
        self.late: set[Value] = set()
        self.emitted: set[Equation] = set()
        self.outputs = {output for output in traced.outputs if isinstance(output, Value)}
        self.joined: dict[Equation, list[Equation]] = {}
        self.place: dict[Value, View] = {}  # where a value is to be written, if that is fixed
        self._names = 0

    # -- names, buffers, loops

    def name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def buffer(self, value_shape: tuple[int, ...], kind: str) -> View:
        """A buffer of its own: for one block if it has samples, else for the whole call."""
        name = self.name("b")
        shape = value_shape
        (self.sizes if COLUMNS_TRACED in shape else self.kept)[name] = size(shape, self.columns)
        return View(name, 0, shape, dense(shape, self.columns), "float" if kind == "float" else "int32_t")

    def target(self, value: Value) -> View:
        return self.place[value] if value in self.place else self.buffer(value.shape, value.kind)

    def loops(self, shape: tuple[int, ...], body: Callable[[list[str]], list[str]]) -> str:
        """Nested loops over all axes; the samples' is innermost, by vectors, and its index counts samples."""
        index, lines, depth = ["0"] * len(shape), ["{"], 1
        column = shape.index(COLUMNS_TRACED) if COLUMNS_TRACED in shape else None
        for axis, length in enumerate(shape):
            if axis != column and length != 1:
                index[axis] = self.name("i")
                lines.append(f"for (int {index[axis]} = 0; {index[axis]} < {length}; {index[axis]}++) {{")
                depth += 1
        if column is not None:
            index[column] = self.name("c")
            lines.append(f"for (int {index[column]} = 0; {index[column]} < COLUMNS; {index[column]} += LANES) {{")
            depth += 1
        return "\n".join([*lines, *body(index), "}" * depth])

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

    # -- the program

    def write_program(self, inputs: list[View]) -> None:
        self.views.update(
            zip([*self.traced.inputs, *(value for value, _ in self.traced.constants)], inputs, strict=True)
        )
        self._find_late()
        self._join()
        self._place()
        for equation in self.traced.equations:
            if self._has_samples(equation.outputs[0]):
                if equation.name not in ELEMENTWISE and not self._is_view(equation):
                    self.materialise(equation.outputs[0])
            elif equation.outputs[0] not in self.late:
                self.before.append(self._plain(equation))
            elif self._sums_samples(equation):
                self._reduction(equation)
        for equation in self.traced.equations:  # sums that found no group to go along with
            if self._sums_samples(equation) and equation.name == "reduce_sum" and equation not in self.emitted:
                self._group(None, [equation])
        for equation in self.traced.equations:
            late = equation.outputs[0] in self.late and not self._sums_samples(equation)
            if late and equation not in self.emitted:
                self.after.append(self._plain(equation))

    @staticmethod
    def _has_samples(operand: Operand) -> bool:
        return COLUMNS_TRACED in operand.shape

    def _sums_samples(self, equation: Equation) -> bool:
        return not self._has_samples(equation.outputs[0]) and any(map(self._has_samples, equation.inputs))

    def _find_late(self) -> None:
        for equation in self.traced.equations:
            late = any(operand in self.late for operand in equation.inputs)
            if self._has_samples(equation.outputs[0]):
                if late:
                    raise Unsupported("samples that depend on a sum over samples")
            elif late or self._sums_samples(equation):
                self.late |= set(equation.outputs)

    # -- sums over samples

    def _join(self) -> None:
        """Outer products whose sums are only added to each other are gathered as one."""
        group: dict[Value, list[Equation]] = {}
        for equation in self.traced.equations:
            if equation.name == "dot_general" and self._sums_samples(equation):
                group[equation.outputs[0]] = [equation]
            elif equation.name in ("add_any", "add") and all(
                isinstance(operand, Value) and operand in group and len(self.consumers[operand]) == 1
                and operand not in self.outputs
                for operand in equation.inputs
            ):  # fmt: skip
                a, b = equation.inputs
                if a is not b and self._outer_shape(group[a][0]) == self._outer_shape(group[b][0]):  # pyright: ignore
                    group[equation.outputs[0]] = group.pop(a) + group.pop(b)  # pyright: ignore
                    self.emitted.add(equation)
        order = {equation: number for number, equation in enumerate(self.traced.equations)}
        self._result = {}
        for value, members in group.items():
            last = max(members, key=order.__getitem__)
            self.joined[last] = sorted(members, key=order.__getitem__)
            self._result[last] = value

    def _outer_shape(self, equation: Equation) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(operand.shape[axis] for axis in free) for operand, free, _ in self._dot_sides(equation))

    @staticmethod
    def _dot_sides(equation: Equation) -> list[tuple[Operand, list[int], list[int]]]:
        """For both operands of a dot_general: it, its free axes, its contracted axes."""
        contract, batch = equation.params["dimension_numbers"]
        if any(batch):
            raise Unsupported("a batched product")
        sides = []
        for operand, axes in zip(equation.inputs, contract, strict=True):
            free = [axis for axis in range(len(operand.shape)) if axis not in axes]
            sides.append((operand, free, list(axes)))
        return sides

    def _reduction(self, equation: Equation) -> None:
        if equation.name == "dot_general":
            for operand, _, _ in self._dot_sides(equation):
                self.solid(operand)
            if equation in self.joined:
                self._outer(self.joined[equation], self._result[equation])
        elif equation.name == "reduce_sum":
            self.prepare(equation.inputs[0])
        else:
            raise Unsupported(f"{equation.name} over the samples")

    def _outer(self, members: list[Equation], result: Value) -> None:
        """Gather total[m, n] += sum over samples a[m, :] b[n, :] for all members."""
        pairs: dict[tuple[int, int], list[tuple[str, str]]] = {}
        buffers: set[str] = set()
        rows = columns = 1
        for equation in members:
            (a, a_free, a_axes), (b, b_free, b_axes) = self._dot_sides(equation)
            va, vb = self.solid(a), self.solid(b)
            buffers |= {va.base, vb.base}
            rows, am = self._single([(va.shape[i], va.strides[i]) for i in a_free])
            columns, bn = self._single([(vb.shape[i], vb.strides[i]) for i in b_free])
            steps = [(i, j) for i, j in zip(a_axes, b_axes, strict=True) if va.shape[i] not in (1, COLUMNS_TRACED)]
            starts = [(va.offset, vb.offset)]
            for i, j in steps:
                starts = [(x + t * va.strides[i], y + t * vb.strides[j]) for x, y in starts for t in range(va.shape[i])]
            pairs.setdefault((am, bn), []).extend((f"{va.base} + {x}", f"{vb.base} + {y}") for x, y in starts)
        out, total = self.buffer(result.shape, "float"), self.name("s")
        wide = columns >= WIDE
        padded = f"({columns} + LANES - 1) / LANES * LANES"
        self.before_sum(total, f"{rows} * ({padded})" if wide else f"{rows * columns} * LANES")
        calls = []
        for (am, bn), starts in pairs.items():
            table = ", ".join(f"{{{x}, {y}}}" for x, y in starts)
            function, extra = ("outer_wide", ", turned") if wide else ("outer_lanes", "")
            calls.append(
                f"{{ const Pair pairs[] = {{{table}}};\n"
                f"{function}({rows}, {columns}, {len(starts)}, pairs, {am}, {bn}, {total}{extra}); }}"
            )
        if wide:
            self.turned = max(getattr(self, "turned", 0), columns)
        self.loop.append(_Item("\n".join(calls), buffers))
        finish = (
            f"unpad({rows}, {columns}, {total}, {out.base});"
            if wide
            else f"fold({rows * columns}, {total}, {out.base});"
        )
        self.after.append(finish)
        self.views[result] = out

    def before_sum(self, name: str, floats: str) -> None:
        self.sums = [*getattr(self, "sums", []), (name, floats)]

    @staticmethod
    def _single(axes: list[tuple[int, int]]) -> tuple[int, int]:
        """Size and stride of the only axis that is longer than 1."""
        long = [(length, stride) for length, stride in axes if length != 1]
        if len(long) > 1:
            raise Unsupported("a product with several free axes")
        return long[0] if long else (1, 0)

    # -- values with samples

    def solid(self, operand: Operand) -> View:
        """A view whose samples lie side by side."""
        view = self.materialise(operand)
        column = view.column_axis
        if column is not None and view.strides[column] == 1:
            return view
        made = self.buffer(view.shape, view.kind)
        code = self.loops(view.shape, lambda index: [self.write(made, index, True, self.read(view, index, True))])
        self.loop.append(_Item(code, {view.base, made.base}))
        return made

    def _is_view(self, equation: Equation) -> bool:
        return equation.name in (
            "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "split", "unstack"
        ) or self._renames(equation)  # fmt: skip

    @staticmethod
    def _renames(equation: Equation) -> bool:
        return equation.name == "convert_element_type" and equation.inputs[0].kind == equation.outputs[0].kind

    def materialise(self, operand: Operand) -> View:
        """Have a value in memory; emits what that takes."""
        if isinstance(operand, Constant):
            view = self.buffer((), operand.kind)
            self.before.append(self.write(view, [], False, self.constant(operand, False)))
            return view
        if operand not in self.views:
            equation = self.producer[operand]
            if not self._has_samples(operand):
                raise Unsupported("a value that comes too late")
            if self._is_view(equation):
                self._view(equation)
            elif equation.name in ELEMENTWISE:
                self._group(operand, [])
            else:
                self._array(equation)
        return self.views[operand]

    def _view(self, equation: Equation) -> None:
        source, params = self.materialise(equation.inputs[0]), equation.params
        out = equation.outputs[0]
        name = equation.name
        if name == "broadcast_in_dim":
            made = [source.broadcast(out.shape, tuple(map(int, params["broadcast_dimensions"])))]
        elif name in ("reshape", "squeeze", "expand_dims"):
            view = source.reshaped(out.shape, self.columns)
            if view is None:
                view = self._copied(source).reshaped(out.shape, self.columns)
                assert view is not None
            made = [view]
        elif name == "transpose":
            made = [source.transposed(tuple(map(int, params["permutation"])))]
        elif name == "slice":
            view = source
            steps = params["strides"] or (1,) * len(out.shape)
            for axis, (start, step) in enumerate(zip(params["start_indices"], steps, strict=True)):
                view = view.sliced(axis, start, out.shape[axis], step)
            made = [view]
        elif name == "split":
            sizes = [int(length) for length in params["sizes"]]
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            parts = zip(starts, sizes, strict=True)
            made = [source.sliced(params["axis"], start, length) for start, length in parts]
        elif name == "unstack":
            axis = params["axis"]
            made = [source.sliced(axis, i, 1).without(axis) for i in range(source.shape[axis])]
        else:
            made = [source]
        self.views.update(zip(equation.outputs, made, strict=True))

    def _copied(self, source: View) -> View:
        made = self.buffer(source.shape, source.kind)
        vector = source.column_axis is not None
        code = self.loops(
            source.shape, lambda index: [self.write(made, index, vector, self.read(source, index, vector))]
        )
        if vector:
            self.loop.append(_Item(code, {source.base, made.base}))
        else:
            self.before.append(code)
        return made

    def _array(self, equation: Equation) -> None:
        """A value with samples that is neither elementwise nor a view."""
        out = equation.outputs[0]
        if equation.name == "dot_general":
            self._product(equation)
            return
        if equation.name in ("concatenate", "stack"):
            made = self.place.get(out) or self.target(out)
            for operand, part in zip(equation.inputs, self._parts(equation, made), strict=True):
                view = self.materialise(operand)
                if (view.base, view.offset, view.strides) != (part.base, part.offset, part.strides):
                    self._copy(view, part)
        elif equation.name == "pad":
            made = self.target(out)
            self._pad(equation, made, self.materialise(equation.inputs[0]))
        elif equation.name == "reduce_sum":
            made = self.target(out)
            self._sum_rows(equation, made)
        else:
            raise Unsupported(equation.name)
        self.views[out] = made

    def _parts(self, equation: Equation, whole: View) -> list[View]:
        """Where the operands of a concatenation lie in the whole."""
        if equation.name == "stack":
            axis = equation.params["axis"]
            return [whole.sliced(axis, i, 1).without(axis) for i in range(len(equation.inputs))]
        axis, start, parts = equation.params["dimension"], 0, []
        for operand in equation.inputs:
            parts.append(whole.sliced(axis, start, operand.shape[axis]))
            start += operand.shape[axis]
        return parts

    def _place(self) -> None:
        """Elementwise values that go into a concatenation alone are written where they belong."""
        for equation in self.traced.equations:
            if equation.name not in ("concatenate", "stack") or not self._has_samples(equation.outputs[0]):
                continue
            whole = self.buffer(equation.outputs[0].shape, equation.outputs[0].kind)
            self.place[equation.outputs[0]] = whole
            for operand, part in zip(equation.inputs, self._parts(equation, whole), strict=True):
                source = self.producer.get(operand) if isinstance(operand, Value) else None
                if source is not None and source.name in ELEMENTWISE and not self._renames(source):
                    self.place.setdefault(operand, part)  # pyright: ignore[reportArgumentType]

    def _copy(self, source: View, to: View) -> None:
        code = self.loops(to.shape, lambda index: [self.write(to, index, True, self.read(source, index, True))])
        self.loop.append(_Item(code, {source.base, to.base}))

    def _pad(self, equation: Equation, made: View, source: View) -> None:
        filler = equation.inputs[1]
        if any(low < 0 or high < 0 or inner for low, high, inner in equation.params["padding_config"]):
            raise Unsupported("a pad that cuts or spreads")
        inside = made
        for axis, (low, _, _) in enumerate(equation.params["padding_config"]):
            if made.shape[axis] != COLUMNS_TRACED:
                inside = inside.sliced(axis, low, source.shape[axis])
        vector = made.column_axis is not None
        if isinstance(filler, Constant):
            fill = self.constant(filler, vector)
        else:
            fill = self.read(self.materialise(filler), [], False)
            fill = f"splat({fill})" if vector else fill
        code = [self.loops(made.shape, lambda index: [self.write(made, index, vector, fill)])]
        code.append(
            self.loops(
                source.shape, lambda index: [self.write(inside, index, vector, self.read(source, index, vector))]
            )
        )
        if vector:
            self.loop.append(_Item("\n".join(code), {source.base, made.base}))
        else:
            self.before.append("\n".join(code))

    def _sum_rows(self, equation: Equation, made: View) -> None:
        """A sum over other axes than the samples'."""
        source, axes = self.materialise(equation.inputs[0]), equation.params["axes"]
        inner = [(axis, self.name("k")) for axis in axes if source.shape[axis] != 1]

        def body(index: list[str]) -> list[str]:
            rest, full = iter(index), [""] * len(source.shape)
            for axis in range(len(source.shape)):
                full[axis] = dict(inner).get(axis, "0") if axis in axes else next(rest)
            lines = ["V total = V{};"]
            lines += [f"for (int {name} = 0; {name} < {source.shape[axis]}; {name}++)" for axis, name in inner]
            return [*lines, f"total += {self.read(source, full, True)};", self.write(made, index, True, "total")]

        self.loop.append(_Item(self.loops(made.shape, body), {source.base, made.base}))

    def _product(self, equation: Equation) -> None:
        """A matrix of the network times an array with samples."""
        sides = self._dot_sides(equation)
        (first, first_free, _), _ = sides
        swapped = self._has_samples(first)
        (w, w_free, w_axes), (x, x_free, x_axes) = reversed(sides) if swapped else sides
        if self._has_samples(w):
            raise Unsupported("a product within samples")
        weights, values = self.materialise(w), self.solid(x)
        rows, wm = self._single([(weights.shape[i], weights.strides[i]) for i in w_free])
        pairs = [(i, j) for i, j in zip(w_axes, x_axes, strict=True) if weights.shape[i] != 1]
        if len(pairs) > 1:
            raise Unsupported("a product with several contracted axes")
        inner, wk, xk = 1, 0, 0
        if pairs:
            ((i, j),) = pairs
            inner, wk, xk = weights.shape[i], weights.strides[i], values.strides[j]
        others = [axis for axis in x_free if values.shape[axis] not in (1, COLUMNS_TRACED)]
        out = equation.outputs[0]
        # Rows first, then the other axes, the samples innermost, whatever the order of axes that JAX asks for.
        order = [*w_free, *x_free]
        physical = self.buffer(tuple([weights.shape[i] for i in w_free] + [values.shape[i] for i in x_free]), out.kind)
        del order, first_free
        count = len(w_free)
        axes = (
            tuple(range(count, count + len(x_free))) + tuple(range(count))
            if swapped
            else tuple(range(count + len(x_free)))
        )
        self.views[out] = physical.transposed(axes)
        om = self._single([(physical.shape[i], physical.strides[i]) for i in range(count)])[1]
        begin, bm, reads = "nullptr", 0, set()
        names = {axis: self.name("f") for axis in others}
        opening = [f"for (int {name} = 0; {name} < {values.shape[axis]}; {name}++)" for axis, name in names.items()]
        x_at = " + ".join([values.base, str(values.offset), *(f"{names[a]} * {values.strides[a]}" for a in others)])
        out_at = " + ".join(
            [physical.base, *(f"{names[a]} * {physical.strides[count + x_free.index(a)]}" for a in others)]
        )
        if swapped is False and not others:
            begin, bm, reads = self._beginning(equation, rows)
        call = f"product({rows}, {inner}, {weights.base} + {weights.offset}, {wm}, {wk}, {x_at}, {xk}, {begin}, {bm}, {out_at}, {om});"
        self.loop.append(_Item("\n".join([*opening, call]), {values.base, physical.base, *reads}))

    def _beginning(self, equation: Equation, rows: int) -> tuple[str, int, set[str]]:
        """Where a product is only added to something that lies in memory, the sum begins with that."""
        out = equation.outputs[0]
        if len(self.consumers[out]) != 1 or len(out.shape) != 2 or out in self.outputs:
            return "nullptr", 0, set()
        (use,) = self.consumers[out]
        if use.name not in ("add", "add_any") or use.inputs[0] is use.inputs[1] or use in self.emitted:
            return "nullptr", 0, set()
        other = use.inputs[1] if use.inputs[0] is out else use.inputs[0]
        view = self.views.get(other) if isinstance(other, Value) else None
        if view is None or view.column_axis is None or view.strides[view.column_axis] != 1 or view.shape != out.shape:
            return "nullptr", 0, set()
        self.views[use.outputs[0]] = self.views[out]
        self.emitted.add(use)
        return (
            f"{view.base} + {view.offset}",
            self._single([(view.shape[0], view.strides[0])])[1] if rows > 1 else 0,
            {view.base},
        )

    # -- groups of elementwise operations

    def _ancestors(self, value: Operand) -> list[Equation]:
        """The elementwise equations, not yet done, of the same shape, that a value needs."""
        found: dict[Equation, None] = {}
        stack = [value]
        while stack:
            operand = stack.pop()
            if not isinstance(operand, Value) or operand in self.views:
                continue
            equation = self.producer.get(operand)
            if equation is None or equation.name not in ELEMENTWISE or self._renames(equation) or equation in found:
                continue
            if operand.shape != value.shape:
                continue
            found[equation] = None
            stack.extend(equation.inputs)
        return list(found)

    def prepare(self, value: Operand) -> None:
        """Have in memory whatever the elementwise ancestors of a value take from elsewhere."""
        done = False
        while not done:
            done = True
            group = self._ancestors(value)
            own = {equation.outputs[0] for equation in group}
            if not group and isinstance(value, Value) and value not in self.views:
                self.materialise(value)
            for equation in group:
                for operand in equation.inputs:
                    if isinstance(operand, Value) and operand not in own and operand not in self.views:
                        self.materialise(operand)
                        done = False
                        break
                if not done:
                    break

    def _ready(self, group: list[Equation]) -> bool:
        own = {equation.outputs[0] for equation in group}
        return all(
            isinstance(operand, Constant) or operand in own or operand in self.views
            for equation in group
            for operand in equation.inputs
        )

    def _group(self, value: Value | None, sums: list[Equation]) -> None:
        """One pass over memory: an elementwise value, its ancestors, and sums over samples that use them."""
        first = value if value is not None else sums[0].inputs[0]
        self.prepare(first)
        if value is not None and value in self.views:
            return
        shape = first.shape
        group = dict.fromkeys(self._ancestors(first))
        sinks = list(sums)
        for equation in self.traced.equations:
            if equation.name != "reduce_sum" or equation in self.emitted or equation in sinks:
                continue
            if not self._sums_samples(equation) or equation.inputs[0].shape != shape:
                continue
            needed = self._ancestors(equation.inputs[0])
            touches = any(e in group for e in needed) or (
                not needed and value is None and equation.inputs[0] in self.views
            )
            if touches and self._ready(needed):
                sinks.append(equation)
                group |= dict.fromkeys(needed)
        order = {equation: number for number, equation in enumerate(self.traced.equations)}
        equations = sorted(group, key=order.__getitem__)
        stored = self._stored(equations, set(sinks), value)
        targets = {kept: self.target(kept) for kept in stored}
        totals = {sink: self._total(sink) for sink in sinks}
        buffers = {view.base for view in targets.values()}

        def body(index: list[str]) -> list[str]:
            lines: list[str] = []
            names: dict[Value, str] = {}

            def term(operand: Operand) -> str:
                if isinstance(operand, Constant):
                    return self.constant(operand, True)
                if operand not in names:
                    view = self.views[operand]
                    buffers.add(view.base)
                    names[operand] = self.name("x")
                    lines.append(f"const auto {names[operand]} = {self.read(view, index if view.shape else [], True)};")
                return names[operand]

            for equation in equations:
                terms = [term(operand) for operand in equation.inputs]
                kinds = [operand.kind for operand in equation.inputs]
                out = equation.outputs[0]
                text = expression(equation.name, equation.params, terms, kinds)
                names[out] = self.name("x")
                lines.append(f"const auto {names[out]} = {text};")
                if out in targets:
                    lines.append(self.write(targets[out], index, True, names[out]))
            for sink, (total, strides) in totals.items():
                operand = term(sink.inputs[0])
                position = " + ".join(
                    ["0", *(f"{name} * {stride}" for name, stride in zip(index, strides, strict=True) if stride)]
                )
                at = f"{total} + ({position}) * LANES"
                lines.append(f"store({at}, load({at}) + {operand});")
            return lines

        self.loop.append(_Item(self.loops(shape, body), buffers))
        self.views |= targets
        self.emitted |= set(sinks)

    def _total(self, sink: Equation) -> tuple[str, list[int]]:
        """The accumulator of a sum over samples, and its strides over the axes of what is summed."""
        source, axes, out = sink.inputs[0], sink.params["axes"], sink.outputs[0]
        if source.kind != "float":
            raise Unsupported(f"a sum of {source.kind}")
        strides, width = [0] * len(source.shape), 1
        for axis in reversed(range(len(source.shape))):
            if axis not in axes:
                strides[axis] = width
                width *= source.shape[axis]
        name, made = self.name("s"), self.buffer(out.shape, "float")
        self.before_sum(name, f"{width} * LANES")
        self.after.insert(0, f"fold({width}, {name}, {made.base});")
        self.views[out] = made
        return name, strides

    def _stored(self, equations: list[Equation], sinks: set[Equation], value: Value | None) -> list[Value]:
        """Which values of a group are kept in memory: those needed later that are not cheaper to compute again."""
        inside = set(equations) | sinks
        cost: dict[Value, int] = {}  # of computing a value again from memory; absent: it is kept
        for equation in equations:
            out = equation.outputs[0]
            again = 1 + sum(cost.get(operand, 0) for operand in equation.inputs if isinstance(operand, Value))
            if equation.name in CHEAP and again <= 3 and out not in self.place and out is not value:
                cost[out] = again
        wanted: set[Value] = {value} if value is not None else set()
        for equation in reversed(equations):
            out = equation.outputs[0]
            later = any(use not in inside and use not in self.emitted for use in self.consumers.get(out, []))
            again = any(
                use in inside and use.outputs[0] in cost and use.outputs[0] in wanted
                for use in self.consumers.get(out, [])
            )
            if later or again:
                wanted.add(out)
        return [e.outputs[0] for e in equations if e.outputs[0] in wanted and e.outputs[0] not in cost]

    # -- values without samples

    def _plain(self, equation: Equation) -> str:
        """The code of an operation on arrays without samples; none for a view."""
        out = equation.outputs[0]
        if self._is_view(equation):
            before, self.before = self.before, []
            self._view(equation)
            code, self.before = "\n".join(self.before), before
            return code
        before, self.before = self.before, []
        made = self.buffer(out.shape, out.kind)
        name = equation.name

        def operand_at(operand: Operand, index: list[str]) -> str:
            if isinstance(operand, Constant):
                return self.constant(operand, False)
            view = self.views[operand]
            return self.read(view, index if view.shape else [], False)

        if name in ELEMENTWISE:
            kinds = [operand.kind for operand in equation.inputs]

            def body(index: list[str]) -> list[str]:
                terms = [operand_at(operand, index) for operand in equation.inputs]
                return [self.write(made, index, False, expression(name, equation.params, terms, kinds))]

            code = self.loops(out.shape, body)
        elif name == "iota":
            axis = equation.params["dimension"]
            code = self.loops(out.shape, lambda index: [self.write(made, index, False, f"({made.kind}){index[axis]}")])
        elif name in ("concatenate", "stack"):
            parts = zip(equation.inputs, self._parts(equation, made), strict=True)
            code = "\n".join(
                self.loops(part.shape, lambda index: [self.write(part, index, False, operand_at(operand, index))])  # noqa: B023
                for operand, part in parts
            )
        elif name == "pad":
            self._pad(equation, made, self.materialise(equation.inputs[0]))
            code = ""
        elif name == "reduce_sum":
            code = self._plain_sum(made, [(equation.inputs[0], equation.params["axes"])])
        elif name == "dot_general":
            code = self._plain_product(equation, made)
        else:
            raise Unsupported(name)
        self.views[out] = made
        code, self.before = "\n".join([*self.before, code]), before
        return code

    def _plain_sum(self, made: View, factors: list[tuple[Operand, tuple[int, ...]]]) -> str:
        ((operand, axes),) = factors
        view = self.materialise(operand)
        inner = {axis: self.name("k") for axis in axes}

        def body(index: list[str]) -> list[str]:
            rest = iter(index)
            full = [inner[axis] if axis in inner else next(rest) for axis in range(len(view.shape))]
            loops = [f"for (int {name} = 0; {name} < {view.shape[axis]}; {name}++)" for axis, name in inner.items()]
            return [
                "float total = 0;",
                *loops,
                f"total += {self.read(view, full, False)};",
                self.write(made, index, False, "total"),
            ]

        return self.loops(made.shape, body)

    def _plain_product(self, equation: Equation, made: View) -> str:
        (a, a_free, a_axes), (b, b_free, b_axes) = self._dot_sides(equation)
        va, vb = self.materialise(a), self.materialise(b)
        inner = [self.name("k") for _ in a_axes]

        def body(index: list[str]) -> list[str]:
            left, right = index[: len(a_free)], index[len(a_free) :]
            ia, ib = [""] * len(va.shape), [""] * len(vb.shape)
            for axis, name in [*zip(a_free, left, strict=True), *zip(a_axes, inner, strict=True)]:
                ia[axis] = name
            for axis, name in [*zip(b_free, right, strict=True), *zip(b_axes, inner, strict=True)]:
                ib[axis] = name
            loops = [
                f"for (int {name} = 0; {name} < {va.shape[axis]}; {name}++)"
                for axis, name in zip(a_axes, inner, strict=True)
            ]
            return [
                "float total = 0;",
                *loops,
                f"total += {self.read(va, ia, False)} * {self.read(vb, ib, False)};",
                self.write(made, index, False, "total"),
            ]

        return self.loops(made.shape, body)

    # -- the source

    def source(self, inputs: list[tuple[View, bool]], results: list[Operand]) -> str:
        """The whole C++ file. `inputs`: each argument's view and whether it has samples, in order."""
        head = [f"#define COLUMNS {self.columns}", '#include "runtime.h"', '#include "xla/ffi/api/c_api.h"']
        places, total = self._allocate()
        body: list[str] = []
        kept = 0
        for name, length in self.kept.items():
            body.append(f"float* const {name} = scratch + {kept};")
            kept += -(-length // 16) * 16
        body.append(f"float* const block = scratch + {kept};")
        body += [f"float* const {name} = block + {place};" for name, place in places.items()]
        sums = getattr(self, "sums", [])
        body.append(f"float* sums = block + {total};")
        extent = " + ".join(["0", *(f"({floats})" for _, floats in sums)])
        offset = "0"
        for name, floats in sums:
            body.append(f"float* const {name} = sums + {offset};")
            offset = f"{offset} + ({floats})"
        turned = f"COLUMNS * (({getattr(self, 'turned', 0)} + LANES - 1) / LANES * LANES)"
        body.append(f"float* const turned = sums + {extent};")
        body.append(f"std::memset(sums, 0, 4 * (size_t)({extent}));")
        rows = []
        for number, (view, samples) in enumerate(inputs):
            argument = f"((XLA_FFI_Buffer*)frame->args.args[{number}])"
            body.append(f"const void* const a{number} = {argument}->data;")
            if samples:
                rows.append((number, view))
                body.append(f"const long n{number} = {argument}->dims[{argument}->rank - 1];")
            else:
                body.append(self._take(number, view))
        body += self.before
        body.append(f"const long count = *(const int32_t*)((XLA_FFI_Buffer*)frame->args.args[{len(inputs)}])->data;")
        body.append(f"const long end = count < n{rows[0][0]} ? count : n{rows[0][0]};")
        body.append("for (long start = 0; start < end; start += COLUMNS) {")
        body += [self._take_block(number, view) for number, view in rows]
        body += [f"{{\n{item.code}\n}}" for item in self.loop]
        body.append("}")
        body += self.after
        for number, operand in enumerate(results):
            body.append(self._give(number, operand))
        size_expression = f"{kept} + {total} + {extent} + {turned}"
        return "\n".join(
            [
                *head,
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
                f"float* const scratch = memory.get((size_t)({size_expression}));",
                *body,
                "return nullptr;",
                "}\n",
            ]
        )

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

    def _take(self, number: int, view: View) -> str:
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

    def _give(self, number: int, operand: Operand) -> str:
        result = f"(float*)((XLA_FFI_Buffer*)frame->rets.rets[{number}])->data"
        if operand.kind != "float" or self._has_samples(operand):
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

    inputs_of_blocks: frozenset[str] = frozenset()
    kind_of_input: tuple[str, ...] = ()


def write_kernel(traced: Traced, columns: int) -> str:
    """The C++ source of a traced program; its arguments are the inputs, then the constants."""
    writer = _Writer(traced, columns)
    values = [*traced.inputs, *(value for value, _ in traced.constants)]
    for value in values:
        if value.kind not in ("float", "int32_t", "bool"):
            raise Unsupported(f"an input of type {value.kind}")
        if _Writer._has_samples(value) and value.shape[-1] != COLUMNS_TRACED:
            raise Unsupported("samples that are not the last axis")
    views = [writer.buffer(value.shape, value.kind) for value in values]
    writer.inputs_of_blocks = frozenset(
        view.base for view, value in zip(views, values, strict=True) if _Writer._has_samples(value)
    )
    writer.kind_of_input = tuple(value.kind for value in values)
    writer.write_program(views)
    pairs = [(view, _Writer._has_samples(value)) for view, value in zip(views, values, strict=True)]
    return writer.source(pairs, traced.outputs)


def fuse(function: Callable[[Any, Any], Any], plain: Any, samples: Any) -> Callable[[Any, Any, Any], Any]:
    """Compile `function(plain, samples)` into one kernel for CPUs.

    **Arguments:**

    - `function`: traceable by JAX; its outputs must be sums over samples, or depend on such sums or on `plain` alone.
    - `plain`, `samples`: pytrees of arrays or of their shapes. All leaves of `samples` have the samples as their last
      axis, of one length.

    Returns a function of the same arguments and of `count`, an int32: only the blocks that hold the first `count`
    samples are visited. To be called under `jax.jit`, on a CPU. Raises `Unsupported` where the function, the number of
    samples, or the machine (no C++ compiler) does not allow it.
    """
    if library.compiler() is None:
        raise Unsupported("no C++ compiler")
    number = {leaf.shape[-1] for leaf in jax.tree.leaves(samples)}
    columns = next((block for block in BLOCKS if all(n % block == 0 for n in number)), None)
    if len(number) != 1 or columns is None:
        raise Unsupported(f"{number} samples")
    stand_in = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*leaf.shape[:-1], COLUMNS_TRACED), leaf.dtype), samples)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), plain)
    traced, structure = trace(function, shapes, stand_in)
    try:
        name = library.register(write_kernel(traced, columns))
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise Unsupported(f"the compiler failed: {said}") from error
    constants = [jnp.asarray(array) for _, array in traced.constants]
    results = [jax.ShapeDtypeStruct(output.shape, jnp.float32) for output in traced.outputs]

    def call(plain: Any, samples: Any, count: Any) -> Any:
        arguments = [*jax.tree.leaves((plain, samples)), *constants, jnp.asarray(count, jnp.int32)]
        return jax.tree.unflatten(structure, jax.ffi.ffi_call(name, results)(*arguments))

    return call
