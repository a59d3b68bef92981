"""Sinks are told of trials in a thread of its own: they neither hold a run up nor end it."""

import functools
import queue
import threading
from collections.abc import Callable, Mapping

from capax.search.ledger import RERUNS, Entry
from capax.search.store import Store
from capax.sinks.sink import Sink, TrialReport

PATIENCE = 60.0
"""Seconds that the end of a run waits for sinks that are behind."""
PATIENCE_WHEN_DROPPED = 5.0
"""The same where a run is interrupted."""


class Telling:
    """Tells sinks of a run's trials. A sink that fails is said in one line, and told no more.

    `say`: told of failures, by the thread that calls `tell` or `close`.
    """

    def __init__(self, kinds: Mapping[str, type[Sink]], name: str, store: Store, say: Callable[[str], None]):
        self._kinds, self._store, self._say = dict(kinds), store, say
        self._name = name
        self._trials: queue.SimpleQueue[tuple[str, Entry, bool] | None] = queue.SimpleQueue()
        self._failures: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._dropped = False
        self._thread = threading.Thread(target=self._work, name="sinks", daemon=True)
        if self._kinds:
            self._thread.start()

    @property
    def is_asked(self) -> bool:
        """Whether there is any sink."""
        return bool(self._kinds)

    def tell(self, study: str, entry: Entry, rerun: bool) -> None:
        """Tell of a trial that has ended or paused; nothing of another one."""
        if self._kinds and (entry.result is not None or entry.paused is not None):
            self._trials.put((study, entry, rerun))
        self._say_failures()

    def close(self) -> None:
        """Wait until all is told, but not for ever."""
        self._end(PATIENCE)

    def drop(self) -> None:
        """Leave what is not told yet to the next time."""
        self._dropped = True
        self._end(PATIENCE_WHEN_DROPPED)

    def _end(self, seconds: float) -> None:
        if not self._kinds:
            return
        self._trials.put(None)
        self._thread.join(seconds)
        self._say_failures()
        if self._thread.is_alive():
            self._say(f"a sink does not answer after {seconds:.0f} s; the same command tells it what is missing")

    def _say_failures(self) -> None:
        while not self._failures.empty():
            self._say(self._failures.get())

    def _work(self) -> None:
        begun: dict[str, Sink] = {}
        for name, kind in self._kinds.items():
            self._try(name, functools.partial(self._begin, begun, name, kind))
        while (trial := self._trials.get()) is not None and not self._dropped:
            told = self._report(*trial)
            if told is None:
                continue
            for name, each in list(begun.items()):
                if not self._try(name, functools.partial(each.take, told)):
                    del begun[name]
        for name, each in begun.items():
            self._try(name, each.close)

    def _begin(self, begun: dict[str, Sink], name: str, kind: type[Sink]) -> None:
        assert self._store.directory is not None, "a run has a directory"
        begun[name] = kind.begin(self._name, self._store.frozen["created"], self._store.directory)

    def _report(self, study: str, entry: Entry, rerun: bool) -> TrialReport | None:
        """What is told of a trial; None, which is said, where its curve cannot be read."""
        try:
            return report(self._store, study, entry, rerun)
        except Exception as error:  # whatever a damaged file raises
            self._failures.put(f"sinks are not told of trial {entry.number} of {study}: {_line(error)}")
            return None

    def _try(self, name: str, do: Callable[[], None]) -> bool:
        try:
            do()
            return True
        except Exception as error:  # whatever another program raises
            self._failures.put(f"sink {name} failed and is told no more; the run goes on: {_line(error)}")
            return False


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def report(store: Store, study: str, entry: Entry, rerun: bool) -> TrialReport:
    """What a sink is told of a trial. `study`: without what the name of its reruns adds."""
    record = entry.result or entry.paused
    assert record is not None, f"trial {entry.number} has neither ended nor paused"
    curve = store.curve(study + RERUNS if rerun else study, entry.number)
    points = [] if curve is None else zip(curve["step"].tolist(), curve["loss"].tolist(), strict=True)
    if entry.result is None:  # its file may be further by now, and its last interval may not be whole
        points = [(step, loss) for step, loss in points if step <= record.steps]
    return TrialReport(
        study=study,
        number=entry.number,
        rerun=rerun,
        state="paused" if entry.result is None else record.state,
        hyperparameters=dict(entry.hyperparameters),
        steps=record.steps,
        seconds=record.seconds,
        seed=record.seed,
        validation=dict(record.validation),
        evaluation=dict(record.evaluation),
        curve=tuple(points),
    )
