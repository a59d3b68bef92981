"""What networks cost: operations, bytes, and time, counted in their own traced programs, estimated by a roofline, and measured."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.cells import registry
from capax.cells.sequence import Dense
from capax.errors import CapaxError
from capax.networks.network import Network
from capax.networks.parts import count_parameters, trainable
from capax.networks.sizing import size
from capax.report.probe_figures.lines import decades
from capax.report.style import GREY, look, styles
from capax.theory import costs, roofline
from capax.theory.costs import Operations
from capax.theory.roofline import HERE, Device, Region
from capax.training import backend, machine

LENGTHS = (64, 128, 192)
"""Counts grow at most with the square of the length, so that three lengths tell all others."""

QUANTITIES = {
    "flops": "operations of one sequence",
    "bytes": "bytes kept for the gradient",
    "seconds": "time by roofline (s)",
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """One network, as shapes alone, for sequences of `length` steps in batches of `batch`."""

    cell: str
    network: Network
    inputs: int
    batch: int

    def arguments(self, length: int, batch: int | None = None) -> tuple[Network, jax.ShapeDtypeStruct]:
        """Shapes of a network and its inputs."""
        return self.network, jax.ShapeDtypeStruct((length, self.inputs, batch or self.batch), jnp.float32)

    def forward(self, checkpoint_every: int | None = None) -> Callable[[Network, Any], Any]:
        """From a network and inputs to outputs, as a CPU runs it."""

        def run(network: Network, x: Any) -> Any:
            way = network.usual_way(x.shape[0], checkpoint_every=checkpoint_every, backend="cpu")
            return network.run(Dense(x), way=way)

        return run

    def training(self, checkpoint_every: int | None = None) -> Callable[[Network, Any], Any]:
        """The gradient of the mean square of all outputs."""
        forward = self.forward(checkpoint_every)

        def gradient(network: Network, x: Any) -> Any:
            trained, rest = eqx.partition(network, trainable(network))
            return jax.grad(lambda trained: jnp.mean(forward(eqx.combine(trained, rest), x) ** 2))(trained)

        return gradient

    @functools.cached_property
    def _counted(self) -> dict[str, list[int]]:
        """Operations and kept bytes at `LENGTHS`."""
        return {
            "flops": [self.operations(length).total for length in LENGTHS],
            "bytes": [self.activation_bytes(length) for length in LENGTHS],
        }

    def operations(self, length: int) -> Operations:
        """Forward, of one sequence."""
        return costs.operations(self.forward(), *self.arguments(length, 1))

    def activation_bytes(self, length: int) -> int:
        """What the gradient of a batch keeps if nothing is computed again."""
        return costs.kept_bytes(self.forward(checkpoint_every=0), *self.arguments(length))

    @functools.cached_property
    def _traced(self) -> dict[int, list[Region]]:
        return {}

    def regions(self, length: int) -> list[Region]:
        """Of a batch forward, for the roofline; traced once a length."""
        if length not in self._traced:
            self._traced[length] = roofline.regions(self.forward(), *self.arguments(length))
        return self._traced[length]

    def quantity(self, name: str, length: int, device: Device, precision: str) -> float:
        """One of `QUANTITIES` at a length."""
        if name == "seconds":
            return roofline.seconds(self.regions(length), device, precision)
        return float(_through(self._counted[name], length))


def _through(counted: list[int], length: int) -> Fraction:
    """The polynomial through what was counted at `LENGTHS`, without rounding: equal networks are equally dear at every length."""
    total = Fraction(0)
    for at, value in zip(LENGTHS, counted, strict=True):
        others = [other for other in LENGTHS if other != at]
        total += value * math.prod((Fraction(length - other, at - other) for other in others), start=Fraction(1))
    return total


@dataclasses.dataclass(frozen=True)
class Costs:
    """`frame`, one row a network; `curves`, quantities against length; `crossovers`, at which length one network gets dearer than another;
    `checkpointing`, memory and time against checkpoints, where asked for; `notes`."""

    frame: pd.DataFrame
    curves: pd.DataFrame
    crossovers: list[dict[str, Any]]
    checkpointing: pd.DataFrame | None
    device: Device
    precision: str
    length: int
    batch: int
    notes: list[str]

    def figure(self) -> Figure:
        """Operations, memory, and time against the length, crossovers marked."""
        with look():
            return _figure(self)

    def checkpointing_figure(self) -> Figure:
        """Memory and time of a training step against the steps between checkpoints."""
        with look():
            return _checkpointing_figure(self)


def cost(
    cells: Sequence[str],
    *,
    units: int | None = None,
    budget: int | None = None,
    depth: int = 1,
    inputs: int = 1,
    outputs: int = 1,
    length: int = 512,
    batch: int = 1,
    device: str = HERE,
    precision: str = "fp32",
    checkpoint_every: Sequence[int] = (),
    measure: bool = True,
) -> Costs:
    """The costs of networks, each of `units` units per layer, or the largest within `budget` parameters.

    **Arguments:** `length`, time steps of a sequence; `batch`, sequences at the same time; `device`, by whose rates time is estimated:
    "here", which is measured, or one of `theory.roofline.DEVICES`, at a `precision` that it has; `checkpoint_every`: of training with a
    checkpoint at each so many steps, memory and time; `measure`: whether networks are run, which is done here alone.

    Raises `CapaxError` for sizes below 1, unknown cells, devices, precisions.
    """
    for name, value in {"length": length, "batch": batch, "depth": depth, "inputs": inputs, "outputs": outputs}.items():
        if value < 1:
            raise CapaxError(f"{name} must be at least 1, not {value}.")
    if any(value < 1 for value in checkpoint_every):
        raise CapaxError(f"checkpoint-every must be at least 1, not {min(checkpoint_every)}.")
    if (units is None) == (budget is None):
        both = "and not both" if units is not None else "one of them is needed"
        raise CapaxError(
            f"give either units per layer (--units 64) or a budget of parameters (--budget 10000): {both}."
        )
    if not cells:
        raise CapaxError("name at least one cell.")
    if device != HERE:
        roofline.device(device).peak(precision)
    elif precision != "fp32":
        raise CapaxError(f"rates of this machine are measured at fp32, not at {precision}.")
    backend.configure()
    runs = measure and device == HERE
    if checkpoint_every and not runs:
        raise CapaxError(
            "checkpoints are measured, which is done on this machine alone: leave --device and --no-measure out."
        )
    sizes = {"inputs": inputs, "outputs": outputs, "depth": depth}
    subjects = [_subject(cell, units, budget, batch, sizes) for cell in dict.fromkeys(cells)]
    rates = machine.here() if device == HERE else roofline.device(device)
    rows = [_row(subject, length, rates, precision, runs) for subject in subjects]
    curves, crossovers = _curves(subjects, length, rates, precision), _crossovers(subjects, length, rates, precision)
    again = None
    if checkpoint_every:
        again = pd.DataFrame([row for subject in subjects for row in _checkpointing(subject, length, checkpoint_every)])
    frame = pd.DataFrame(rows)
    return Costs(frame, curves, crossovers, again, rates, precision, length, batch, _notes(frame, rates, length, runs))


def _subject(cell: str, units: int | None, budget: int | None, batch: int, sizes: dict[str, int]) -> Subject:
    kind = registry.get(cell)
    width = units if units is not None else size(cell, budget=budget or 0, **sizes).units
    network = eqx.filter_eval_shape(Network, kind, units=width, **sizes)
    return Subject(cell, network, sizes["inputs"], batch)


def _row(subject: Subject, length: int, device: Device, precision: str, runs: bool) -> dict[str, Any]:
    network, batch = subject.network, subject.batch
    forward = subject.regions(length)
    training = roofline.regions(subject.training(), *subject.arguments(length))
    counted, estimated = subject.operations(length), roofline.seconds(forward, device, precision)
    measured, trained, peak = _measured(subject, length) if runs else (None, None, None)
    total = counted.total
    return {
        "cell": subject.cell,
        "depth": len(network.layers),
        "units": network.layers[0].units,
        "parameters": count_parameters(network),
        "weight_bytes": 4 * count_parameters(network),
        "flops_per_step": total // length if total % length == 0 else total / length,
        "flops_per_sequence": total,
        "flops_of_products": counted.products,
        "flops_elementwise": counted.elementwise,
        "flops_of_functions": counted.functions,
        "training_flops_per_sequence": costs.operations(subject.training(), *subject.arguments(length, 1)).total,
        "state_bytes": 4 * batch * sum(cell.numbers_kept(length) for cell in network.layers),
        "activation_bytes": subject.activation_bytes(length),
        "intensity": total * batch / max(1, roofline.traffic(forward)),
        "sequential_steps": length if network.recurrent else 1,
        "seconds_estimated": estimated,
        "seconds_measured": measured,
        "fraction_of_peak": None if measured is None else total * batch / measured / device.peak(precision),
        "training_seconds_estimated": roofline.seconds(training, device, precision),
        "training_seconds_measured": trained,
        "training_peak_bytes": peak,
    }


def _made(subject: Subject, length: int) -> tuple[Network, jax.Array]:
    """The network, initialised, and inputs of noise."""
    shapes = subject.network
    network = Network.create(
        type(shapes.layers[0]),
        inputs=subject.inputs,
        outputs=shapes.readout.bias.shape[0],
        depth=len(shapes.layers),
        units=shapes.layers[0].units,
        key=jax.random.key(0),
    )
    return network, jax.random.normal(jax.random.key(1), (length, subject.inputs, subject.batch))


def _measured(subject: Subject, length: int) -> tuple[float, float, int]:
    """Seconds of a batch forward and of its gradient, and the bytes that the gradient's program needs beside arguments and results."""
    network, x = _made(subject, length)
    forward = eqx.filter_jit(subject.forward())
    seconds, bytes_needed = _step(subject, None, network, x)
    return machine.seconds(forward, network, x), seconds, bytes_needed


