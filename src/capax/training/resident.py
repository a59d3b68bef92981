"""What an engine keeps in memory: programs and data, shared by the studies that need them, gone
with the last of them."""

import threading
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from capax.training.program import Batching, Program
from capax.training.trial import ProgramKey, Trial


class _Once:
    """A value that the first thread to ask for it makes, while others that ask for it wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[Any] = []

    def get(self, make: Callable[[], Any]) -> Any:
        with self._lock:
            if not self._made:
                self._made.append(make())
            return self._made[0]


class Resident:
    """Programs and data that studies hold; safe to be called by several threads.

    A program is made once for all trials of its key. Data are made once for all trials whose task
    is equal and says that its data do not differ (`Task.data_depend_on`), and copied once to each
    device. What no study holds any more is dropped: `release` says that a study needs nothing more.
    """

    def __init__(self, batching: Batching):
        self.batching: Batching = batching
        self._lock = threading.Lock()
        self._holders: dict[Hashable, set[str]] = {}
        self._values: dict[Hashable, _Once] = {}

    def program(self, trial: Trial) -> Program:
        """The program that trains a trial."""
        key = trial.program_key
        return self._hold(key, trial.study, lambda: Program(key, self.batching, self.data(trial)))

    def data(self, trial: Trial, device: Any = None) -> PyTree:
        """The data of a trial's task, on a device; by default on JAX's own choice."""
        parameters = trial.shape.parameters
        same = ("data", trial.task, trial.task.data_depend_on(parameters))

        def make() -> PyTree:
            data = jax.tree.map(jnp.asarray, trial.task.data(parameters))
            return data if device is None else jax.device_put(data, device)

        return self._hold((*same, device), trial.study, make)

    def release(self, study: str) -> None:
        """Drop what this study alone holds."""
        with self._lock:
            for holders in self._holders.values():
                holders.discard(study)
            for key in [key for key, holders in self._holders.items() if not holders]:
                del self._holders[key], self._values[key]

    @property
    def programs(self) -> list[ProgramKey]:
        """The keys of the programs in memory."""
        with self._lock:
            return [key for key in self._values if isinstance(key, ProgramKey)]

    @property
    def copies_of_data(self) -> int:
        """How many copies of data are in memory, on all devices."""
        with self._lock:
            return len(self._values) - sum(isinstance(key, ProgramKey) for key in self._values)

    def _hold(self, key: Hashable, study: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            self._holders.setdefault(key, set()).add(study)
            value = self._values.setdefault(key, _Once())
        return value.get(make)
