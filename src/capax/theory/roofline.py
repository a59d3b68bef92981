"""The roofline: an estimate of the time that a program takes on a device, from its operations, its
bytes, and its sequence of steps.

A region is a product of matrices with what surrounds it, or a step of a loop. It takes the longer
of its operations at the device's peak and its bytes at the device's bandwidth (Williams, Waterman &
Patterson 2009), and the launch of its products, which in a loop over time cannot overlap. What
stands between products is taken to be done on the way: it costs operations and no bytes. Products
run at the precision's peak, all else at that of FP32. No bound: a program written for one network
may start less often, or stay in registers.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from capax.errors import CapaxError, closest
from capax.theory.costs import Operations, bytes_of, inner_programs, is_product, of_equation


@dataclasses.dataclass(frozen=True)
class Device:
    """`peaks`: floating-point operations a second, by precision; `bandwidth`: bytes a second of the
    main memory; `latency`: seconds until a product that waits for the last one has begun; `caches`:
    (bytes, bytes a second) of memories that are faster, from small to large; `functions`: tanh and
    the like a second, where they are slower than the peak; `source` of the numbers.
    """

    name: str
    peaks: dict[str, float]
    bandwidth: float
    latency: float
    source: str
    caches: tuple[tuple[float, float], ...] = ()
    functions: float | None = None

    def peak(self, precision: str) -> float:
        """Operations a second. Raises `CapaxError` for a precision that the device has not."""
        if precision not in self.peaks:
            raise CapaxError(f"{self.name} has no peak for {precision}; it has {', '.join(self.peaks)}.")
        return self.peaks[precision]

    def bandwidth_for(self, working_set: int) -> float:
        """Of the fastest memory that a loop's data fit in."""
        return next((rate for size, rate in self.caches if working_set <= size), self.bandwidth)


LAUNCH = 2e-6
"""Seconds to launch a kernel on a GPU that waits for the last one: no data sheet has it. NVIDIA's
measurement of kernels of 2.9 us that take 3.8 us each in a stream and 3.4 us in a CUDA graph gives
.5 to 1 us beside the kernel's own start and end; the textbook says 1 to 3 us for a whole small
step.
"""

ITEM_SIZES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2}
"""Bytes of a number."""

_HOPPER = {"fp32": 66.9e12, "tf32": 494.7e12, "fp16": 989.4e12, "bf16": 989.4e12}
DEVICES = {
    "a100": Device(
        "a100",
        {"fp32": 19.5e12, "tf32": 156e12, "fp16": 312e12, "bf16": 312e12},
        2.039e12,
        LAUNCH,
        "NVIDIA A100 data sheet (80 GB SXM): FP32 19.5, TF32 156, FP16 312 TFLOP/s without sparsity, 2,039 GB/s",
    ),
    "h100": Device(
        "h100",
        _HOPPER,
        3.35e12,
        LAUNCH,
        "NVIDIA H100 data sheet (SXM): FP32 67, TF32 495, FP16 989 TFLOP/s without sparsity, 3.35 TB/s",
    ),
    "h200": Device(
        "h200",
        _HOPPER,
        4.8e12,
        LAUNCH,
        "NVIDIA H200 data sheet (SXM): FP32 67, TF32 495, FP16 989 TFLOP/s without sparsity, 4.8 TB/s",
    ),
}
HERE = "here"


def device(name: str) -> Device:
    """A device by name. Raises `CapaxError` for an unknown one."""
    if name not in DEVICES:
        known = [HERE, *DEVICES]
        raise CapaxError(f"unknown device '{name}'{closest(name, known)}; choose of {', '.join(known)}.")
    return DEVICES[name]


@dataclasses.dataclass(frozen=True)
class Region:
    """`times`: how often it is done, one after the other; `operations` and `bytes` (in FP32) of
    once; `products` that are launched each time; `working_set`: the bytes that come back each time.
    """

    operations: Operations
    bytes: int
    products: int
    times: int
    working_set: int

    def seconds(self, device: Device, precision: str) -> float:
        """Of all times, on a device."""
        found, plain = self.operations, device.peak("fp32")
        work = found.products / device.peak(precision) + found.elementwise / plain
        work += found.functions / (device.functions or plain)
        moved = self.bytes * ITEM_SIZES[precision] / 4 / device.bandwidth_for(self.working_set)
        starts = max(1, self.products) if self.times > 1 else self.products
        return self.times * (max(work, moved) + starts * device.latency)


def regions(function: Callable[..., Any], *arguments: PyTree) -> list[Region]:
    """The regions of one call, in the traced program; nothing is computed. `arguments` may be
    shapes.
    """
    return _regions(jax.make_jaxpr(function)(*arguments).jaxpr, 1, looped=False)


def seconds(found: list[Region], device: Device, precision: str = "fp32") -> float:
    """The estimated time of a program on a device."""
    return sum(region.seconds(device, precision) for region in found)


def traffic(found: list[Region]) -> int:
    """Bytes that all regions move."""
    return sum(region.bytes * region.times for region in found)


def _regions(program: Any, times: int, *, looped: bool) -> list[Region]:
    """What is outside of inner loops is one region: a step of a loop, or, outside of all loops, one
    for each product.
    """
    found, own, products, bytes_of_products = [], Operations(), 0, 0
    for equation in _flat(program):
        if equation.primitive.name == "scan":
            body, length = equation.params["jaxpr"].jaxpr, equation.params["length"]
            found += _regions(body, times * length, looped=True)
            continue
        operations = of_equation(equation)
        if is_product(equation) and not looped:
            moved = bytes_of(equation.invars) + bytes_of(equation.outvars)
            found.append(Region(operations, moved, 1, times, moved))
            continue
        own = own + operations
        if is_product(equation):
            products += 1
            bytes_of_products += (
                bytes_of(equation.invars[:1]) + bytes_of(equation.invars[-1:]) + bytes_of(equation.outvars)
            )
    if own.total:
        moved = bytes_of_products or (bytes_of(program.invars) + bytes_of(program.outvars))
        if looped:
            found.append(Region(own, moved, products, times, moved))
        else:  # on the way between products
            found.append(Region(own, 0, 0, times, 0))
    return found


def _flat(program: Any) -> list[Any]:
    """The equations of a program, those of the functions that it calls among them."""
    found = []
    for equation in program.eqns:
        inner = inner_programs(equation) if equation.primitive.name not in ("scan", "while", "cond") else []
        if inner and not is_product(equation):
            for part in inner:
                found += _flat(part)
        else:
            found.append(equation)
    return found
