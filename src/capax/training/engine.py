"""The contract of an engine: where trials are trained. Trials go in, events come out, all of them
plain data.

An engine is one file and an entry point of the group "capax.engines", in any installed package:

    [project.entry-points."capax.engines"]
    mine = "my_package.engine:MyEngine"        # then: capax run EXPERIMENT --engine mine

The training itself is the same everywhere: a `Worker` (training/worker.py) takes trials and yields
events. An engine decides where workers run and carries trials to them and events back. The local
engine has one worker a thread; an engine for a cluster has one a remote process.
"""

import abc
import dataclasses

from capax.errors import CapaxError
from capax.installed import Installed
from capax.training.trial import Result, Trial
from capax.workers import Workers

DEFAULT = "local"


@dataclasses.dataclass(frozen=True)
class Compiling:
    """A worker has begun to compile: `program` says what, in words; no step is taken until
    `Compiled`."""

    program: str


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What `Compiling` has announced is done, after so many seconds."""

    program: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Progressed:
    """A worker has done a chunk: the steps that each trial in training has reached, by name.

    `trial_steps`, `seconds`, and `work`: of this chunk alone, all its trials together; work as
    `Trial.work` counts it.
    """

    steps: dict[str, int]
    trial_steps: int
    seconds: float
    work: float


@dataclasses.dataclass(frozen=True)
class Finished:
    """A trial has ended, or come to its pause."""

    trial: Trial
    result: Result


@dataclasses.dataclass(frozen=True)
class Failed:
    """A worker could not go on: an error in a cell or in writing, not a diverged trial."""

    trials: list[Trial]
    error: BaseException


@dataclasses.dataclass(frozen=True)
class Lost:
    """A worker is gone, or was given up: `why`, in words. Its trials go on with another one, from
    their last checkpoints. `compiling`: programs that it has begun to compile and not ended."""

    trials: list[Trial]
    why: str
    compiling: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Joined:
    """A worker has begun to take trials: `where`, in words; `lanes`, how many there are now."""

    where: str
    lanes: int


Event = Compiling | Compiled | Progressed | Finished | Failed | Lost | Joined


class Engine(abc.ABC):
    """Takes trials, trains them, and hands back events. `begin` makes one when a run begins.

    A trial that is submitted comes back in one `Finished`, or in a `Failed`, which ends the run. A
    trial with a checkpoint file goes on from it where it exists, and writes it after each chunk.
    """

    @classmethod
    def begin(cls, workers: Workers, address: str | None = None) -> "Engine":
        """An engine with such workers; `address`, of a cluster that is there already. Raises
        `CapaxError` for an address that it does not take, or cannot reach.
        """
        del workers
        cls.refuse_address(address)
        return cls()

    @classmethod
    def refuse_address(cls, address: str | None) -> None:
        """What an engine that reaches no cluster says of an address: `CapaxError`."""
        if address is not None:
            raise CapaxError(f"--address is for engines of clusters, such as ray; {cls.__name__} takes none.")

    @property
    @abc.abstractmethod
    def lanes(self) -> int:
        """How many workers train side by side."""

    @property
    @abc.abstractmethod
    def capacity(self) -> int:
        """How many trials train at the same time."""

    @property
    @abc.abstractmethod
    def waiting(self) -> int:
        """How many submitted trials no worker has taken yet."""

    @abc.abstractmethod
    def submit(self, trials: list[Trial]) -> None:
        """Queue trials."""

    @abc.abstractmethod
    def next_event(self, timeout: float) -> Event | None:
        """The next event, or None after `timeout` seconds without one."""

    @abc.abstractmethod
    def release(self, study: str) -> None:
        """No more trials of this study will come: drop what it alone needs (`Trial.study`)."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Let the workers finish their chunk, keep their checkpoints, and end."""


INSTALLED = Installed("capax.engines", "engine", Engine)
"""The engines that are installed, by name."""
