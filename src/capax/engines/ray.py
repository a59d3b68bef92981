"""The engine for a Ray cluster: a worker for each core or accelerator of each machine, trials lent
to them, and taken back when a worker is lost.

The driver alone writes the run directory. A thread of it listens to the workers and gives them
their next chunk, so that none waits while the tuner is at work. A worker holds a lease: it gives
signs of life while it trains, and hands back the checkpoints of its trials after each chunk. One
that dies, or is silent for longer than the lease, is given up: its trials go on with another worker
from those checkpoints, and what it says later is not heard. So a trial is finished once, and at
most a chunk is repeated.
"""

import dataclasses
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from capax.engines.places import Place, places
from capax.engines.remote import Chunk, Introduction, Remote
from capax.errors import CapaxError
from capax.files import write_atomically
from capax.training import proof
from capax.training.engine import Compiled, Compiling, Engine, Event, Failed, Finished, Joined, Lost
from capax.training.processor import cores
from capax.training.trial import Trial
from capax.training.worker import choose, slots
from capax.workers import Workers

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise ImportError(f"it needs Ray: pip install 'capax[ray]' ({error})") from error

_REMOTE: Any = ray.remote(concurrency_groups={"life": 1, "training": 1})(Remote)  # pyright: ignore[reportCallIssue]

PING_EVERY = 2.0
"""Seconds between signs of life."""
TURN = 0.5
"""Seconds at most between two turns of the thread that listens."""
LOOK_EVERY = 5.0
"""Seconds between looks for machines that have come or gone."""
MOST_LOSSES = 3
"""A trial that has lost so many workers is at fault itself."""
LAST_CHUNK = 15.0
"""Seconds that chunks may take to end when a run is stopped."""


@dataclasses.dataclass(eq=False)
class _Lent:
    """A worker, and what it is doing. `batching` is None until it has introduced itself."""

    actor: Any
    place: Place
    heard: float
    batching: str | None = None
    process: int = 0
    trials: dict[str, Trial] = dataclasses.field(default_factory=dict)
    starting: list[Trial] = dataclasses.field(default_factory=list)
    proven: set[tuple[Any, ...]] = dataclasses.field(default_factory=set)
    programs: set[str] = dataclasses.field(default_factory=set)
    compiling: set[str] = dataclasses.field(default_factory=set)  # of those, announced and not done
    task: Any = None  # the reference to what it was last asked, and what that was
    asked: str = ""
    ping: Any = None
    pinged: float = 0.0


@dataclasses.dataclass(frozen=True)
class WorkerState:
    """Where a worker is, the number of its process there, and the names of the trials that it
    trains."""

    place: Place
    process: int
    trials: list[str]


