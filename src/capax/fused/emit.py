"""Pass 5, emit: the C++ of a schedule whose memory is known."""

import dataclasses

from capax.fused import cpp
from capax.fused.groups import Copy, Gather, Give, Multiply, Pad, Pass, Put, Schedule, See, Step, SumRows
from capax.fused.labels import Labels, product_axes
from capax.fused.memory import Memory, OuterTotal, RowTotal, parts
from capax.fused.operations import ELEMENTWISE, JOINING, expression, is_view
from capax.fused.program import Constant, Equation, Operand, Value
from capax.fused.views import View, size


@dataclasses.dataclass(frozen=True)
class Code:
    """Lines of C++: `declarations` of all buffers within the scratch memory, which has `floats` (an
    expression); what is done `before` the loop over tiles, in the `loop`, and `after` it."""

    declarations: tuple[str, ...]
    floats: str
    before: tuple[str, ...]
    loop: tuple[str, ...]
    after: tuple[str, ...]


def emit(labels: Labels, schedule: Schedule, memory: Memory) -> Code:
    """Write a schedule."""
    writer = _Writer(labels, memory)
    before = [code for equation in schedule.before if (code := writer.plain(equation))]
    loop = [f"{{\n{code}\n}}" for step in schedule.loop if (code := writer.step(step))]
    after = [writer.finish(value) for value in memory.totals]
    after += [code for equation in schedule.after if (code := writer.plain(equation))]
    lines, floats = _declarations(memory)
    return Code(tuple(lines), floats, (*_constants(memory), *before), tuple(loop), tuple(after))


def _declarations(memory: Memory) -> tuple[list[str], str]:
    lines = [f"float* const {name} = scratch + {place};" for name, place in memory.places.items()]
    extent = "0"
    for total in memory.totals.values():
        lines.append(f"float* const {total.name} = scratch + {memory.floats} + {extent};")
        extent = f"{extent} + ({total.floats})"
    lines.append(f"float* const turned = scratch + {memory.floats} + {extent};")
    lines.append(f"std::memset(scratch + {memory.floats}, 0, 4 * (size_t)({extent}));")
    wide = [total.columns for total in memory.totals.values() if isinstance(total, OuterTotal) and total.wide]
    turned = f"TILE * (({max(wide, default=0)} + LANES - 1) / LANES * LANES)"
    return lines, f"{memory.floats} + {extent} + {turned}"


def _constants(memory: Memory) -> list[str]:
    """Numbers written in the program that are read from memory."""
    found = [(operand, view) for operand, view in memory.views.items() if isinstance(operand, Constant)]
    return [cpp.write(view, [], False, cpp.number(operand, False)) for operand, view in found]


