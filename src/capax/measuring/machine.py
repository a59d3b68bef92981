"""What this machine can do, measured on the spot: the rates that a roofline needs.

They are measured with the compiler that networks are run with.
"""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from capax.theory.roofline import HERE, Device

REPEATS = 5
SIZES = (1 << 18, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 25)
"""Bytes of the matrices whose products with a vector tell how fast each memory is read.

The last stands for the main memory.
"""


def seconds(function: Callable[..., Any], *arguments: Any, repeats: int = REPEATS) -> float:
    """The median time of a compiled function, in seconds, after a first call that does not
    count.
    """
    return statistics.median(_times(function, *arguments, repeats=repeats))


def _times(function: Callable[..., Any], *arguments: Any, repeats: int) -> list[float]:
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return times


def _best(function: Callable[..., Any], *arguments: Any) -> float:
    """The shortest time: for a machine's rates, a busy moment does not count."""
    return min(_times(function, *arguments, repeats=REPEATS))


def here() -> Device:
    """This machine's device, as this process uses it (on a CPU: one core), in about two seconds."""
    peak, tanh = _products(1024), _functions(1 << 16)
    caches = tuple((float(size), _read(size)) for size in SIZES)
    kind = jax.devices()[0]
    name = platform.machine() if kind.platform == "cpu" else kind.device_kind
    return Device(
        HERE,
        {"fp32": peak},
        caches[-1][1],
        _latency(),
        f"measured on this machine ({name}, JAX on {kind.platform}): products of 1024 x 1024, products of matrix and "
        "vector, a loop of small steps, tanh",
        caches[:-1],
        tanh,
    )


def _products(size: int) -> float:
    a = jnp.ones((size, size))
    return 2.0 * size**3 / _best(jax.jit(jnp.matmul), a, a)


def _functions(size: int) -> float:
    """tanh a second, in cache."""
    times = 100
    loop = jax.jit(lambda x: jax.lax.fori_loop(0, times, lambda _, x: jnp.tanh(x), x))
    return times * size / _best(loop, jnp.linspace(-1.0, 1.0, size))


def _read(size: int) -> float:
    """Bytes a second of a matrix that is read again and again by products with a vector, as a
    recurrence reads its weights.
    """
    rows = 1 << (size.bit_length() // 2 - 1)
    matrix = jnp.full((rows, size // 4 // rows), 1e-6)
    x = jnp.zeros((matrix.shape[1],))
    times = max(4, (1 << 25) // size)
    loop = jax.jit(lambda matrix, x: jax.lax.fori_loop(0, times, lambda _, x: x + jnp.sum(matrix @ x) * 1e-9, x))
    return times * size / _best(loop, matrix, x)


def _latency(steps: int = 2000) -> float:
    """Seconds of a step that does next to nothing: a product of 8 x 8 in a loop."""
    matrix, x = jnp.eye(8), jnp.ones((8, 1))
    loop = jax.jit(lambda m, x: jax.lax.scan(lambda x, _: (jnp.tanh(m @ x), None), x, None, length=steps)[0])
    return _best(loop, matrix, x) / steps