class RayEngine(Engine):
    """Trains on a Ray cluster. **Arguments:** `workers`, what each has; `address` of a cluster,
    "auto" for the one of this machine; None for that of RAY_ADDRESS, or a cluster of this machine
    alone, which ends with the run.

    Raises `CapaxError` where the cluster cannot be reached, or has no room for a worker.
    """

    def __init__(self, workers: Workers, address: str | None):
        self._wanted = workers
        self._own = not ray.is_initialized()
        if self._own:
            _connect(address)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[_Lent, Any, Future[Any]]] = queue.SimpleQueue()
        self._lock = threading.RLock()  # for all that follows: two threads use it
        self._stopping = False
        self._waiting: list[Trial] = []
        self._lent: list[_Lent] = []
        self._losses: dict[str, int] = {}
        self._looked = -LOOK_EVERY
        self._listened = time.monotonic()
        self._mine = proof.of_installation()
        self._own_proofs: dict[tuple[Any, ...], proof.Proof] = {}
        self._slots = 1
        self._hire()
        if not self._lent:
            raise CapaxError(
                f"no machine of the Ray cluster has room for a worker with {workers.cpus:g} cores"
                f"{f' and {workers.gpus:g} GPUs' if workers.gpus else ''}; ask for less in [workers]."
            )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @classmethod
    def begin(cls, workers: Workers, address: str | None = None) -> "RayEngine":
        return cls(workers, address)

    @property
    def workers(self) -> list[WorkerState]:
        """Those that have introduced themselves, and what each does."""
        with self._lock:
            return [WorkerState(each.place, each.process, [*each.trials]) for each in self._lent if each.batching]

    @property
    def lanes(self) -> int:
        return max(1, len(self._lent))

    @property
    def capacity(self) -> int:
        return self.lanes * self._slots

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, trials: list[Trial]) -> None:
        """Queue trials; within one call, long ones start first."""
        with self._lock:
            self._waiting += sorted(trials, key=lambda trial: -trial.work)
            batching = next((each.batching for each in self._lent if each.batching), "mapped")
            self._slots = max([slots(trial, batching) for trial in trials], default=self._slots)
            self._assign()

    def release(self, study: str) -> None:
        with self._lock:
            for each in self._lent:
                each.actor.release.remote(study)

    def next_event(self, timeout: float) -> Event | None:
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Let the workers finish their chunk, keep their checkpoints, and end."""
        self._stopping = True
        self._thread.join(LAST_CHUNK)
        asked = {each.task: each for each in self._lent if each.task is not None and each.asked == "chunk"}
        try:
            ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LAST_CHUNK) if asked else ([], [])
            for reference in ready:
                self._keep(asked[reference], ray.get(reference).checkpoints)
        except (RayError, OSError):
            pass  # their last checkpoints are kept
        for each in self._lent:
            ray.kill(each.actor)
        self._lent = []
        if self._own:
            ray.shutdown()

    # -- the thread that listens

    def _listen(self) -> None:
        """Take answers and ask for more, until the engine stops."""
        try:
            while not self._stopping:
                try:
                    answers = [self._answers.get(timeout=TURN)]
                except queue.Empty:
                    answers = []
                with self._lock:
                    while not self._answers.empty():
                        answers.append(self._answers.get())
                    for lent, reference, answer in answers:
                        self._hear(lent, reference, answer)
                    self._hire()
                    self._assign()
                    self._ping()
                    self._give_up_the_silent()
        except BaseException as error:
            self._events.put(Failed([], error))

    def _call(self, lent: _Lent, group: str, what: str, *given: Any) -> Any:
        """Ask a worker; the answer comes to the thread that listens."""
        reference = getattr(lent.actor, what).options(concurrency_group=group).remote(*given)
        reference.future().add_done_callback(lambda answer: self._answers.put((lent, reference, answer)))
        return reference

    def _ask(self, lent: _Lent, what: str, *given: Any) -> None:
        """For anything but a sign of life: one thing at a time."""
        lent.task, lent.asked = self._call(lent, "training", what, *given), what

    # -- workers come and go

    def _hire(self) -> None:
        """Workers for all places that have none."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        taken = [each.place for each in self._lent]
        free = [place for place in places(ray.nodes(), self._wanted) if place not in taken]
        most = len(taken) + len(free) if self._wanted.most is None else self._wanted.most
        threads = max(1, math.ceil(self._wanted.cpus))
        paths = [os.getcwd(), *[path for path in sys.path if path]]
        for place in free[: max(0, most - len(taken))]:
            strategy = NodeAffinitySchedulingStrategy(place.node, soft=False)
            options = {"scheduling_strategy": strategy, "max_restarts": 0, **place.options(self._wanted)}
            lent = _Lent(_REMOTE.options(**options).remote(paths, threads), place, now)
            self._ask(lent, "introduce")
            self._lent.append(lent)

    def _lose(self, lent: _Lent, why: str, died: bool = False) -> None:
        """Give a worker up: its trials wait again, and nothing of it is heard any more."""
        self._lent.remove(lent)
        ray.kill(lent.actor)
        trials = [*lent.trials.values(), *lent.starting]
        self._waiting = [*trials, *self._waiting]
        for trial in trials:
            self._losses[trial.name] = self._losses.get(trial.name, 0) + died
        self._looked = -LOOK_EVERY
        self._events.put(Lost(trials, f"{lent.place.name}: {why}", tuple(lent.compiling)))
        often = [trial for trial in trials if self._losses[trial.name] >= MOST_LOSSES]
        if often:
            text = (
                f"{often[0].name} has lost {MOST_LOSSES} workers, the last on {lent.place.name}: {why}. "
                "Is there too little memory? [workers] memory says how much each needs."
            )
            self._events.put(Failed(often, CapaxError(text)))

    def _give_up_the_silent(self) -> None:
        """Those not heard for longer than the lease. Time in which nobody listened, as while this
        process was frozen or the tuner was busy, does not count.
        """
        now = time.monotonic()
        deaf = max(0.0, now - self._listened - PING_EVERY)
        self._listened = now
        for lent in self._lent:
            lent.heard += deaf
        for lent in list(self._lent):
            if lent.batching is not None and now - lent.heard > self._wanted.lease:
                self._lose(lent, f"no sign of life for {now - lent.heard:.0f} seconds")

    def _ping(self) -> None:
        now = time.monotonic()
        for lent in self._lent:
            if lent.batching is not None and lent.ping is None and now - lent.pinged >= PING_EVERY:
                lent.ping, lent.pinged = self._call(lent, "life", "ping"), now

    # -- trials go out, events come back

    def _assign(self) -> None:
        for lent in self._lent:
            if lent.task is not None or lent.batching is None:
                continue
            lent.starting = choose(self._waiting, list(lent.trials.values()), lent.batching)
            names = {trial.name for trial in lent.starting}
            self._waiting = [trial for trial in self._waiting if trial.name not in names]
            if lent.starting or lent.trials:
                self._train(lent)

    def _train(self, lent: _Lent) -> None:
        """Ask for a proof of what it has not shown yet, else for the next chunk."""
        unproven = next((trial for trial in lent.starting if _what(trial) not in lent.proven), None)
        if unproven is not None:
            self._ask(lent, "prove", unproven)
            return
        for program in {str(trial.program_key) for trial in lent.starting} - lent.programs:
            lent.programs.add(program)
            lent.compiling.add(program)
            self._events.put(Compiling(program))
        kept = {trial.name: content for trial in lent.starting if (content := _checkpoint(trial)) is not None}
        bare = [dataclasses.replace(trial, checkpoint=None) for trial in lent.starting]
        lent.trials |= {trial.name: trial for trial in lent.starting}
        lent.starting = []
        self._ask(lent, "chunk", bare, kept)

    def _hear(self, lent: _Lent, reference: Any, answer: Future[Any]) -> None:
        if lent not in self._lent:
            return  # given up a moment ago
        try:
            found = answer.result()
        except RayTaskError as error:
            self._fail(lent, error)
        except RayError as error:
            self._lose(lent, _reason(error), died=True)
        else:
            lent.heard = time.monotonic()
            if reference == lent.ping:
                lent.ping = None
            else:
                lent.task = None
                self._take(lent, found)

    def _take(self, lent: _Lent, found: Any) -> None:
        """What a worker answered to what it was asked."""
        match found:
            case Introduction(batching, shown, process):
                different = proof.differences(self._mine, shown)
                if different:
                    self._refuse(lent, different)
                    return
                lent.batching, lent.process = batching, process
                self._events.put(Joined(lent.place.name, len(self.workers)))
            case Chunk(events, checkpoints):
                self._keep(lent, checkpoints)
                for event in events:
                    self._pass_on(lent, event)
            case _:
                trial = next(each for each in lent.starting if _what(each) not in lent.proven)
                different = proof.differences(self._due(trial), found)
                if different:
                    self._refuse(lent, different)
                    return
                lent.proven.add(_what(trial))
                self._train(lent)

    def _due(self, trial: Trial) -> proof.Proof:
        """What a worker is to prove for a trial, from what is here."""
        what = _what(trial)
        if what not in self._own_proofs:
            self._own_proofs[what] = proof.of_trial(trial.shape.cell, trial.task)
        return self._own_proofs[what]

    def _refuse(self, lent: _Lent, different: list[str]) -> None:
        """A worker that has other code or data: results would be mixed."""
        text = f"the worker on {lent.place.name} has {'; '.join(different)}; install the same there as here."
        self._events.put(Failed([*lent.trials.values(), *lent.starting], CapaxError(text)))

    def _pass_on(self, lent: _Lent, event: Event) -> None:
        match event:
            case Finished(trial, result):
                own = lent.trials.pop(trial.name)
                self._losses.pop(trial.name, None)
                event = Finished(own, result)
            case Compiled(program):
                lent.compiling.discard(program)
            case _:
                pass
        self._events.put(event)

    def _keep(self, lent: _Lent, checkpoints: Mapping[str, bytes]) -> None:
        """Write the checkpoints of a chunk into the run directory."""
        for name, content in checkpoints.items():
            path = lent.trials[name].checkpoint
            if path is not None:
                write_atomically(path, content)

    def _fail(self, lent: _Lent, error: RayTaskError) -> None:
        cause = error.cause if isinstance(error.cause, CapaxError) else error
        self._events.put(Failed([*lent.trials.values(), *lent.starting], cause))


def _connect(address: str | None) -> None:
    given = address or os.environ.get("RAY_ADDRESS")
    own = {} if given else {"num_cpus": cores(), "include_dashboard": False}
    try:
        ray.init(address=given, configure_logging=False, log_to_driver=False, namespace="capax", **own)
    except (ConnectionError, RayError, RuntimeError, ValueError, OSError) as error:
        where = f"the Ray cluster at {given}" if given else "a Ray cluster of this machine"
        raise CapaxError(f"{where} cannot be reached: {str(error).strip().splitlines()[0].rstrip('.')}.") from None


def _what(trial: Trial) -> tuple[Any, ...]:
    """What a worker proves for a trial."""
    return trial.shape.cell, trial.task


def _checkpoint(trial: Trial) -> bytes | None:
    try:
        return None if trial.checkpoint is None else trial.checkpoint.read_bytes()
    except FileNotFoundError:
        return None


def _reason(error: RayError) -> str:
    """The first line of an error of Ray that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
