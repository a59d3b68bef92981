"""Groups of elementwise operations: one pass over memory for each, as late as can be, storing only what is worth storing."""

from capax.fused.arrays import Unsupported
from capax.fused.code import Item
from capax.fused.lowering import Lowering, renames, sums_samples
from capax.fused.operations import CHEAP, ELEMENTWISE, expression
from capax.fused.program import Constant, Equation, Operand, Value

RECOMPUTED = 3
"""Cheap operations that are done again rather than kept in memory."""


class Groups(Lowering):
    """Lowering with its elementwise operations."""

    def _ancestors(self, value: Operand) -> list[Equation]:
        """The elementwise equations, not yet done, of the same shape, that a value needs."""
        found: dict[Equation, None] = {}
        stack = [value]
        while stack:
            operand = stack.pop()
            if not isinstance(operand, Value) or operand in self.views:
                continue
            equation = self.producer.get(operand)
            if equation is None or equation.name not in ELEMENTWISE or renames(equation) or equation in found:
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

    def group(self, value: Value | None, sums: list[Equation]) -> None:
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
            if not sums_samples(equation) or equation.inputs[0].shape != shape:
                continue
            needed = self._ancestors(equation.inputs[0])
            touches = any(e in group for e in needed) or (
                not needed and value is None and equation.inputs[0] in self.views
            )
            if touches and self._ready(needed):
                sinks.append(equation)
                group |= dict.fromkeys(needed)
        equations = sorted(group, key=self.order.__getitem__)
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
            lines += [f"{total}_ += {term(sink.inputs[0])};" for sink, (total, _) in totals.items()]
            return lines

        def around(index: list[str]) -> tuple[list[str], list[str]]:
            lines = []
            for total, strides in totals.values():
                terms = [f"{name} * {stride}" for name, stride in zip(index, strides, strict=True) if stride]
                at = f"{total} + ({' + '.join(['0', *terms])}) * LANES"
                lines.append(f"store({at}, load({at}) + {total}_);")
            return [f"V {total}_ = V{{}};" for total, _ in totals.values()], lines

        self.loop.append(Item(self.loops(shape, body, around), buffers))
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
        self.sums.append((name, f"{width} * LANES"))
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
            if equation.name in CHEAP and again <= RECOMPUTED and out not in self.place and out is not value:
                cost[out] = again
        wanted: set[Value] = {value} if value is not None else set()
        for equation in reversed(equations):
            out = equation.outputs[0]
            later = out in self.outputs or any(
                use not in inside and use not in self.emitted for use in self.consumers.get(out, [])
            )
            again = any(
                use in inside and use.outputs[0] in cost and use.outputs[0] in wanted
                for use in self.consumers.get(out, [])
            )
            if later or again:
                wanted.add(out)
        return [e.outputs[0] for e in equations if e.outputs[0] in wanted and e.outputs[0] not in cost]
