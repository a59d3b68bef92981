"""What trains trials, wherever it runs: one population at a time, in chunks of steps, with an event
for all that happens."""

import time
from collections.abc import Iterator
from typing import Any

from capax.training.engine import Compiled, Compiling, Event, Finished, Progressed
from capax.training.population import Population
from capax.training.resident import Resident
from capax.training.trial import ProgramKey, Trial

CHUNK_SECONDS = 2.0
"""About how long a chunk takes: how often progress shows and checkpoints are written."""
MOST_SLOTS = 64
"""The largest vectorised population."""


def slots(trial: Trial, batching: str) -> int:
    """The size of the population in which a trial trains.

    Mapped, trials run one after the other, so one slot is enough. Vectorised, there are as many
    slots as trials of the study may be in training at once, rounded up to a power of two. This
    follows from the experiment and not from what happens to be waiting, since the size of a batch
    of products may change their last bits.
    """
    if batching == "mapped":
        return 1
    return min(MOST_SLOTS, 1 << (trial.open_at_once - 1).bit_length())


def choose(waiting: list[Trial], training: list[Trial], batching: str) -> list[Trial]:
    """Of waiting trials, those to start now beside those in training: as many as fit of their
    program, or of the first one's where nothing is in training.
    """
    first = (training or waiting)[:1]
    if not first:
        return []
    free = slots(first[0], batching) - len(training)
    alike = [trial for trial in waiting if _kind(trial, batching) == _kind(first[0], batching)]
    return alike[: max(0, free)]


def _kind(trial: Trial, batching: str) -> Any:
    """Trials of one kind can share a population."""
    return trial.program_key, slots(trial, batching)


class Worker:
    """Trains the trials that it is given. Not to be called by two threads at once.

    It knows of no queue and no other worker. `place`: the device, by default JAX's own choice.
    """

    def __init__(self, resident: Resident, place: Any = None):
        self._resident, self._place = resident, place
        self._population: Population | None = None
        self._chunk = 1
        self._chunk_of: ProgramKey | None = None

    @property
    def trials(self) -> list[Trial]:
        """The trials in training."""
        return [] if self._population is None else self._population.trials

    def choose(self, waiting: list[Trial]) -> list[Trial]:
        """Of waiting trials, those to start now beside its own."""
        return choose(waiting, self.trials, self._resident.batching)

    def train(self, started: list[Trial]) -> Iterator[Event]:
        """One chunk of all trials, with those that start now. Starts none that `choose` would
        not."""
        if self._population is None:
            yield from self._open(started[0])
        assert self._population is not None
        for trial in started:
            self._population.add(trial)
        yield from self._compile(self._population)
        yield from self._advance(self._population)
        if not self.trials:  # a lane that waits keeps no program and no data alive
            self._population = None

    def _open(self, trial: Trial) -> Iterator[Event]:
        """Make the population for a trial."""
        label, is_new = str(trial.program_key), trial.program_key not in self._resident.programs
        began = time.perf_counter()
        if is_new:
            yield Compiling(label)
        program = self._resident.program(trial)
        data = self._resident.data(trial, self._place)
        self._population = Population(program, data, slots(trial, self._resident.batching), self._place)
        if self._chunk_of != trial.program_key:
            self._chunk, self._chunk_of = 1, trial.program_key
        if is_new:
            yield Compiled(label, time.perf_counter() - began)

    def _compile(self, population: Population) -> Iterator[Event]:
        if population.is_compiled:
            return
        label = str(population.trials[0].program_key)
        yield Compiling(label)
        yield Compiled(label, population.compile())

    def _advance(self, population: Population) -> Iterator[Event]:
        before, began = population.progress(), time.perf_counter()
        ended = population.advance(self._chunk)
        seconds = time.perf_counter() - began
        reached = {trial.name: steps for trial, steps in population.progress()}
        reached |= {trial.name: result.steps for trial, result in ended}
        done = [(trial, reached[trial.name] - steps) for trial, steps in before]
        most = max(steps for _, steps in done)
        if most:  # a trial may be at its pause already
            self._chunk = _next_chunk(self._chunk, most, seconds)
        population.checkpoint()
        work = sum(steps * trial.work_per_step for trial, steps in done)
        yield Progressed(reached, sum(steps for _, steps in done), seconds, work)
        for trial, result in ended:
            yield Finished(trial, result)


def _next_chunk(chunk: int, done: int, seconds: float) -> int:
    """Steps of the next chunk, so that it takes about CHUNK_SECONDS, from how long `done` steps
    took.

    At most eight times as many as before, since trials of one program differ in their work.
    """
    return max(1, min(8 * chunk, int(done * CHUNK_SECONDS / seconds)))
