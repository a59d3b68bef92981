"""The local engine: workers in this process, one per CPU core or per accelerator.

Each worker has a thread. On a CPU all of them share one device and one compiled program (XLA runs
each call in the calling thread's stead and lets go of Python's lock), so a program is compiled once
and the threads run freely.
"""

import queue
import threading
from typing import Any

import jax

from capax.training.engine import Engine, Event, Failed
from capax.training.population import default_batching
from capax.training.processor import cores
from capax.training.program import Batching
from capax.training.resident import Resident
from capax.training.trial import Trial
from capax.training.worker import Worker, slots
from capax.workers import Workers


class LocalEngine(Engine):
    """Trains in threads of this process.

    **Arguments:**

    - `lanes`: how many threads; by default one per core that may be used, or per accelerator.
    - `batching`: how a population runs; by default what is best on this machine.
    - `resident`: programs and data to share with other engines of this process; by default its own.
    """

    def __init__(self, lanes: int | None = None, batching: Batching | None = None, resident: Resident | None = None):
        self.resident = resident or Resident(batching or default_batching())
        on_cpu = jax.default_backend() == "cpu"
        places: list[Any] = [None] * (lanes or cores()) if on_cpu else list(jax.local_devices()[:lanes])
        self._slots = 1
        self._waiting: list[Trial] = []
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._lane, args=(place,), daemon=True) for place in places]
        for thread in self._threads:
            thread.start()

    @classmethod
    def begin(cls, workers: Workers, address: str | None = None) -> "LocalEngine":
        cls.refuse_address(address)
        return cls(None if workers.most is None else min(workers.most, cores()))

    @property
    def lanes(self) -> int:
        """The number of threads."""
        return len(self._threads)

    @property
    def capacity(self) -> int:
        """How many trials train at the same time, with populations as large as the last one that
        was submitted needs."""
        return len(self._threads) * self._slots

    @property
    def waiting(self) -> int:
        """How many submitted trials no lane has taken yet."""
        with self._changed:
            return len(self._waiting)

    def submit(self, trials: list[Trial]) -> None:
        """Queue trials; within one call, long ones start first, so that lanes finish together."""
        with self._changed:
            self._waiting += sorted(trials, key=lambda trial: -trial.work)
            self._slots = max([slots(trial, self.resident.batching) for trial in trials], default=self._slots)
            self._changed.notify_all()

    def next_event(self, timeout: float) -> Event | None:
        """The next event, or None after `timeout` seconds without one."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def release(self, study: str) -> None:
        """Drop the programs and data that this study alone needs."""
        self.resident.release(study)

    def stop(self) -> None:
        """Let the lanes finish their chunk, keep their checkpoints, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self, worker: Worker) -> list[Trial] | None:
        """Trials for a lane to start, which may be none while others train in it; None when the
        engine stops."""
        with self._changed:
            while not self._stopping:
                taken = worker.choose(self._waiting)
                names = {trial.name for trial in taken}
                self._waiting = [trial for trial in self._waiting if trial.name not in names]
                if taken or worker.trials:
                    return taken
                self._changed.wait()
            return None

    def _lane(self, place: Any) -> None:
        worker = Worker(self.resident, place)
        while (started := self._take(worker)) is not None:
            trials = worker.trials + started
            try:
                for event in worker.train(started):
                    self._events.put(event)
            except BaseException as error:
                self._events.put(Failed(trials, error))
                return
