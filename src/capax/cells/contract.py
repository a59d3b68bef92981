"""Does a user's cell keep the contract? What can be told in a second, before anything is sized or
trained.

Each check is a function from a `Specimen`, a small instance of the cell, to a `Finding`. `require`
runs them when a user's cell is loaded: what is surely wrong is refused, what may be meant is a
warning. `capax.testing` runs them too.
"""

import contextlib
import dataclasses
import functools
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import subjaxprs
from jaxtyping import Array, Float, PyTree

from capax import user_code
from capax.cells.cell import Cell, Layer, scalar_declarations
from capax.errors import CapaxWarning, UserCodeError
from capax.finding import Finding, ask, failed, passed, raised

TIME, BATCH = 4, 3
OTHER_BATCHES = (1, 720)
"""What networks meet besides: one sequence, and a training step's worth of them."""
NOISE = 0.3
"""Standard deviation of what is added to each parameter: zeros would hide what they multiply."""
TOLERANCE = 1e-4
"""Of sums in another order, relative to the largest number."""
_OF_AXES = "states and inputs have batch axes behind their features: `column(self.scale, h.ndim) * h`"
_OF_BLOCKS = "`recur` of a map with several blocks gives a tuple, one array a block"
_MEANINGS = (
    ("values to unpack", 'a state of several vectors is declared: `states = ("h", "c")`'),
    ("shapes for broadcasting", _OF_AXES),
    ("could not be broadcast", _OF_AXES),
    ("multiply sequence", _OF_BLOCKS),
    ("can only concatenate tuple", _OF_BLOCKS),
)
"""What words in an error of a step often mean for the author of a cell."""
_ADDRESS = re.compile(r"0x[0-9a-f]+")


class Specimen:
    """A cell class with a small instance, its parameters away from zero, and inputs for it.

    `name` is how the user names the cell; `inputs` and `units` are sizes that the class allows;
    `x`: normal inputs, (time, inputs, batch).
    """

    def __init__(self, name: str, kind: type[Layer]):
        self.name, self.kind = name, kind
        self.units = 4 * kind.demands.multiple
        self.inputs = self.units if kind.demands.square else 5
        # Made here: made inside a check that traces, it would be kept as a tracer.
        self.x = jnp.asarray(np.random.default_rng(1).normal(size=(TIME, self.inputs, BATCH)), jnp.float32)

    def make(self, nonlinearity: str | None = None) -> Layer:
        """An instance, as a network makes one."""
        return self.kind(self.inputs, self.units, nonlinearity, key=jax.random.key(0))

    @functools.cached_property
    def cell(self) -> Layer:
        """An instance with noise on its parameters."""
        random = np.random.default_rng(0)

        def moved(leaf: Any) -> Any:
            return (
                leaf + NOISE * random.normal(size=leaf.shape).astype(leaf.dtype) if eqx.is_inexact_array(leaf) else leaf
            )

        cell = self.make()
        return with_parameters(cell, jax.tree.map(moved, parameters(cell)))

    @functools.cached_property
    def tracings(self) -> tuple["Tracing", "Tracing"]:
        """The same step traced twice."""
        return trace(self), trace(self)

    @functools.cached_property
    def measured(self) -> tuple[Array, Array, PyTree]:
        """The outputs of one sequence in a batch and alone, and the gradient for the parameters."""

        def outputs(trained: PyTree, x: Array) -> Array:
            return over_time(with_parameters(self.cell, trained), x)

        def summed(trained: PyTree, x: Array) -> tuple[Array, Array]:
            found = outputs(trained, x)
            return jnp.sum(jnp.sin(found)), found

        def measure(trained: PyTree, x: Array) -> tuple[Array, Array, PyTree]:
            slope, batch = jax.grad(summed, has_aux=True)(trained, x)
            return batch[:, :, 1:2], outputs(trained, x[:, :, 1:2]), slope

        return quickly(measure)(parameters(self.cell), self.x)


def quickly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is compiled fast, not to be fast: it runs a few times on small arrays."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def parameters(cell: Layer) -> PyTree:
    """What training changes: the inexact arrays but the scalar hyperparameters; None elsewhere."""
    scalars = list(scalar_declarations(type(cell)))
    found = eqx.filter(cell, eqx.is_inexact_array)
    if not scalars:
        return found
    return eqx.tree_at(lambda c: [getattr(c, name) for name in scalars], found, replace_fn=lambda _: None)


def with_parameters(cell: Layer, trained: PyTree) -> Layer:
    """The cell with its parameters replaced."""
    return eqx.combine(trained, cell)


