"""What networks cost: operations, bytes, and time: counted, estimated by a roofline, and
measured.
"""

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

from capax.cells import registry
from capax.cells.sequence import Dense
from capax.errors import CapaxError
from capax.measuring import machine
from capax.networks.network import Network
from capax.networks.parts import count_parameters, trainable
from capax.networks.sizing import size
from capax.theory import costs, roofline
from capax.theory.costs import Operations
from capax.theory.roofline import HERE, Device, Region
from capax.training import backend

LENGTHS = (64, 128, 192)
"""Counts grow at most with the square of the length, so that three lengths tell all others."""

QUANTITIES = ("flops", "bytes", "seconds")
"""What is compared over lengths: operations of one sequence, bytes kept for the gradient, time by
roofline."""

SLOWER = 3.0
"""Times the estimate: a measured time above it is explained."""


@dataclasses.dataclass(frozen=True)
class Profile:
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
    """The polynomial through what was counted at `LENGTHS`.

    Without rounding, so that equal networks are equally dear at every length.
    """
    total = Fraction(0)
    for at, value in zip(LENGTHS, counted, strict=True):
        others = [other for other in LENGTHS if other != at]
        total += value * math.prod((Fraction(length - other, at - other) for other in others), start=Fraction(1))
    return total


@dataclasses.dataclass(frozen=True)
class Costs:
    """What was found of some networks.

    `frame`, one row a network; `curves`, quantities against length; `crossovers`, at which length
    one network gets dearer than another; `checkpointing`, memory and time against checkpoints,
    where asked for; `notes`, what must be said of the numbers.
    """

    frame: pd.DataFrame
    curves: pd.DataFrame
    crossovers: list[dict[str, Any]]
    checkpointing: pd.DataFrame | None
    device: Device
    precision: str
    length: int
    batch: int
    notes: list[str]


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
    """The costs of networks, each of `units` units per layer, or the largest within `budget`
    parameters.

    **Arguments:**

    - `length`: time steps of a sequence; `batch`: sequences at the same time.
    - `device`: by whose rates time is estimated: "here", which is measured, or one of
      `theory.roofline.DEVICES`, at a `precision` that it has.
    - `checkpoint_every`: memory and time of training with a checkpoint at each so many steps.
    - `measure`: whether networks are run, which is done here alone.

    Raises `CapaxError` for sizes below 1, unknown cells, devices, precisions.
    """
    sizes = {"inputs": inputs, "outputs": outputs, "depth": depth}
    _check(cells, units, budget, {"length": length, "batch": batch, **sizes}, checkpoint_every)
    _check_rates(device, precision)
    backend.configure()
    runs = measure and device == HERE
    if checkpoint_every and not runs:
        raise CapaxError(
            "checkpoints are measured, which is done on this machine alone: leave --device and --no-measure out."
        )
    profiles = [_profile(cell, units, budget, batch, sizes) for cell in dict.fromkeys(cells)]
    rates = machine.here() if device == HERE else roofline.device(device)
    rows = [_row(profile, length, rates, precision, runs) for profile in profiles]
    curves, crossovers = _curves(profiles, length, rates, precision), _crossovers(profiles, length, rates, precision)
    again = None
    if checkpoint_every:
        again = pd.DataFrame([row for profile in profiles for row in _checkpointing(profile, length, checkpoint_every)])
    frame = pd.DataFrame(rows)
    return Costs(frame, curves, crossovers, again, rates, precision, length, batch, _notes(frame, rates, length, runs))


def _check(
    cells: Sequence[str],
    units: int | None,
    budget: int | None,
    sizes: dict[str, int],
    checkpoint_every: Sequence[int],
) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise CapaxError(f"{name} must be at least 1, not {value}.")
    if any(value < 1 for value in checkpoint_every):
        raise CapaxError(f"checkpoint-every must be at least 1, not {min(checkpoint_every)}.")
    if (units is None) == (budget is None):
        said = "not both of them" if units is not None else "one of them is needed"
        raise CapaxError(f"give units per layer (--units 64) or a budget of parameters (--budget 10000): {said}.")
    if not cells:
        raise CapaxError("name at least one cell.")


def _check_rates(device: str, precision: str) -> None:
    if device != HERE:
        roofline.device(device).peak(precision)
    elif precision != "fp32":
        raise CapaxError(f"rates of this machine are measured at fp32, not at {precision}.")


def _profile(cell: str, units: int | None, budget: int | None, batch: int, sizes: dict[str, Any]) -> Profile:
    kind = registry.get(cell)
    width = units if units is not None else size(cell, budget=budget or 0, **sizes).units
    network = eqx.filter_eval_shape(Network, kind, units=width, **sizes)
    return Profile(cell, network, sizes["inputs"], batch)


