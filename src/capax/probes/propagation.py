"""How signals and gradients pass through a deep recurrent network, layer by layer (Zucchet &
Orvieto 2024, Recurrent neural networks: vanishing and exploding gradients are not the end of the
story: deep networks at initialisation).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from capax.cells.block import Block, block
from capax.cells.cell import Cell, State, affine_declarations, layer_norm, scalar_declarations
from capax.cells.diagonal import Cartesian, Diagonal
from capax.cells.lru import LRU
from capax.cells.registry import goes_into_block
from capax.cells.s4d import S4D
from capax.errors import CapaxError, closest
from capax.networks import ways
from capax.networks.network import Network
from capax.probes.measurement import Measurement, finite_or_infinite
from capax.probes.subject import Subject
from capax.tasks.batch import SequenceBatch

AS_IT_IS = "as it is"


def _batch_norm(x: Array) -> Array:
    """x, of shape (time, units, batch), with mean 0 and variance 1 over the whole batch at all
    times, unit by unit: the same formula as over units, on other axes.
    """
    time, units, batch = x.shape
    normed = layer_norm(jnp.moveaxis(x, 1, 2).reshape(time * batch, units))
    return jnp.moveaxis(normed.reshape(time, batch, units), 2, 1)


NORMS: dict[str, Callable[[Array], Array]] = {"none": lambda x: x, "layer": jax.vmap(layer_norm), "batch": _batch_norm}
"""What a block may do to its input, of shape (time, units, batch)."""

POLAR: dict[type[Diagonal], tuple[str, str]] = {LRU: ("w_nu", "w_theta"), S4D: ("w_decay", "frequency")}
"""The parameters that are a diagonal cell's modulus and angle. (S4D's w_step moves both, and counts
to the rest.)
"""

KINDS = {"recurrent": "recurrent matrices", "input": "input matrices", "bias": "biases"}
"""The parts of a declared affine map."""

OF_THE_BLOCK = {field.name for field in dataclasses.fields(Block)} - {field.name for field in dataclasses.fields(Cell)}


def measure(subject: Subject, *, norm: str = AS_IT_IS) -> Measurement:
    """Mean squares of each layer's state, of its output, and of the loss gradient with respect to
    its parameters.

    State and output: the mean over time (from the first step on), sequences, and units; |h|^2 where
    units are complex; over all vectors of a state that has several. Gradient: of the loss of the
    whole batch, squared, its mean over the parameters of a group. Diagonal cells have the groups
    "modulus", "angle", and "rest" (B, C, D, gamma, norm, GLU): w_nu and w_theta of the LRU, w_decay
    and frequency of S4D, and nu and theta of lambda = nu exp(i theta) where the parameters are real
    and imaginary part. Declared affine maps have "recurrent matrices", "input matrices", and
    "biases", and a block its "norm and GLU"; of other cells each array is a group. Learned initial
    states are left out; "all" is the rest of the layer.

    The loss is the task's, or without a task the mean over time and sequences of 1/2 |y - z|^2,
    with y the output of the top layer and z as many white Gaussian numbers of variance 1.

    Options: `norm`, of the blocks [norm ->] recurrence -> GELU -> GLU -> skip: "none", "layer"
    (over units), "batch" (over all sequences and times, unit by unit), or "as it is". A network of
    blocks keeps its parameters, and those of its norm. For any other network the first three
    measure a new one, of blocks around its cell, behind an input map to as many features as units:
    the scalar hyperparameters are those of its first layer, the other ones the defaults.

    Units: those of state and output, squared; those of the loss per unit of the parameter, squared.
    Source: Zucchet & Orvieto 2024, signal propagation in deep recurrent networks.
    Raises `CapaxError` for an unknown norm, or a cell that does not go into a block.
    """
    if norm not in (AS_IT_IS, *NORMS):
        raise CapaxError(
            f"probe propagation: norm is one of {AS_IT_IS}, {', '.join(NORMS)}, not '{norm}'{closest(norm, list(NORMS))}."
        )
    subject = subject.of_one_length()
    seeds = jax.random.split(jax.random.fold_in(jax.random.key(subject.seed), 2))  # apart from network and sequences
    if norm != AS_IT_IS and not isinstance(subject.network.layers[0], Block):
        blocks = _of_blocks(subject.network, subject.inputs.shape[1], seeds[0])
        subject = dataclasses.replace(subject, cell=f"block-{subject.cell}", network=blocks)
    vector, network_of, places = subject.flat()

    def loss(vector: Array, draw: SequenceBatch) -> tuple[Array, Any]:
        network = network_of(vector)
        x = draw.inputs.values_at_every_step()
        states, outputs = forward(network, x, norm)
        signals = [_mean_squares(cell, *both) for cell, *both in zip(network.cells, states, outputs, strict=True)]
        return _loss(subject, network, x, outputs[-1], draw, seeds[1]), signals

    (value, signals), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(vector, subject.draw)
    gradient = np.asarray(gradient, np.float64)
    frame = pd.concat(
        [
            _rows(number, cell, signals[number], _of_layer(gradient, places, number))
            for number, cell in enumerate(subject.network.cells)
        ],
        ignore_index=True,
    )
    described = {
        **subject.describe(),
        "norm": norm,
        "loss": "white Gaussian targets" if subject.task is None else subject.task.name,
    }
    return Measurement("propagation", described, {"loss": float(finite_or_infinite(value)), **_summary(frame)}, frame)


def forward(
    network: Network, x: Float[Array, "time inputs batch"], norm: str = AS_IT_IS
) -> tuple[list[State], list[Float[Array, "time units batch"]]]:
    """States, (time, .., batch), and outputs of each layer, from the first to the top one. A `norm`
    other than "as it is" takes the place of the blocks' own.
    """
    states, outputs = [], []

    def run(cell: Cell, state: State, x: Array) -> tuple[Array, State]:
        def step(state: State, projected: Any) -> tuple[State, tuple[State, Array]]:
            state, output = cell.step(state, projected)
            return state, (state, output)

        state, (h, y) = jax.lax.scan(step, state, _projected(cell, x, norm))
        states.append(h)
        outputs.append(y)
        return y, state

    before, entered = ways.first_states(network.layers, x.shape[2]), jax.vmap(network.enter)(x)
    upwards = ways.upwards_at(network.between(), jnp.arange(x.shape[0]))
    ways.through(network.layers, before, entered, run, between=upwards)
    return states, outputs


def _projected(cell: Cell, x: Array, norm: str) -> Any:
    if norm == AS_IT_IS:
        return jax.vmap(cell.project)(x)
    assert isinstance(cell, Block)
    scale, bias = (part[None, :, None] for part in (cell.norm_scale, cell.norm_bias))
    # The recurrence's own projection is the one behind Block in the order of classes.
    return jax.vmap(super(Block, cell).project)(scale * NORMS[norm](x) + bias), x


def _of_blocks(network: Network, inputs: int, key: Array) -> Network:
    """A new network, of blocks around the cell of another."""
    first = network.cells[0]
    cell = type(first)
    if not goes_into_block(cell):
        raise CapaxError(
            f"probe propagation: {cell.__name__} does not go into a block, which needs a layer of its own kind; leave norm '{AS_IT_IS}'."
        )
    scalars: dict[str, Any] = {name: float(getattr(first, name)) for name in scalar_declarations(cell)}
    return Network.create(
        block(cell),
        inputs=inputs,
        outputs=network.readout.weight.shape[0],
        depth=len(network.layers),
        units=first.units,
        key=key,
        nonlinearity=first.nonlinearity,
        **scalars,
    )


def _loss(subject: Subject, network: Network, x: Array, top: Array, draw: SequenceBatch, key: Array) -> Array:
    if subject.task is None:
        targets = jax.random.normal(key, top.shape)
        return 0.5 * jnp.mean(jnp.sum((top - targets) ** 2, axis=1))
    sums = subject.task.measure(network.read_all(top, x)[:, subject.task.first :], draw)
    return sums["loss"] / sums["weight"]


def _mean_squares(cell: Cell, state: State, output: Array) -> dict[str, tuple[int, Array]]:
    """How many numbers, and the mean of their squares."""
    vectors = jax.tree.leaves(state)
    total = jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in vectors]))
    numbers, units = sum(leaf.size for leaf in vectors), sum(leaf.shape[1] for leaf in vectors)
    if isinstance(cell, Diagonal):  # real and imaginary parts make one number
        numbers, units = numbers // 2, units // 2
    return {"state": (units, total / numbers), "output": (output.shape[1], jnp.mean(output**2))}


def _of_layer(gradient: np.ndarray, places: dict[str, slice], layer: int) -> dict[str, np.ndarray]:
    """The gradient of a layer's parameters by name, without its initial state."""
    prefix = f"layers.{layer}."
    names = {name: name.removeprefix(prefix) for name in places if name.startswith(prefix)}
    return {short: gradient[places[name]] for name, short in names.items() if short.split(".")[0] != "initial"}