def over_time(layer: Layer, x: Float[Array, "time i batch"]) -> Float[Array, "time n batch"]:
    """The outputs of a layer at all times, from its initial state."""
    return layer(x, layer.first_state(x.shape[2]))[0]


class NotAPair(Exception):
    """What a step returned is no state and output."""


def _kind_of(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} values"
    return "an array" if isinstance(value, jax.Array) else f"a {type(value).__name__}"


def _one_step(layer: Layer, x: Array) -> tuple[PyTree, PyTree, Any]:
    """The state before, the state after, and the output."""
    state = layer.first_state(x.shape[2])
    if isinstance(layer, Cell):
        stepped = layer.step(state, layer.project(x[0]))
        if not (isinstance(stepped, tuple) and len(stepped) == 2):
            raise NotAPair(f"step must return a pair, the new state and the output, not {_kind_of(stepped)}.")
        return state, *stepped
    outputs, after = layer(x, state)
    return state, after, outputs[0]


def complete(specimen: Specimen) -> Finding:
    """The class has all that its kind of layer must have."""
    missing = sorted(getattr(specimen.kind, "__abstractmethods__", ()))
    if not missing:
        return passed("complete")
    return failed("complete", f"it is not complete: write {' and '.join(missing)} in {specimen.kind.__name__}.")


def shapes(specimen: Specimen) -> Finding:
    """A step keeps its state's structure, shapes and types, and gives (units, batch); all arrays
    are real.
    """
    return _step_on_shapes(specimen, BATCH, "shapes")


def batch_sizes(specimen: Specimen) -> Finding:
    """A step serves one sequence and many."""
    found = (_step_on_shapes(specimen, batch, "batch sizes") for batch in OTHER_BATCHES)
    return next((finding for finding in found if not finding.passed), passed("batch sizes"))


def _step_on_shapes(specimen: Specimen, batch: int, name: str) -> Finding:
    units, inputs = specimen.units, specimen.inputs
    shape = jax.ShapeDtypeStruct((TIME, inputs, batch), jnp.float32)

    try:
        cell = eqx.filter_eval_shape(specimen.make)
        fault = _complex(cell) or _whole_numbers(cell)
        if fault:
            return failed(name, fault)
        before, after, output = jax.eval_shape(lambda x: _one_step(specimen.make(), x), shape)
    except NotAPair as error:
        return failed(name, str(error))
    except Exception as error:
        return raised(name, f"a step with {inputs} inputs, {units} units and a batch of {batch}", error, _MEANINGS)
    fault = _complex((after, output)) or _state(before, after) or _output(output, (units, batch))
    return failed(name, fault) if fault else passed(name)


def _complex(tree: PyTree) -> str:
    found = [leaf.dtype for leaf in _shapes_in(tree) if jnp.issubdtype(leaf.dtype, jnp.complexfloating)]
    if not found:
        return ""
    return (
        f"it has complex parameters or states ({found[0]}); write real and imaginary parts as arrays of their own, "
        "as lru does."
    )


def _whole_numbers(layer: Layer) -> str:
    initial = _shapes_in(layer.initial) if isinstance(layer, Cell) else []
    found = [leaf.dtype for leaf in initial if not jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not found:
        return ""
    return f"its state has the type {found[0]}; a state is of real numbers (float32), so that it can be learned."


def _shapes_in(tree: PyTree) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]


def _state(before: PyTree, after: PyTree) -> str:
    if jax.tree.structure(before) != jax.tree.structure(after):
        return (
            f"step returns a state of structure {jax.tree.structure(after)}, but the initial state has "
            f"{jax.tree.structure(before)}."
        )
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if not jnp.issubdtype(old.dtype, jnp.floating):
            return (
                f"its state has the type {old.dtype}; a state is of real numbers (float32), so that it can be learned."
            )
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            return (
                f"step turns a state of shape {old.shape} and type {old.dtype} into {new.shape}, {new.dtype}; "
                "it must keep both."
            )
    return ""


def _output(output: Any, due: tuple[int, int]) -> str:
    shape = getattr(output, "shape", None)
    if shape != due:
        return f"step's output has shape {shape} where (units, batch) = {due} is due."
    if output.dtype != jnp.float32:
        return f"step's output has the type {output.dtype} where inputs and parameters have float32; it must keep it."
    return ""


@dataclasses.dataclass(frozen=True)
class Tracing:
    """What happened while a step was traced: the program with its constants, what was printed, what
    was changed.
    """

    program: str
    constants: tuple[bytes, ...]
    primitives: frozenset[str]
    effects: str
    printed: str
    changed: tuple[str, ...]
    remembering: str


