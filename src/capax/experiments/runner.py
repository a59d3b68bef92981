"""Runs an experiment: studies -> trials -> store, resuming whatever the directory already holds.

What is done next in a study is decided in `decisions`, from its ledger alone, and done by its
`StudyRun`; this loop carries trials to the engine and events back.
"""

import contextlib
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from capax import user_code
from capax.experiments import cost, room
from capax.experiments.describe import open_run
from capax.experiments.plan import Plan
from capax.experiments.progress import Display, Kept, Progress, Silent
from capax.experiments.restoring import restore
from capax.experiments.study import StudyRun
from capax.experiments.telling import Telling
from capax.files import DiskFull
from capax.search.store import Store
from capax.sinks.sink import Sink
from capax.training.engine import Compiled, Compiling, Engine, Event, Failed, Finished, Joined, Lost, Progressed
from capax.training.trial import Trial


def execute(
    plan: Plan,
    directory: Path,
    make_engine: Callable[[], Engine],
    display: Display | None = None,
    store: str | None = None,
    sinks: Mapping[str, type[Sink]] = types.MappingProxyType({}),
) -> None:
    """Run or resume an experiment in a directory, to its end. The engine is made once the directory
    is ours. Where the disk is full in between, it waits for room. `store`: the URL of a database
    that keeps the trials. `sinks`, by name, are told of each trial.

    Raises `CapaxError` for a directory that cannot be used; on KeyboardInterrupt the checkpoints of
    trials in training are kept.
    """
    display = display or Silent()
    while True:
        try:
            return _to_the_end(plan, directory, make_engine, display, store, sinks)
        except DiskFull as full:  # all is closed: what follows is the same command again
            room.wait(directory, full, display.note)


def _to_the_end(
    plan: Plan,
    directory: Path,
    make_engine: Callable[[], Engine],
    display: Display,
    url: str | None,
    sinks: Mapping[str, type[Sink]],
) -> None:
    store = open_run(plan, directory, display.note, url)
    try:
        with _telling(sinks, plan, store, display) as telling:
            _run(plan, directory, make_engine, display, store, telling)
    finally:
        store.close()


@contextlib.contextmanager
def _telling(sinks: Mapping[str, type[Sink]], plan: Plan, store: Store, display: Display) -> Iterator[Telling]:
    """Sinks that are told to the end, or dropped where the run is interrupted."""
    telling = Telling(sinks, plan.experiment.name, store, display.note)
    try:
        yield telling
    except BaseException:
        telling.drop()
        raise
    telling.close()


def _run(
    plan: Plan,
    directory: Path,
    make_engine: Callable[[], Engine],
    display: Display,
    store: Store,
    telling: Telling,
) -> None:
    runs = [StudyRun(study, store, plan.of(study.label), telling.tell) for study in plan.studies]
    if telling.is_asked:
        for run in runs:
            run.tell_all()
    engine = make_engine()
    try:
        _Loop(plan, runs, engine, Kept(directory, display)).run()
        restore(runs, engine, display.note)
    finally:
        engine.stop()


class _Loop:
    """Trials to the engine, events to the studies, progress to the display, until nothing is
    left."""

    def __init__(self, plan: Plan, runs: list[StudyRun], engine: Engine, display: Display):
        self._runs, self._engine, self._display = runs, engine, display
        announced = cost.expected(plan)
        self._progress = Progress(plan, {run.plan.name: run.progress for run in runs}, announced, engine.lanes)
        self._in_training: dict[str, tuple[StudyRun, Trial]] = {}
        resumed = sum(run.progress.done for run in runs)
        kept = f"resuming: {resumed} finished trials are kept"
        display.note(kept if resumed else cost.statement(plan, announced))

    def run(self) -> None:
        """To the end."""
        started = time.monotonic()
        while self._feed():
            event = self._engine.next_event(timeout=0.5)
            self._progress.seconds = time.monotonic() - started
            if event is not None:
                self._take(event)
            self._display.update(self._progress)
        self._display.update(self._progress)

    def _feed(self) -> bool:
        """Give the engine the trials that go on, then as many new ones as it can train at the same
        time, from the first studies that can propose. Returns whether any are in training."""
        for run in self._runs:
            self._submit(run, run.next_trials(may_propose=False))
        for run in self._runs:
            if self._engine.waiting >= self._engine.capacity:
                break
            self._submit(run, run.next_trials(may_propose=True))
            if run.progress.finished:
                self._engine.release(run.plan.name)
        return bool(self._in_training)

    def _submit(self, run: StudyRun, trials: list[Trial]) -> None:
        self._in_training |= {trial.name: (run, trial) for trial in trials}
        self._engine.submit(trials)

    def _take(self, event: Event) -> None:
        match event:
            case Failed(trials, error):
                raise user_code.explained(f"training {trials[0].study}" if trials else "a worker", error)
            case Finished(trial, result):
                run, _ = self._in_training.pop(trial.name)
                run.finish(trial, result)
            case Progressed():
                self._progress.note(event)
                for name, steps in event.steps.items():
                    run, trial = self._in_training[name]
                    run.progress.running[name] = (steps, trial.work_per_step)
            case Compiling() | Compiled():
                self._progress.note(event)
            case Joined(where, lanes):
                self._progress.lanes = lanes
                self._display.note(f"worker on {where}; {lanes} in all")
            case Lost(trials, why):
                self._progress.note(event)
                self._progress.lanes = self._engine.lanes
                left = f"; {len(trials)} of its trials go on from their last checkpoints" if trials else ""
                self._display.note(f"a worker is lost: {why}{left}")
