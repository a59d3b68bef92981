"""A function that is compiled once for each shape of its arguments, however many threads call
it."""

import threading
import time
from collections.abc import Callable
from typing import Any

import jax


class CompiledOnce:
    """Compiled code that is owned here and goes with its owner, unlike what `jax.jit` keeps.

    Threads that share a program must not compile it twice: the first one does it, the others wait.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        """The function's result. The arguments are pytrees of JAX arrays."""
        self.prepare(*arguments)
        return self._compiled[_shapes(arguments)](*arguments)

    def is_ready(self, *arguments: Any) -> bool:
        """Whether it has been compiled for arguments of these shapes."""
        return _shapes(arguments) in self._compiled

    def prepare(self, *arguments: Any) -> float:
        """Compile it for arguments of these shapes; returns how many seconds this took."""
        shapes, started = _shapes(arguments), time.perf_counter()
        if shapes in self._compiled:
            return 0.0
        with self._lock:
            if shapes not in self._compiled:
                self._compiled[shapes] = jax.jit(self._function).lower(*arguments).compile()
        return time.perf_counter() - started


def _shapes(arguments: Any) -> Any:
    leaves, structure = jax.tree.flatten(arguments)
    return structure, tuple((leaf.shape, leaf.dtype, leaf.weak_type, leaf.sharding) for leaf in leaves)