def trace(specimen: Specimen) -> Tracing:
    """Trace one step of a cell and watch it."""
    changed: list[str] = []

    def run(trained: PyTree, x: Array) -> Any:
        cell = with_parameters(specimen.cell, trained)
        before = _attributes(cell)
        result = _one_step(cell, x)
        changed.extend(f"self.{name}" for name in _differing(before, _attributes(cell)))
        return result

    trained, before, out = parameters(specimen.cell), _surroundings(specimen.kind), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        program = jax.make_jaxpr(run)(trained, specimen.x)
        projection = _projection(specimen.cell, specimen.x)
    changed += _differing(before, _surroundings(specimen.kind))
    return Tracing(
        program=_ADDRESS.sub("", str(program.jaxpr)),
        constants=tuple(np.asarray(part).tobytes() for part in program.consts if not _left_behind([part])),
        primitives=frozenset(primitives(program.jaxpr)),
        effects=", ".join(map(str, program.effects)),
        printed=out.getvalue().strip(),
        changed=tuple(dict.fromkeys(changed)),
        remembering="project" if _left_behind(projection) else "step" if _left_behind(program.consts) else "",
    )


def _projection(cell: Layer, x: Array) -> list[Any]:
    """The constants of `project`, traced alone, after a whole step was traced."""
    return jax.make_jaxpr(cell.project)(x[0]).consts if isinstance(cell, Cell) else []


def _left_behind(constants: Sequence[Any]) -> bool:
    """Whether an array of an earlier tracing is among the constants."""
    return any(isinstance(constant, Tracer) for constant in constants)


def primitives(program: Any) -> Iterator[str]:
    """The names of all operations of a traced program, inner ones too."""
    for equation in program.eqns:
        yield equation.primitive.name
    for inner in subjaxprs(program):
        yield from primitives(inner)


def _attributes(cell: Layer) -> dict[str, str]:
    return {name: f"{id(value)} {_print(value)}" for name, value in vars(cell).items()}


def _surroundings(kind: type) -> dict[str, str]:
    """Fingerprints of what a step may reach and must not change: its classes' attributes and their
    modules' globals.
    """
    found: dict[str, str] = {}
    for owner in kind.__mro__:
        if user_code.is_users(owner):
            found |= {
                f"{owner.__name__}.{name}": _print(value)
                for name, value in vars(owner).items()
                if _is_data(name, value)
            }
            module = sys.modules.get(owner.__module__)
            found |= (
                {name: _print(value) for name, value in vars(module).items() if _is_data(name, value)} if module else {}
            )
    return found


def _is_data(name: str, value: Any) -> bool:
    return not name.startswith(("__", "_abc_")) and not callable(value) and type(value).__name__ != "module"


def _print(value: Any) -> str:
    """A short text that changes when the value is changed in place."""
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    if isinstance(value, np.ndarray):
        return str(hash(value.tobytes()))
    if isinstance(value, jax.Array):
        return str(id(value))
    return _ADDRESS.sub("", repr(value))[:2000] + str(len(value) if hasattr(value, "__len__") else "")


def _differing(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name in after if after[name] != before.get(name)]


OWN_KEY = "random_seed"
"""The operation of `jax.random.key`: in what is traced, a key that was not given."""


def project(specimen: Specimen) -> Finding:
    """What `project` makes of an input depends on that input alone: not on a state, nor on other
    inputs or samples.
    """
    if any(tracing.remembering == "project" for tracing in specimen.tracings):
        return failed(
            "project",
            "project sees the state or other inputs: it reads what another call left on the object or in a global; "
            "it must depend on its input alone.",
        )
    cell = specimen.cell
    if not isinstance(cell, Cell):
        return passed("project")

    def both(x: Array) -> Any:
        alone = [cell.project(x[:, b : b + 1]) for b in range(BATCH)]
        return cell.project(x), jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *alone)

    batch, alone = (jax.tree.leaves(part) for part in quickly(both)(specimen.x[0]))
    faults = [difference(np.asarray(one), np.asarray(other)) for one, other in zip(batch, alone, strict=True)]
    if not any(faults):
        return passed("project")
    return failed(
        "project",
        "project sees other inputs: in a batch its results are others than for each input alone "
        f"(they {max(faults)}); it must depend on one input alone.",
    )


def memory(specimen: Specimen) -> Finding:
    """What goes from step to step goes through the state."""
    if not any(tracing.remembering for tracing in specimen.tracings):
        return passed("memory")
    return failed(
        "memory",
        "a step reads what another call left on the object or in a global; what a step leaves to the next one belongs "
        "in the state.",
    )