def _step(subject: Subject, checkpoint_every: int | None, network: Network, x: jax.Array) -> tuple[float, int]:
    arrays, static = eqx.partition(network, eqx.is_array)
    gradient = jax.jit(lambda arrays, x: subject.training(checkpoint_every)(eqx.combine(arrays, static), x))
    compiled = gradient.lower(arrays, x).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    return machine.seconds(compiled, arrays, x, repeats=3), int(analysis.temp_size_in_bytes)


def _checkpointing(subject: Subject, length: int, every: Sequence[int]) -> list[dict[str, Any]]:
    """A row for keeping everything, for what is done by default, and for each distance of checkpoints; of layers that see whole sequences
    one for keeping what each layer reads."""
    network, x = _made(subject, length)
    rows = []
    for number in (0, None, *every) if network.recurrent else (0, 1):
        seconds, needed = _step(subject, number, network, x)
        rows.append({"cell": subject.cell, "checkpoint_every": number, "seconds": seconds, "peak_bytes": needed})
    for row in rows:
        row["memory_saved"] = rows[0]["peak_bytes"] / max(1, row["peak_bytes"])
        row["slowdown"] = row["seconds"] / rows[0]["seconds"]
    return rows


def _lengths(length: int) -> list[int]:
    return [2**power for power in range(3, max(12, math.ceil(math.log2(length)) + 2) + 1)]


