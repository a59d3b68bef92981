"""From a traced program to code: what comes before, in, and after the loop over blocks; views, products, sums.

Whatever does not depend on the samples is computed once, before the loop; what is summed over them is gathered in the
loop; what depends on the sums follows after it.
"""

from collections.abc import Iterator

from capax.fused.arrays import COLUMNS_TRACED, Unsupported, View, dense
from capax.fused.code import Code, Item, has_samples
from capax.fused.operations import ELEMENTWISE, expression
from capax.fused.program import Constant, Equation, Operand, Traced, Value

WIDE = 32
"""Columns of an outer product from which its second operand is transposed."""
VIEWS = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "split", "unstack"}


JOINING = {"concatenate", "stack"}


def sums_samples(equation: Equation) -> bool:
    """Whether an operation sums over the samples."""
    return not has_samples(equation.outputs[0]) and any(map(has_samples, equation.inputs))


def renames(equation: Equation) -> bool:
    """Whether an operation changes nothing in memory."""
    return equation.name == "convert_element_type" and equation.inputs[0].kind == equation.outputs[0].kind


def is_view(equation: Equation) -> bool:
    """Whether an operation's result is its operand, seen otherwise."""
    return equation.name in VIEWS or renames(equation)


class Lowering(Code):
    """Writes the kernel of a traced program. Elementwise operations are done in groups: groups.py."""

    def __init__(self, traced: Traced, columns: int):
        super().__init__(columns)
        self.traced = traced
        self.producer = {output: equation for equation in traced.equations for output in equation.outputs}
        self.order = {equation: number for number, equation in enumerate(traced.equations)}
        self.consumers: dict[Value, list[Equation]] = {}
        for equation in traced.equations:
            for operand in equation.inputs:
                if isinstance(operand, Value):
                    self.consumers.setdefault(operand, []).append(equation)
        self.late: set[Value] = set()
        self.emitted: set[Equation] = set()
        self.outputs = {output for output in traced.outputs if isinstance(output, Value)}
        self.joined: dict[Equation, tuple[Value, list[Equation]]] = {}  # by the last of them: result, all members
        self._results: list[tuple[Operand, str]] = []
        self.place: dict[Value, View] = {}  # where a value is to be written, if that is fixed

    def prepare(self, value: Operand) -> None:
        """Have in memory whatever the elementwise ancestors of a value take from elsewhere."""
        raise NotImplementedError

    def group(self, value: Value | None, sums: list[Equation]) -> None:
        """Write an elementwise value, or sums over samples, with all that goes along in one pass."""
        raise NotImplementedError

    # -- the program

    def arguments(self, pointers: Iterator[str] | None = None) -> list[View]:
        """Where the program's inputs and constants lie: in buffers, or, with samples, where the next pointer points."""
        views = []
        for value in [*self.traced.inputs, *(value for value, _ in self.traced.constants)]:
            if value.kind not in ("float", "int32_t", "bool"):
                raise Unsupported(f"an input of type {value.kind}")
            if has_samples(value) and value.shape[-1] != COLUMNS_TRACED:
                raise Unsupported("samples that are not the last axis")
            if has_samples(value) and pointers is not None:
                views.append(self.pointed(next(pointers), value.shape))
            else:
                views.append(self.buffer(value.shape, value.kind))
            self.kind_of_input.append(value.kind)
        return views

    def pointed(self, name: str, shape: tuple[int, ...]) -> View:
        """An array of numbers where a pointer of the kernel points."""
        return View(name, 0, shape, dense(shape, self.columns), "float")

    def target(self, value: Value) -> View:
        return self.place[value] if value in self.place else self.buffer(value.shape, value.kind)

    def write_step(self, inputs: list[View], results: list[tuple[Operand, str]]) -> None:
        """As `write_program`; `results` with samples are written where a pointer of that name points."""
        for operand, name in results:
            if not has_samples(operand) or operand.kind != "float":
                raise Unsupported("a result without samples")
            source = self.producer.get(operand) if isinstance(operand, Value) else None
            written = source is not None and (source.name in ELEMENTWISE or source.name in JOINING)
            if source is not None and written and not renames(source):
                self.place.setdefault(operand, self.pointed(name, operand.shape))  # pyright: ignore[reportArgumentType]
        self._results = results
        self.write_program(inputs)

    def _give_samples(self) -> None:
        for operand, name in self._results:
            view = self.materialise(operand)
            if view.base != name:
                self._copy(view, self.pointed(name, operand.shape))

    def write_program(self, inputs: list[View]) -> None:
        self.views.update(
            zip([*self.traced.inputs, *(value for value, _ in self.traced.constants)], inputs, strict=True)
        )
        self._find_late()
        self._join()
        self._place()
        for equation in self.traced.equations:
            if has_samples(equation.outputs[0]):
                if equation.name not in ELEMENTWISE and not is_view(equation):
                    self.materialise(equation.outputs[0])
            elif equation.outputs[0] not in self.late:
                self.before.append(self._plain(equation))
            elif sums_samples(equation):
                self._reduction(equation)
        self._give_samples()
        for equation in self.traced.equations:  # sums that found no group to go along with
            if sums_samples(equation) and equation.name == "reduce_sum" and equation not in self.emitted:
                self.group(None, [equation])
        for equation in self.traced.equations:
            late = equation.outputs[0] in self.late and not sums_samples(equation)
            if late and equation not in self.emitted:
                self.after.append(self._plain(equation))

    def _find_late(self) -> None:
        for equation in self.traced.equations:
            late = any(operand in self.late for operand in equation.inputs)
            if has_samples(equation.outputs[0]):
                if late:
                    raise Unsupported("samples that depend on a sum over samples")
            elif late or sums_samples(equation):
                self.late |= set(equation.outputs)

    # -- sums over samples

    def _join(self) -> None:
        """Outer products whose sums are only added to each other are gathered as one."""
        group: dict[Value, list[Equation]] = {}
        for equation in self.traced.equations:
            if equation.name == "dot_general" and sums_samples(equation):
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
        for value, members in group.items():
            last = max(members, key=self.order.__getitem__)
            self.joined[last] = value, sorted(members, key=self.order.__getitem__)

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
                self._outer(*self.joined[equation])
        elif equation.name == "reduce_sum":
            self.prepare(equation.inputs[0])
        else:
            raise Unsupported(f"{equation.name} over the samples")

    def _outer(self, result: Value, members: list[Equation]) -> None:
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
        self.sums.append((total, f"{rows} * ({padded})" if wide else f"{rows * columns} * LANES"))
        calls = []
        for (am, bn), starts in pairs.items():
            table = ", ".join(f"{{{x}, {y}}}" for x, y in starts)
            function, extra = ("outer_wide", ", turned") if wide else ("outer_lanes", "")
            calls.append(
                f"{{ const Pair pairs[] = {{{table}}};\n"
                f"{function}({rows}, {columns}, {len(starts)}, pairs, {am}, {bn}, {total}{extra}); }}"
            )
        if wide:
            self.widest = max(self.widest, columns)
        self.loop.append(Item("\n".join(calls), buffers))
        finish = (
            f"unpad({rows}, {columns}, {total}, {out.base});"
            if wide
            else f"fold({rows * columns}, {total}, {out.base});"
        )
        self.after.append(finish)
        self.views[result] = out

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
        self.loop.append(Item(code, {view.base, made.base}))
        return made

    def materialise(self, operand: Operand) -> View:
        """Have a value in memory; emits what that takes."""
        if isinstance(operand, Constant):
            view = self.buffer((), operand.kind)
            self.before.append(self.write(view, [], False, self.constant(operand, False)))
            return view
        if operand not in self.views:
            equation = self.producer[operand]
            if not has_samples(operand):
                raise Unsupported("a value that comes too late")
            if is_view(equation):
                self._view(equation)
            elif equation.name in ELEMENTWISE:
                self.group(operand, [])
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
            self.loop.append(Item(code, {source.base, made.base}))
        else:
            self.before.append(code)
        return made

    def _array(self, equation: Equation) -> None:
        """A value with samples that is neither elementwise nor a view."""
        out = equation.outputs[0]
        if equation.name == "dot_general":
            self._product(equation)
            return
        if equation.name in JOINING:
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
            if equation.name not in JOINING or not has_samples(equation.outputs[0]):
                continue
            whole = self.target(equation.outputs[0])
            self.place[equation.outputs[0]] = whole
            for operand, part in zip(equation.inputs, self._parts(equation, whole), strict=True):
                source = self.producer.get(operand) if isinstance(operand, Value) else None
                if source is not None and source.name in ELEMENTWISE and not renames(source):
                    self.place.setdefault(operand, part)  # pyright: ignore[reportArgumentType]

    def _copy(self, source: View, to: View) -> None:
        code = self.loops(to.shape, lambda index: [self.write(to, index, True, self.read(source, index, True))])
        self.loop.append(Item(code, {source.base, to.base}))

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
            self.loop.append(Item("\n".join(code), {source.base, made.base}))
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

        self.loop.append(Item(self.loops(made.shape, body), {source.base, made.base}))

    def _product(self, equation: Equation) -> None:
        """A matrix of the network times an array with samples."""
        sides = self._dot_sides(equation)
        swapped = has_samples(sides[0][0])
        (w, w_free, w_axes), (x, x_free, x_axes) = reversed(sides) if swapped else sides
        if has_samples(w):
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
        physical = self.buffer(tuple([weights.shape[i] for i in w_free] + [values.shape[i] for i in x_free]), out.kind)
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
        if not swapped and not others:
            begin, bm, reads = self._beginning(equation, rows)
        call = f"product({rows}, {inner}, {weights.base} + {weights.offset}, {wm}, {wk}, {x_at}, {xk}, {begin}, {bm}, {out_at}, {om});"
        self.loop.append(Item("\n".join([*opening, call]), {values.base, physical.base, *reads}))

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

    # -- values without samples

    def _plain(self, equation: Equation) -> str:
        """The code of an operation on arrays without samples; none for a view."""
        out = equation.outputs[0]
        if is_view(equation):
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
        elif name in JOINING:
            parts = zip(equation.inputs, self._parts(equation, made), strict=True)
            code = "\n".join(
                self.loops(part.shape, lambda index: [self.write(part, index, False, operand_at(operand, index))])  # noqa: B023
                for operand, part in parts
            )
        elif name == "pad":
            self._pad(equation, made, self.materialise(equation.inputs[0]))
            code = ""
        elif name == "reduce_sum":
            code = self._plain_sum(made, equation.inputs[0], equation.params["axes"])
        elif name == "dot_general":
            code = self._plain_product(equation, made)
        else:
            raise Unsupported(name)
        self.views[out] = made
        code, self.before = "\n".join([*self.before, code]), before
        return code

    def _plain_sum(self, made: View, operand: Operand, axes: tuple[int, ...]) -> str:
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