def differentiable(specimen: Specimen) -> Finding:
    """A gradient can be computed for its parameters."""

    def loss(trained: PyTree) -> Array:
        return jnp.sum(over_time(with_parameters(specimen.cell, trained), specimen.x))

    try:
        jax.eval_shape(jax.grad(loss), parameters(specimen.cell))
    except Exception as error:
        return raised("differentiable", "its gradient cannot be computed: JAX", error)
    return passed("differentiable")


def randomness(specimen: Specimen) -> Finding:
    """A step draws nothing at random: traced twice it is the same program with the same
    constants.
    """
    name = "randomness"
    one, two = specimen.tracings
    if OWN_KEY in one.primitives:
        return failed(name, "a step draws random numbers with a key of its own: the same noise at every step.")
    if (one.program, one.constants) == (two.program, two.constants):
        return passed(name)
    return failed(
        name,
        "a step traced twice gives two programs: a number that changes from call to call (NumPy noise, a clock, a "
        "counter) is fixed into the program when it is traced, so no result can be had again.",
    )


def side_effects(specimen: Specimen) -> Finding:
    """A step only computes: it prints nothing, changes nothing outside, and calls nothing on the
    host.
    """
    name = "side effects"
    tracing = specimen.tracings[0]
    once = "that happens when capax traces it, not at every step"
    if tracing.printed:
        return failed(name, f"a step prints ('{tracing.printed.splitlines()[0][:40]}'); {once}.")
    if tracing.changed:
        return failed(name, f"a step changes {', '.join(tracing.changed)}; {once}.")
    if tracing.effects:
        return failed(name, f"a step has effects on the host ({tracing.effects}), which training runs at every step.")
    if "pure_callback" in tracing.primitives:
        return passed(name, "a step calls back to Python, which is slow and runs on a CPU alone.")
    return passed(name)


def samples(specimen: Specimen) -> Finding:
    """The outputs of a sequence do not depend on how many others are in its batch, or on what they
    are.
    """
    name = "samples"
    whole, alone, _ = specimen.measured
    fault = difference(np.asarray(whole), np.asarray(alone))
    if not fault:
        return passed(name)
    return failed(name, f"the outputs of a sequence depend on the batch it is in: alone they {fault}.")


def difference(one: np.ndarray, other: np.ndarray) -> str:
    """By how much two arrays differ, beyond rounding; empty where they do not, or where either is
    not finite.
    """
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return ""
    scale, most = max(1e-6, float(np.abs(one).max())), float(np.abs(one - other).max())
    return f"differ by {most:.2g}, where the largest is {scale:.2g}" if most > TOLERANCE * scale else ""


def some_gradient(specimen: Specimen) -> Finding:
    """Some parameter of the cell has a gradient."""
    name = "some gradient"
    slopes = [np.asarray(leaf) for leaf in jax.tree.leaves(specimen.measured[2])]
    if any(slope.any() for slope in slopes) or not slopes:
        return passed(name)
    return failed(name, "the gradient is zero for all its parameters: only the readout would learn.")


def nonlinearity(specimen: Specimen) -> Finding:
    """The choice of a nonlinearity changes what a step does."""
    name, choices = "nonlinearity", specimen.kind.nonlinearities
    programs = {
        _ADDRESS.sub("", str(jax.make_jaxpr(lambda x: _one_step(specimen.make(choice), x))(specimen.x)))  # noqa: B023
        for choice in choices
    }
    if len(programs) == len(choices):
        return passed(name)
    return failed(
        name,
        f"the choice of a nonlinearity ({' or '.join(choices)}) changes nothing, yet the tuner would try each: call "
        "self.s, or set `nonlinearities: ClassVar[tuple[str, ...]] = ()`.",
    )


Check = Callable[[Specimen], Finding]

REFUSED: tuple[Check, ...] = (
    complete,
    shapes,
    batch_sizes,
    project,
    memory,
    randomness,
    differentiable,
    samples,
)
"""What is surely wrong."""
DOUBTED: tuple[Check, ...] = (side_effects, some_gradient, nonlinearity)
"""What may be meant."""


def require(name: str, kind: type[Layer]) -> None:
    """Check a user's cell before anything else is done with it.

    Raises `UserCodeError` for what is surely wrong; warns (`CapaxWarning`) of what may be meant.
    """
    specimen = Specimen(name, kind)
    for check in REFUSED:
        found = ask(check, specimen)
        if not found.passed:
            raise UserCodeError(f"cell '{name}': {found.message}", found.user_traceback)
    for check in DOUBTED:
        found = ask(check, specimen)
        if found.message:
            warnings.warn(f"cell '{name}': {found.message}", CapaxWarning, stacklevel=2)