def _curves(subjects: list[Subject], length: int, device: Device, precision: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "cell": subject.cell,
                "length": steps,
                **{name: subject.quantity(name, steps, device, precision) for name in QUANTITIES},
            }
            for subject in subjects
            for steps in _lengths(length)
        ]
    )


def _crossovers(subjects: list[Subject], length: int, device: Device, precision: str) -> list[dict[str, Any]]:
    """For each pair and quantity, the first length at which the one that was cheaper no longer is."""
    found, grid = [], _lengths(length)
    for one, other in itertools.combinations(subjects, 2):
        for name in QUANTITIES:
            dearer = functools.cache(
                lambda steps, one=one, other=other, name=name: (
                    one.quantity(name, steps, device, precision) > other.quantity(name, steps, device, precision)
                )
            )
            for low, high in itertools.pairwise(grid):
                if dearer(low) == dearer(high):
                    continue
                first = dearer(low)
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if dearer(middle) == first else (low, middle)
                cheaper, dear = (one.cell, other.cell) if first else (other.cell, one.cell)
                found.append({"quantity": name, "length": high, "cheaper_from_there": cheaper, "than": dear})
    return found


def _notes(frame: pd.DataFrame, device: Device, length: int, runs: bool) -> list[str]:
    notes = [
        "Operations are counted in the traced program: products of matrices (2 for a multiplication with an addition), elementwise "
        "ones, and functions such as tanh (1 each). Of the gradient: forward, backward, and what is computed again to save memory.",
        "State: what must be kept of a sequence to go on from its end. Activations: what the gradient of a batch keeps if nothing "
        "is computed again.",
        f"Roofline, an estimate: {device.source}; {device.latency:.2g} s until a product that waits for the last one has begun. Bytes in "
        "the table are those of FP32.",
        f"Which network is dearer was compared from {_lengths(length)[0]} to {_lengths(length)[-1]:,} steps; where no length is named, "
        "the order is the same throughout. Times by roofline have small jumps, so theirs are about right.",
    ]
    if runs:
        for row in frame.to_dict("records"):
            ratio = row["seconds_measured"] / row["seconds_estimated"]
            if ratio > 3:
                each = row["seconds_measured"] / row["sequential_steps"]
                notes.append(
                    f"{row['cell']}: measured {ratio:.1f} times the estimate. Its {length} steps come one after the other, each in "
                    f"{each:.1e} s: at this size what a step waits for (starting its few operations) takes longer than its work."
                    if row["sequential_steps"] > 1
                    else f"{row['cell']}: measured {ratio:.1f} times the estimate: masks, softmax, and norms move memory that the roofline "
                    "takes to stay in registers."
                )
    else:
        notes.append("Nothing was measured: a network is run on this machine alone (--device here).")
    return notes