class _Writer:
    def __init__(self, labels: Labels, memory: Memory):
        self._labels, self._memory, self._views = labels, memory, memory.views
        self._names = cpp.Names()

    def copy(self, source: View, to: View) -> str:
        vector = to.samples is not None
        return cpp.loops(self._names, to, lambda index: [cpp.write(to, index, vector, cpp.read(source, index, vector))])

    # -- with samples

    def step(self, step: Step) -> str:
        """The code of one step; none for a view that needs no copy."""
        match step:
            case Pass():
                return self._pass(step)
            case See(equation):
                return self._see(equation)
            case Copy(source, to):
                return self.copy(self._views[source], self._views[to])
            case Multiply():
                return self._multiply(step)
            case Gather():
                return self._gather(step)
            case Put(part):
                operand = part.equation.inputs[part.number]
                whole = parts(part.equation, self._views[part.equation.output])
                return self.copy(self._views[operand], whole[part.number])
            case Pad(equation):
                return self._pad(equation)
            case SumRows(equation):
                return self._sum_rows(equation)
            case Give(value, name):
                return self.copy(
                    self._views[value], View.whole(name, value.shape, self._labels.axis(value), value.kind)
                )

    def _see(self, equation: Equation) -> str:
        copy = self._memory.copies.get(equation)
        return "" if copy is None else self.copy(self._views[equation.inputs[0]], copy)

    def _pass(self, step: Pass) -> str:
        like = View.whole("", step.like.shape, self._labels.axis(step.like), "float")
        totals = [(sink, self._memory.totals[sink.output]) for sink in step.sums]

        def body(index: list[str]) -> list[str]:
            lines: list[str] = []
            known: dict[Operand, str] = {}

            def term(operand: Operand) -> str:
                if isinstance(operand, Constant):
                    return cpp.number(operand, True)
                if operand not in known:
                    view = self._views[operand]
                    known[operand] = self._names("v")
                    text = cpp.read(view, index if view.shape else [], True)
                    lines.append(f"const auto {known[operand]} = {text};")
                return known[operand]

            for equation in step.equations:
                terms = [term(operand) for operand in equation.inputs]
                kinds = [operand.kind for operand in equation.inputs]
                out = equation.output
                text = expression(equation.name, equation.params, terms, kinds)
                known[out] = self._names("v")
                lines.append(f"const auto {known[out]} = {text};")
                if out in step.stored:
                    lines.append(cpp.write(self._views[out], index, True, known[out]))
            lines += [f"{total.name}_ += {term(sink.inputs[0])};" for sink, total in totals]
            return lines

        def around(index: list[str]) -> tuple[list[str], list[str]]:
            lines = []
            for _, total in totals:
                assert isinstance(total, RowTotal)
                terms = [f"{name} * {stride}" for name, stride in zip(index, total.strides, strict=True) if stride]
                at = f"{total.name} + ({' + '.join(['0', *terms])}) * LANES"
                lines.append(f"store({at}, load({at}) + {total.name}_);")
            return [f"V {total.name}_ = V{{}};" for _, total in totals], lines

        return cpp.loops(self._names, like, body, around)

    def _multiply(self, step: Multiply) -> str:
        """A matrix of the network times an array with samples."""
        sides = product_axes(step.equation)
        swapped = self._labels.has_samples(sides[0][0])
        (w, w_free, w_axes), (_, x_free, x_axes) = reversed(sides) if swapped else sides
        weights, values = self._views[w], self._views[step.values]
        lies = self._views[step.equation.output]
        if swapped:
            count = len(lies.shape) - len(w_free)
            lies = lies.transposed((*range(count, len(lies.shape)), *range(count)))
        rows, wm = _single([(weights.shape[i], weights.strides[i]) for i in w_free])
        inner, wk, xk = 1, 0, 0
        for i, j in zip(w_axes, x_axes, strict=True):
            if weights.shape[i] != 1:
                inner, wk, xk = weights.shape[i], weights.strides[i], values.strides[j]
        om = _single([(lies.shape[i], lies.strides[i]) for i in range(len(w_free))])[1]
        others = {axis: self._names("m") for axis in x_free if values.shape[axis] != 1 and axis != values.samples}
        opening = [f"for (int {name} = 0; {name} < {values.shape[axis]}; {name}++)" for axis, name in others.items()]
        x_at = [values.base, str(values.offset), *(f"{name} * {values.strides[a]}" for a, name in others.items())]
        strides = {a: lies.strides[len(w_free) + x_free.index(a)] for a in others}
        out_at = [lies.base, *(f"{name} * {strides[a]}" for a, name in others.items())]
        begin, bm = "nullptr", 0
        if step.begin is not None:
            view = self._views[step.begin]
            begin, bm = f"{view.base} + {view.offset}", view.strides[0] if rows > 1 else 0
        call = (
            f"product({rows}, {inner}, {weights.base} + {weights.offset}, {wm}, {wk}, {' + '.join(x_at)}, {xk}, "
            f"{begin}, {bm}, {' + '.join(out_at)}, {om});"
        )
        return "\n".join([*opening, call])

    def _gather(self, step: Gather) -> str:
        """total[m, n] += sum over samples a[m, :] b[n, :] for all members."""
        pairs: dict[tuple[int, int], list[tuple[str, str]]] = {}
        for equation, *read in step.members:
            va, vb = (self._views[operand] for operand in read)
            (_, a_free, a_axes), (_, b_free, b_axes) = product_axes(equation)
            am = _single([(va.shape[i], va.strides[i]) for i in a_free])[1]
            bn = _single([(vb.shape[i], vb.strides[i]) for i in b_free])[1]
            starts = [(va.offset, vb.offset)]
            for i, j in zip(a_axes, b_axes, strict=True):
                if va.shape[i] != 1 and i != va.samples:
                    starts = [
                        (x + t * va.strides[i], y + t * vb.strides[j]) for x, y in starts for t in range(va.shape[i])
                    ]
            pairs.setdefault((am, bn), []).extend((f"{va.base} + {x}", f"{vb.base} + {y}") for x, y in starts)
        total = self._memory.totals[step.result]
        assert isinstance(total, OuterTotal)
        function, extra = ("outer_wide", ", turned") if total.wide else ("outer_lanes", "")
        calls = []
        for (am, bn), starts in pairs.items():
            table = ", ".join(f"{{{x}, {y}}}" for x, y in starts)
            calls.append(
                f"{{ const Pair pairs[] = {{{table}}};\n{function}"
                f"({total.rows}, {total.columns}, {len(starts)}, pairs, {am}, {bn}, {total.name}{extra}); }}"
            )
        return "\n".join(calls)

    def finish(self, value: Operand) -> str:
        """After the loop: a sum over samples, from its accumulator."""
        total, base = self._memory.totals[value], self._views[value].base
        if isinstance(total, RowTotal):
            return f"fold({total.width}, {total.name}, {base});"
        if total.wide:
            return f"unpad({total.rows}, {total.columns}, {total.name}, {base});"
        return f"fold({total.rows * total.columns}, {total.name}, {base});"

    def _pad(self, equation: Equation) -> str:
        source, made = self._views[equation.inputs[0]], self._views[equation.output]
        vector = made.samples is not None
        inside = made
        for axis, (low, _, _) in enumerate(equation.params["padding_config"]):
            inside = inside.sliced(axis, low, source.shape[axis])
        filler = equation.inputs[1]
        if isinstance(filler, Constant):
            fill = cpp.number(filler, vector)
        else:
            fill = cpp.read(self._views[filler], [], False)
            fill = f"splat({fill})" if vector else fill
        filled = cpp.loops(self._names, made, lambda index: [cpp.write(made, index, vector, fill)])
        return "\n".join([filled, self.copy(source, inside)])

    def _sum_rows(self, equation: Equation) -> str:
        source, made = self._views[equation.inputs[0]], self._views[equation.output]
        axes = equation.params["axes"]
        inner = {int(axis): self._names("j") for axis in axes if source.shape[axis] != 1}

        def body(index: list[str]) -> list[str]:
            rest = iter(index)
            full = [inner.get(axis, "0") if axis in axes else next(rest) for axis in range(len(source.shape))]
            lines = ["V total = V{};", *_inner_loops(inner, source)]
            return [*lines, f"total += {cpp.read(source, full, True)};", cpp.write(made, index, True, "total")]

        return cpp.loops(self._names, made, body)

    # -- without samples

    def plain(self, equation: Equation) -> str:
        """The code of an operation on arrays without samples; none for a view."""
        if is_view(equation):
            return self._see(equation)
        made, name = self._views[equation.output], equation.name
        if name == "iota":
            axis = equation.params["dimension"]
            return cpp.loops(
                self._names, made, lambda index: [cpp.write(made, index, False, f"({made.kind}){index[axis]}")]
            )
        if name in JOINING:
            pieces = zip(equation.inputs, parts(equation, made), strict=True)
            return "\n".join(self._put(operand, part) for operand, part in pieces)
        if name == "pad":
            return self._pad(equation)
        if name == "reduce_sum":
            return self._plain_sum(equation, made)
        if name == "dot_general":
            return self._plain_product(equation, made)
        assert name in ELEMENTWISE
        kinds = [operand.kind for operand in equation.inputs]

        def body(index: list[str]) -> list[str]:
            terms = [self._plain_term(operand, index) for operand in equation.inputs]
            return [cpp.write(made, index, False, expression(name, equation.params, terms, kinds))]

        return cpp.loops(self._names, made, body)

    def _plain_term(self, operand: Operand, index: list[str]) -> str:
        if isinstance(operand, Constant):
            return cpp.number(operand, False)
        view = self._views[operand]
        return cpp.read(view, index if view.shape else [], False)

    def _put(self, operand: Operand, part: View) -> str:
        return cpp.loops(
            self._names, part, lambda index: [cpp.write(part, index, False, self._plain_term(operand, index))]
        )

    def _plain_sum(self, equation: Equation, made: View) -> str:
        source = self._views[equation.inputs[0]]
        inner = {int(axis): self._names("j") for axis in equation.params["axes"]}

        def body(index: list[str]) -> list[str]:
            rest = iter(index)
            full = [inner[axis] if axis in inner else next(rest) for axis in range(len(source.shape))]
            add = f"total += {cpp.read(source, full, False)};"
            return ["float total = 0;", *_inner_loops(inner, source), add, cpp.write(made, index, False, "total")]

        return cpp.loops(self._names, made, body)

    def _plain_product(self, equation: Equation, made: View) -> str:
        (a, a_free, a_axes), (b, b_free, b_axes) = product_axes(equation)
        va, vb = self._views[a], self._views[b]
        names = [self._names("j") for _ in a_axes]

        def body(index: list[str]) -> list[str]:
            left, right = index[: len(a_free)], index[len(a_free) :]
            ia = dict([*zip(a_free, left, strict=True), *zip(a_axes, names, strict=True)])
            ib = dict([*zip(b_free, right, strict=True), *zip(b_axes, names, strict=True)])
            one = cpp.read(va, [ia[axis] for axis in range(len(va.shape))], False)
            other = cpp.read(vb, [ib[axis] for axis in range(len(vb.shape))], False)
            lines = ["float total = 0;", *_inner_loops(dict(zip(a_axes, names, strict=True)), va)]
            return [*lines, f"total += {one} * {other};", cpp.write(made, index, False, "total")]

        return cpp.loops(self._names, made, body)