def _row(profile: Profile, length: int, device: Device, precision: str, runs: bool) -> dict[str, Any]:
    network, batch = profile.network, profile.batch
    forward = profile.regions(length)
    training = roofline.regions(profile.training(), *profile.arguments(length))
    counted, estimated = profile.operations(length), roofline.seconds(forward, device, precision)
    measured, trained, peak = _measured(profile, length) if runs else (None, None, None)
    total = counted.total
    return {
        "cell": profile.cell,
        "depth": len(network.layers),
        "units": network.layers[0].units,
        "parameters": count_parameters(network),
        "weight_bytes": 4 * count_parameters(network),
        "flops_per_step": total // length if total % length == 0 else total / length,
        "flops_per_sequence": total,
        "flops_of_products": counted.products,
        "flops_elementwise": counted.elementwise,
        "flops_of_functions": counted.functions,
        "training_flops_per_sequence": costs.operations(profile.training(), *profile.arguments(length, 1)).total,
        "state_bytes": 4 * batch * sum(cell.numbers_kept(length) for cell in network.layers),
        "activation_bytes": profile.activation_bytes(length),
        "intensity": total * batch / max(1, roofline.traffic(forward)),
        "sequential_steps": length if network.recurrent else 1,
        "seconds_estimated": estimated,
        "seconds_measured": measured,
        "fraction_of_peak": None if measured is None else total * batch / measured / device.peak(precision),
        "training_seconds_estimated": roofline.seconds(training, device, precision),
        "training_seconds_measured": trained,
        "training_peak_bytes": peak,
    }


def _made(profile: Profile, length: int) -> tuple[Network, jax.Array]:
    """The network, initialised, and inputs of noise."""
    shapes = profile.network
    network = Network.create(
        type(shapes.layers[0]),
        inputs=profile.inputs,
        outputs=shapes.readout.bias.shape[0],
        depth=len(shapes.layers),
        units=shapes.layers[0].units,
        key=jax.random.key(0),
    )
    return network, jax.random.normal(jax.random.key(1), (length, profile.inputs, profile.batch))


def _measured(profile: Profile, length: int) -> tuple[float, float, int]:
    """Seconds of a batch forward and of its gradient, and bytes that the gradient's program needs.

    The bytes are those beside arguments and results.
    """
    network, x = _made(profile, length)
    forward = eqx.filter_jit(profile.forward())
    seconds, bytes_needed = _step(profile, None, network, x)
    return machine.seconds(forward, network, x), seconds, bytes_needed


def _step(profile: Profile, checkpoint_every: int | None, network: Network, x: jax.Array) -> tuple[float, int]:
    arrays, static = eqx.partition(network, eqx.is_array)
    gradient = jax.jit(lambda arrays, x: profile.training(checkpoint_every)(eqx.combine(arrays, static), x))
    compiled = gradient.lower(arrays, x).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    return machine.seconds(compiled, arrays, x, repeats=3), int(analysis.temp_size_in_bytes)


def _checkpointing(profile: Profile, length: int, every: Sequence[int]) -> list[dict[str, Any]]:
    """A row for keeping everything, for the default, and for each distance of checkpoints.

    Of layers that see whole sequences: one for keeping what each layer reads.
    """
    network, x = _made(profile, length)
    rows = []
    for number in (0, None, *every) if network.recurrent else (0, 1):
        seconds, needed = _step(profile, number, network, x)
        rows.append({"cell": profile.cell, "checkpoint_every": number, "seconds": seconds, "peak_bytes": needed})
    for row in rows:
        row["memory_saved"] = rows[0]["peak_bytes"] / max(1, row["peak_bytes"])
        row["slowdown"] = row["seconds"] / rows[0]["seconds"]
    return rows


def _lengths(length: int) -> list[int]:
    return [2**power for power in range(3, max(12, math.ceil(math.log2(length)) + 2) + 1)]


def _curves(profiles: list[Profile], length: int, device: Device, precision: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "cell": profile.cell,
                "length": steps,
                **{name: profile.quantity(name, steps, device, precision) for name in QUANTITIES},
            }
            for profile in profiles
            for steps in _lengths(length)
        ]
    )


def _crossovers(profiles: list[Profile], length: int, device: Device, precision: str) -> list[dict[str, Any]]:
    """For each pair and quantity, the first length at which the one that was cheaper no longer
    is.
    """
    found, grid = [], _lengths(length)
    for one, other in itertools.combinations(profiles, 2):
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
    first, last = _lengths(length)[0], _lengths(length)[-1]
    notes = [
        "Operations are counted in the traced program: products of matrices (2 for a multiplication with an addition), "
        "elementwise ones, and functions such as tanh (1 each). Of the gradient: forward, backward, and what is "
        "computed again to save memory.",
        "State: what must be kept of a sequence to go on from its end. Activations: what the gradient of a batch keeps "
        "if nothing is computed again.",
        f"Roofline, an estimate: {device.source}; {device.latency:.2g} s until a product that waits for the last one "
        "has begun. Bytes in the table are those of FP32.",
        f"Which network is dearer was compared from {first} to {last:,} steps; where no length is named, the order is "
        "the same throughout. Times by roofline have small jumps, so theirs are about right.",
    ]
    if not runs:
        return [*notes, "Nothing was measured: a network is run on this machine alone (--device here)."]
    return notes + [_slower(row, length) for row in frame.to_dict("records") if _ratio(row) > SLOWER]


def _ratio(row: dict[Any, Any]) -> float:
    return row["seconds_measured"] / row["seconds_estimated"]


def _slower(row: dict[Any, Any], length: int) -> str:
    """Why a network took much longer than its roofline."""
    found = f"{row['cell']}: measured {_ratio(row):.1f} times the estimate"
    if row["sequential_steps"] == 1:
        return f"{found}: masks, softmax, and norms move memory that the roofline takes to stay in registers."
    each = row["seconds_measured"] / row["sequential_steps"]
    return (
        f"{found}. Its {length} steps come one after the other, each in {each:.1e} s: at this size what a step waits "
        "for (starting its few operations) takes longer than its work."
    )