def _grouped(cell: Cell, gradient: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradient's entries, group by group."""
    polar = next((names for kind, names in POLAR.items() if isinstance(cell, kind)), None)
    if isinstance(cell, Cartesian):
        modulus, angle = _modulus_and_angle(cell, gradient["a"], gradient["b"])
        polar = ("a", "b")
    elif polar:
        modulus, angle = (gradient[name] for name in polar)
    else:
        found: dict[str, list[np.ndarray]] = {}
        for name, entries in gradient.items():
            found.setdefault(_kind(cell, name), []).append(entries)
        return {kind: np.concatenate(parts) for kind, parts in found.items()}
    rest = np.concatenate([entries for name, entries in gradient.items() if name not in polar])
    return {"modulus": modulus, "angle": angle, "rest": rest}


def _modulus_and_angle(cell: Cartesian, by_a: np.ndarray, by_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dL/dnu and dL/dtheta of lambda = a + i b = nu exp(i theta)."""
    a, b = np.asarray(cell.a, np.float64), np.asarray(cell.b, np.float64)
    nu = np.hypot(a, b)
    cosine, sine = (
        np.divide(a, nu, out=np.ones_like(a), where=nu > 0),
        np.divide(b, nu, out=np.zeros_like(b), where=nu > 0),
    )
    with np.errstate(invalid="ignore"):  # of an unstable network the gradient is infinite
        return cosine * by_a + sine * by_b, a * by_b - b * by_a


def _kind(cell: Cell, name: str) -> str:
    field, _, part = name.partition(".")
    if field in affine_declarations(type(cell)):
        return KINDS[part]
    return "norm and GLU" if isinstance(cell, Block) and field in OF_THE_BLOCK else name


def _rows(layer: int, cell: Cell, signals: dict[str, Any], gradient: dict[str, np.ndarray]) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for signal in ("state", "output"):
        numbers, mean = signals[signal]
        rows.append((layer, signal, "", int(numbers), float(finite_or_infinite(mean))))
    for group, entries in {**_grouped(cell, gradient), "all": np.concatenate(list(gradient.values()))}.items():
        rows.append((layer, "gradient", group, entries.size, float(np.mean(finite_or_infinite(entries) ** 2))))
    return pd.DataFrame(rows, columns=["layer", "signal", "group", "numbers", "mean_square"])


def _summary(frame: pd.DataFrame) -> dict[str, float]:
    """Mean squares of the first and the top layer; of diagonal cells, too, the gradients of modulus
    and angle over the rest's.
    """
    found: dict[str, float] = {}
    for place, layer in (("first", 0), ("top", frame["layer"].max())):
        rows = frame[frame["layer"] == layer]
        known = dict(zip(rows["signal"] + rows["group"], rows["mean_square"], strict=True))
        found |= {f"{name}_{place}": known[name] for name in ("state", "output")}
        found[f"gradient_{place}"] = known["gradientall"]
        if "gradientrest" in known:
            for name in ("modulus", "angle"):
                with np.errstate(divide="ignore", invalid="ignore"):  # NaN: both vanish, or both are infinite
                    ratio = np.float64(known[f"gradient{name}"]) / known["gradientrest"]
                found[f"{name}_to_rest_{place}"] = float(ratio)
    return found
