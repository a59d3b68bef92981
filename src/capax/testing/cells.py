"""The checks of a cell: plain functions from a `CellUnderTest` to a `Finding`.

Those that need no network are in cells/contract.py, where every user's cell passes them when it is
loaded.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from capax.cells import contract, registry
from capax.cells.cell import Cell, Layer, affine_declarations, real_steps, scalar_declarations
from capax.cells.contract import Specimen, difference, over_time, parameters, quickly, with_parameters
from capax.finding import Finding, failed, passed
from capax.networks.network import Network
from capax.networks.parts import trainable
from capax.networks.sizing import parameters as count
from capax.networks.sizing import size
from capax.search.space import declared
from capax.theory import costs

TIME, BATCH, OUTPUTS = 20, 4, 2
STEPS, LEARNING_RATE = 40, 0.01
"""Of the short training run."""
MULTIPLES = (1, 2, 3, 4, 6, 9, 16, 33)
"""Units, in the least number that the cell can have, of the networks whose parameters are
counted.
"""


class CellUnderTest:
    """A cell by its name or class, with what its checks share: a network of it, inputs, and what
    was measured.
    """

    def __init__(self, cell: str | type):
        """Raises `CapaxError` where the cell cannot be loaded."""
        self.kind: type[Layer] = registry.unchecked(cell)
        self.specimen = Specimen(cell if isinstance(cell, str) else cell.__name__, self.kind)
        self.sizes: dict[str, Any] = {
            "inputs": self.specimen.inputs,
            "outputs": OUTPUTS,
            "depth": registry.wiring(self.kind).least_depth,
        }

    def network(self, key: Array | None = None, **hyperparameters: Any) -> Network:
        """An initialised network; by default always of the same key."""
        key = jax.random.key(0) if key is None else key
        given: dict[str, Any] = {**self.sizes, **hyperparameters}
        return Network.create(self.kind, units=self.specimen.units, key=key, **given)

    @functools.cached_property
    def cell(self) -> Layer:
        """An initialised cell."""
        return self.network().layers[0]

    @functools.cached_property
    def x(self) -> Float[Array, "time inputs batch"]:
        """Normal inputs."""
        values = np.random.default_rng(0).normal(size=(TIME, self.cell.inputs, BATCH))
        return jnp.asarray(values, jnp.float32)

    @functools.cached_property
    def run(self) -> Callable[[Layer, Array], Array]:
        """The outputs at all times, compiled once."""
        static = eqx.partition(self.cell, eqx.is_array)[1]
        compiled = quickly(lambda arrays, x: over_time(eqx.combine(arrays, static), x))
        return lambda cell, x: compiled(eqx.filter(cell, eqx.is_array), x)

    @functools.cached_property
    def slope(self) -> Callable[[Layer], tuple[PyTree, Array]]:
        """The gradient of a sum over the outputs, for the parameters and for the inputs, compiled
        once.
        """
        static = eqx.partition(self.cell, eqx.is_array)[1]

        def total(trained: PyTree, x: Array, arrays: PyTree) -> Array:
            return jnp.sum(jnp.sin(over_time(with_parameters(eqx.combine(arrays, static), trained), x)))

        compiled = quickly(jax.grad(total, argnums=(0, 1)))
        return lambda cell: compiled(parameters(cell), self.x, eqx.filter(cell, eqx.is_array))


Check = Callable[[CellUnderTest], Finding]


def on_specimen(check: contract.Check) -> Check:
    """A check of the contract, for a cell under test."""

    @functools.wraps(check)
    def of_cell(cell: CellUnderTest) -> Finding:
        return check(cell.specimen)

    return of_cell


def finite(cell: CellUnderTest) -> Finding:
    """The outputs of a freshly initialised cell are numbers."""
    outputs = np.asarray(cell.run(cell.cell, cell.x))
    wrong = ~np.isfinite(outputs).all(axis=(1, 2))
    if not wrong.any():
        return passed("finite")
    what = "NaN" if np.isnan(outputs).any() else "infinite"
    return failed("finite", f"its outputs are {what} from step {int(wrong.argmax()) + 1} of {TIME} on.")


def gradient(cell: CellUnderTest) -> Finding:
    """The gradients of a freshly initialised cell are numbers, and not all zero."""
    slopes, of_inputs = cell.slope(cell.cell)
    named = {**_named(slopes), "the inputs": np.asarray(of_inputs)}
    wrong = [name for name, slope in named.items() if not np.isfinite(slope).all()]
    if wrong:
        what = "NaN" if any(np.isnan(named[name]).any() for name in wrong) else "infinite"
        return failed("gradient", f"its gradient is {what} for {', '.join(wrong)}.")
    if not any(slope.any() for name, slope in named.items() if name != "the inputs"):
        return failed("gradient", "its gradient is zero for all parameters: it cannot learn.")
    if not of_inputs.any():
        return failed("gradient", "its gradient is zero for the inputs: the outputs do not depend on them.")
    return passed("gradient")


def parameters_have_effect(cell: CellUnderTest) -> Finding:
    """Every parameter changes the outputs, where none is zero."""
    slopes = _named(cell.slope(_moved(cell.cell))[0])
    without = [name for name, slope in slopes.items() if np.isfinite(slope).all() and not slope.any()]
    if not without:
        return passed("parameters have effect")
    return failed(
        "parameters have effect",
        f"these parameters have no effect on the outputs, but count in the budget: {', '.join(without)}.",
    )


def _moved(cell: Layer) -> Layer:
    """The cell with a little noise on its parameters."""
    random = np.random.default_rng(2)
    noise = lambda leaf: leaf + 0.1 * random.normal(size=leaf.shape).astype(leaf.dtype)  # noqa: E731
    return with_parameters(cell, jax.tree.map(noise, parameters(cell)))


def _named(slopes: PyTree) -> dict[str, np.ndarray]:
    """Gradients by the names of their parameters; an affine map's by its parts."""
    found: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(slopes)[0]:
        found[jax.tree_util.keystr(path, simple=True, separator=".")] = np.asarray(leaf)
    maps = affine_declarations(type(slopes))
    for name, declaration in maps.items():
        for part in ("recurrent", "input", "bias"):
            if len(declaration.blocks) == 1 or f"{name}.{part}" not in found:
                continue
            rows = np.split(found.pop(f"{name}.{part}"), len(declaration.blocks))
            found |= {f"{name}.{part} ({block})": row for block, row in zip(declaration.blocks, rows, strict=True)}
    return found


