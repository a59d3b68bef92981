"""The local engine: populations in this process, one lane per CPU core or per accelerator.

A lane is a thread with a population. On a CPU all lanes share one device and one compiled program (XLA runs each call
in the calling thread's stead and lets go of Python's lock), so a program is compiled once and the lanes run freely.
"""

import dataclasses
import queue
import threading
import time
from typing import Any

import jax

from capax.training.population import Population, default_batching
from capax.training.processor import cores
from capax.training.program import Batching, Program
from capax.training.trial import Result, Trial

CHUNK_SECONDS = 2.0
"""About how long a chunk takes: how often progress shows and checkpoints are written."""
VECTORISED_SLOTS = 64
"""Trials in one vectorised population on an accelerator."""


@dataclasses.dataclass(frozen=True)
class Progressed:
    """A chunk is done: the steps that each trial in the lane has reached."""

    steps: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Finished:
    """A trial has ended, or come to its pause."""

    trial: Trial
    result: Result


@dataclasses.dataclass(frozen=True)
class Failed:
    """A lane could not go on: an error in a cell or in writing, not a diverged trial."""

    trials: list[Trial]
    error: BaseException


Event = Progressed | Finished | Failed


class LocalEngine:
    """Takes trials, trains them, and hands back events in `next_event`."""

    def __init__(self, lanes: int | None = None):
        batching = default_batching()
        devices = jax.local_devices()
        if batching == "mapped":
            places: list[Any] = [None] * (lanes or cores())
        else:
            places = list(devices[:lanes])
        self._batching: Batching = batching
        self._slots = 1 if batching == "mapped" else VECTORISED_SLOTS
        self._waiting: list[Trial] = []
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._lane, args=(place,), daemon=True) for place in places]
        for thread in self._threads:
            thread.start()

    @property
    def capacity(self) -> int:
        """How many trials train at the same time."""
        return len(self._threads) * self._slots

    @property
    def waiting(self) -> int:
        """How many submitted trials no lane has taken yet."""
        with self._changed:
            return len(self._waiting)

    def submit(self, trials: list[Trial]) -> None:
        """Queue trials; within one call, long ones start first, so that lanes finish together."""
        with self._changed:
            self._waiting += sorted(trials, key=lambda trial: -trial.cost)
            self._changed.notify_all()

    def next_event(self, timeout: float) -> Event | None:
        """The next event, or None after `timeout` seconds without one."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Let the lanes finish their chunk, keep their checkpoints, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self, population: Population | None) -> list[Trial] | None:
        """Trials for a lane: those of its population's program while it trains, the first in the queue when it is empty.
        None when the engine stops."""
        with self._changed:
            while not self._stopping:
                running = population is not None and bool(population.trials)
                key = population.program_key if running and population is not None else None
                if key is None and self._waiting:
                    key = self._waiting[0].program_key
                free = population.free if running and population is not None else self._slots
                taken = [trial for trial in self._waiting if trial.program_key == key][:free]
                names = {trial.name for trial in taken}
                self._waiting = [trial for trial in self._waiting if trial.name not in names]
                if taken or running:
                    return taken
                self._changed.wait()
            return None

    def _lane(self, device: Any) -> None:
        population: Population | None = None
        chunk = 1
        while True:
            trials = self._take(population)
            if trials is None:
                return
            busy = (population.trials if population is not None else []) + trials
            try:
                if trials and (population is None or population.program_key != trials[0].program_key):
                    program = Program.get(*trials[0].program_key, self._batching)
                    population, chunk = Population(program, self._slots, device), 1
                assert population is not None
                for trial in trials:
                    population.add(trial)
                before, started = dict(population.progress()), time.perf_counter()
                ended = population.advance(chunk)
                done = max([r.steps - before[t] for t, r in ended] + [s - before[t] for t, s in population.progress()])
                if done:  # a trial may be at its pause already
                    chunk = _next_chunk(chunk, done, time.perf_counter() - started)
                population.checkpoint()
            except BaseException as error:
                self._events.put(Failed(busy, error))
                return
            self._events.put(Progressed({trial.name: steps for trial, steps in population.progress()}))
            for trial, result in ended:
                self._events.put(Finished(trial, result))


def _next_chunk(chunk: int, done: int, seconds: float) -> int:
    """Steps of the next chunk, so that it takes about CHUNK_SECONDS, from how long `done` steps took; at most eight times
    as many as before, since trials of one program differ in their cost."""
    return max(1, min(8 * chunk, int(done * CHUNK_SECONDS / seconds)))