def _figure(found: Costs) -> Figure:
    figure = Figure((12.0, 4.0), layout="constrained")
    panels = figure.subplots(1, 3)
    looks = styles(list(found.frame["cell"]))
    for axes, (name, title) in zip(panels, QUANTITIES.items(), strict=True):
        for cell, style in looks.items():
            part = pd.DataFrame(found.curves[found.curves["cell"] == cell])
            axes.loglog(
                part["length"], part[name], color=style.colour, linestyle=style.line, marker=style.marker, label=style.label,
                markersize=4.5,
            )  # fmt: skip
        _mark(axes, found, name)
        axes.set(title=title, xlabel="length (steps)")
    if found.frame["seconds_measured"].notna().to_numpy().all():
        for row in found.frame.to_dict("records"):
            style = looks[row["cell"]]
            panels[2].scatter(
                found.length, row["seconds_measured"], 90, marker=style.marker, facecolor="none", edgecolor=style.colour,
                linewidth=1.6, zorder=3,
            )  # fmt: skip
        panels[2].set_title("time by roofline; open: measured (s)")
    panels[0].legend(fontsize=9)
    sequences = "1 sequence" if found.batch == 1 else f"{found.batch} sequences"
    figure.supxlabel(
        f"bytes and time: {sequences}; device: {found.device.name}, {found.precision}; dotted: crossovers", fontsize=9, color=GREY
    )  # fmt: skip
    return figure


def _mark(axes: Axes, found: Costs, name: str) -> None:
    """Dotted lines where one network gets dearer than another, with the length beside them."""
    lengths = sorted({crossover["length"] for crossover in found.crossovers if crossover["quantity"] == name})
    for place, steps in enumerate(lengths):
        axes.axvline(steps, color=GREY, linestyle=":", linewidth=1.1)
        axes.annotate(
            f"{steps:,}", (steps, 0.03 + 0.07 * (place % 3)), xycoords=("data", "axes fraction"), xytext=(3, 0),
            textcoords="offset points", fontsize=8.5, color=GREY,
        )  # fmt: skip


def _checkpointing_figure(found: Costs) -> Figure:
    assert found.checkpointing is not None
    figure = Figure((8.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for cell, style in styles(list(found.frame["cell"])).items():
        rows = pd.DataFrame(found.checkpointing[found.checkpointing["cell"] == cell])
        some = pd.DataFrame(rows[rows["checkpoint_every"] > 0]).sort_values("checkpoint_every")
        looks = {"color": style.colour, "linestyle": style.line, "marker": style.marker}
        left.semilogx(some["checkpoint_every"], some["peak_bytes"] / 2**20, label=style.label, **looks)
        right.semilogx(some["checkpoint_every"], some["slowdown"], **looks)
        everything = float(rows["peak_bytes"].iloc[0]) / 2**20
        left.axhline(everything, color=style.colour, linestyle=(0, (1, 2)), label=f"{style.label}, everything kept")
    right.axhline(1.0, color=GREY, linestyle=(0, (1, 2)))
    decades(left, found.checkpointing["peak_bytes"].to_numpy() / 2**20)
    right.set_ylim(bottom=0.0)
    left.set(title="memory of a training step (MiB)", xlabel="steps between checkpoints")
    right.set(title="time, of keeping everything = 1", xlabel="steps between checkpoints")
    left.legend(fontsize=9)
    return figure