def initialised(cell: CellUnderTest) -> Finding:
    """A cell's own matrices are drawn: not all that it has of its own is the same for every key,
    and some at zeros.
    """
    one, other = (_own(cell.network(jax.random.key(seed)).layers[0]) for seed in (0, 1))
    zeros = [name for name, leaf in one.items() if leaf.ndim > 1 and not leaf.any()]
    drawn = any(not np.array_equal(leaf, other[name]) for name, leaf in one.items())
    if drawn or not zeros:
        return passed("initialised")
    return failed(
        "initialised",
        f"its own {', '.join(zeros)} starts at zeros: no affine map declares it, so write `drawn(self, key)` to draw it.",
    )


def _own(cell: Layer) -> dict[str, np.ndarray]:
    """The parameters that no affine map declares, by name, but the initial state."""
    maps = affine_declarations(type(cell))
    return {
        name: leaf for name, leaf in _named(parameters(cell)).items() if name.split(".")[0] not in (*maps, "initial")
    }


def seeds(cell: CellUnderTest) -> Finding:
    """A network's parameters follow from its key: the same from the same, and from no key of the
    cell's own.
    """
    one, two = (jax.tree.leaves(eqx.filter(cell.network(), eqx.is_array)) for _ in range(2))
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True)):
        return failed(
            "seeds",
            "two networks from one key differ: parameters are drawn without the key (NumPy, random, a clock); use "
            "jax.random with the key that __init__ or drawn is given.",
        )
    program = jax.make_jaxpr(lambda key: eqx.filter(cell.network(key), eqx.is_array))(jax.random.key(0))
    if contract.OWN_KEY in contract.primitives(program.jaxpr):
        return failed(
            "seeds",
            "parameters are drawn with a key of the cell's own, so that all seeds begin alike; use the key that "
            "__init__ or drawn is given.",
        )
    return passed("seeds")


def types(cell: CellUnderTest) -> Finding:
    """Parameters and outputs are float32."""
    named = {**_named(parameters(cell.cell)), "the outputs": np.asarray(cell.run(cell.cell, cell.x))}
    wrong = {name: value.dtype for name, value in named.items() if value.dtype != np.float32}
    if not wrong:
        return passed("types")
    return failed("types", f"not float32: {', '.join(f'{name} ({kind})' for name, kind in wrong.items())}.")


def purity(cell: CellUnderTest) -> Finding:
    """The same call gives the same outputs, to the bit."""
    one, two = (np.asarray(cell.run(cell.cell, cell.x)) for _ in range(2))
    if np.array_equal(one, two, equal_nan=True):
        return passed("purity")
    return failed("purity", "the same call gives other outputs: it keeps something between calls, or draws at random.")


def causality(cell: CellUnderTest) -> Finding:
    """No output depends on a later input, unless the class says that it does."""
    if not cell.kind.demands.causal:
        return passed("causality")
    half = TIME // 2
    before = np.asarray(cell.run(cell.cell, cell.x))[:half]
    after = np.asarray(cell.run(cell.cell, cell.x.at[half:].multiply(-1.0)))[:half]
    fault = difference(before, after)
    return failed("causality", f"its outputs depend on later inputs: they {fault}.") if fault else passed("causality")


def streaming(cell: CellUnderTest) -> Finding:
    """Step by step, it gives what it gives for the whole sequence."""
    layer = cell.cell
    if not isinstance(layer, Cell):
        return passed("streaming")
    state, outputs = layer.first_state(BATCH), []
    step = quickly(lambda state, x: layer.step(state, layer.project(x)))
    for x in cell.x:
        state, output = step(state, x)
        outputs.append(np.asarray(output))
    fault = difference(np.asarray(cell.run(cell.cell, cell.x)), np.stack(outputs))
    return failed("streaming", f"step by step its outputs {fault}.") if fault else passed("streaming")