def _inner_loops(names: dict[int, str], source: View) -> list[str]:
    return [f"for (int {name} = 0; {name} < {source.shape[axis]}; {name}++)" for axis, name in names.items()]


def _single(axes: list[tuple[int, int]]) -> tuple[int, int]:
    """Size and stride of the only axis that is longer than 1."""
    return next(((length, stride) for length, stride in axes if length != 1), (1, 0))


# -- what a kernel is given and gives


def take(view: View, kind: str, argument: str) -> str:
    """Copies an argument without samples to where it is read."""
    length = size(view.shape)
    if kind == "bool":
        return f"for (int i = 0; i < {length}; i++) ((int32_t*){view.base})[i] = -(int32_t)((const uint8_t*){argument})[i];"
    return f"std::memcpy({view.base}, {argument}, {4 * length});"


def give(operand: Operand, memory: Memory, name: str) -> str:
    """Copies a result without samples to where the pointer `name` points."""
    to = View.whole(name, operand.shape, None, "float")
    names = cpp.Names()
    if isinstance(operand, Value):
        source = memory.views[operand]
        return cpp.loops(names, to, lambda index: [cpp.write(to, index, False, cpp.read(source, index, False))])
    return cpp.loops(names, to, lambda index: [cpp.write(to, index, False, cpp.number(operand, False))])
