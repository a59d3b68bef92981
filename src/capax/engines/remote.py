"""What runs in a worker's process on a cluster: it proves what it has, trains in chunks, and hands
back events with the checkpoints of its trials as bytes, so that no disk needs to be shared.
"""

import dataclasses
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from capax.files import write_atomically
from capax.training import backend
from capax.training.engine import Compiling, Event
from capax.training.proof import Proof
from capax.training.trial import Trial


@dataclasses.dataclass(frozen=True)
class Introduction:
    """`batching`: how populations run there; `proof` of what is installed; `process`: its
    number."""

    batching: str
    proof: Proof
    process: int


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What came of a chunk: events in order, and the checkpoints of trials that go on or pause, by
    name."""

    events: list[Event]
    checkpoints: dict[str, bytes]


class Remote:
    """A worker. `paths`: where the driver looks for modules, for a user's own code; `threads`: how
    many threads XLA may have, whose idle ones would else keep the cores of other workers busy.
    """

    def __init__(self, paths: list[str], threads: int):
        os.environ.setdefault("NPROC", str(threads))
        sys.path += [path for path in paths if path not in sys.path and os.path.isdir(path)]
        backend.configure()
        from capax.training.population import default_batching
        from capax.training.resident import Resident
        from capax.training.worker import Worker

        self._resident = Resident(default_batching())
        self._worker = Worker(self._resident)
        self._folder = tempfile.TemporaryDirectory(prefix="capax-")

    def introduce(self) -> Introduction:
        """What there is here."""
        from capax.training import proof

        return Introduction(self._resident.batching, proof.of_installation(), os.getpid())

    def prove(self, trial: Trial) -> Proof:
        """What a trial's results follow from here. Raises `CapaxError` where code or data cannot be
        had.
        """
        from capax.training import proof

        return proof.of_trial(trial.shape.cell, trial.task)

    def ping(self) -> None:
        """A sign of life, given while a chunk is trained."""

    def chunk(self, started: list[Trial], checkpoints: Mapping[str, bytes]) -> Chunk:
        """Train one chunk, with trials that start now, each from its checkpoint if it has one."""
        own = [dataclasses.replace(trial, checkpoint=self._path(trial.name)) for trial in started]
        for trial in own:
            if trial.name in checkpoints:
                write_atomically(self._path(trial.name), checkpoints[trial.name])
        before = [*self._worker.trials, *own]
        events: list[Event] = [event for event in self._worker.train(own) if not isinstance(event, Compiling)]
        kept = {trial.name: self._path(trial.name) for trial in before}
        found = {name: path.read_bytes() for name, path in kept.items() if path.exists()}
        for name in kept.keys() - {trial.name for trial in self._worker.trials}:
            self._path(name).unlink(missing_ok=True)
        return Chunk(events, found)

    def release(self, study: str) -> None:
        """Drop what this study alone needs."""
        self._resident.release(study)

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name.replace('/', '_')}.safetensors"