def padding(cell: CellUnderTest) -> Finding:
    """What stands behind a sequence's length changes none of its outputs."""
    if isinstance(cell.cell, Cell):  # the loop over time sees to it
        return passed("padding")
    lengths = jnp.asarray([TIME, TIME // 2, 1, TIME - 1])
    real = real_steps(lengths, TIME)[:, None]
    run = quickly(lambda x: cell.cell(x, cell.cell.first_state(BATCH), lengths)[0])
    one, other = (np.asarray(jnp.where(real, run(jnp.where(real, cell.x, fill)), 0.0)) for fill in (0.0, 5.0))
    fault = difference(one, other)
    return failed("padding", f"with other padding its outputs {fault}.") if fault else passed("padding")


def sizing(cell: CellUnderTest) -> Finding:
    """More units have more parameters, and a budget gives the most units that fit."""
    fewest = cell.kind.demands.multiple
    counts = {units: count(cell.kind, units=units, **cell.sizes) for units in (fewest * m for m in MULTIPLES)}
    for (fewer, few), (more, many) in zip(list(counts.items())[:-1], list(counts.items())[1:], strict=True):
        if many <= few:
            return failed("sizing", f"{more} units have {many} parameters and {fewer} have {few}: more must have more.")
    budget = counts[fewest * MULTIPLES[4]]
    found = size(cell.kind, budget=budget, **cell.sizes)
    if found.units != fewest * MULTIPLES[4] or found.parameters != budget:
        return failed("sizing", f"a budget of {budget} parameters gives {found.units} units of {found.parameters}.")
    return passed("sizing")


def cost(cell: CellUnderTest) -> Finding:
    """Its operations can be counted."""
    try:
        found = costs.operations(lambda x: over_time(cell.cell, x), cell.x)
    except ValueError as error:
        return failed("cost", f"its operations cannot be counted: {error}.")
    return passed("cost") if found.total > 0 else failed("cost", "it has no operations: it computes nothing.")


def hyperparameters(cell: CellUnderTest) -> Finding:
    """Names do not clash with others, and each of the cell's own changes something."""
    declared(cell.kind)
    names, without = scalar_declarations(cell.kind), []
    default = cell.network()
    for name, number in names.items():
        value = number.low if number.default != number.low else number.high
        changed: dict[str, Any] = {name: value}
        other = cell.network(**changed).layers[0]
        same_outputs = np.array_equal(cell.run(default.layers[0], cell.x), cell.run(other, cell.x), equal_nan=True)
        if same_outputs:
            without.append(name)
    if not without:
        return passed("hyperparameters")
    return failed("hyperparameters", f"these hyperparameters change nothing: {', '.join(without)}.")


def training(cell: CellUnderTest) -> Finding:
    """A short training run lowers its loss."""
    losses = np.asarray(_train(cell))
    if not np.isfinite(losses).all():
        return failed("training", f"a short training run diverges: its loss is {losses[~np.isfinite(losses)][0]}.")
    first, last = losses[0], losses[-5:].mean()
    if last >= first:
        return failed(
            "training", f"{STEPS} steps of Adam do not lower its loss ({first:.3g} at first, {last:.3g} at last)."
        )
    return passed("training")


def _train(cell: CellUnderTest) -> Float[Array, " steps"]:
    """The losses of a network that learns to give its input's first feature."""
    network = cell.network()
    optimiser = optax.adam(LEARNING_RATE)
    trained, fixed = eqx.partition(network, trainable(network))
    x = jnp.transpose(cell.x[:, : cell.sizes["inputs"]], (2, 0, 1))

    def loss(trained: PyTree) -> Array:
        outputs = jax.vmap(eqx.combine(trained, fixed))(x)
        return jnp.mean((outputs - x[:, :, :1]) ** 2)

    def step(carried: Any, _: None) -> Any:
        trained, state = carried
        value, slope = jax.value_and_grad(loss)(trained)
        updates, state = optimiser.update(slope, state)
        return (optax.apply_updates(trained, updates), state), value

    begin = (trained, optimiser.init(trained))
    return quickly(lambda begin: jax.lax.scan(step, begin, None, STEPS)[1])(begin)


CONTRACT: tuple[Check, ...] = tuple(on_specimen(check) for check in contract.REFUSED)
"""What the others need: where one of these fails, they cannot be run."""

CHECKS: tuple[Check, ...] = (
    *CONTRACT,
    on_specimen(contract.side_effects),
    on_specimen(contract.nonlinearity),
    finite,
    gradient,
    parameters_have_effect,
    initialised,
    seeds,
    types,
    purity,
    causality,
    streaming,
    padding,
    sizing,
    cost,
    hyperparameters,
    training,
)
"""All checks of a cell, in the order in which they are told."""
