"""The store: a run directory that explains itself, written by one process at a time, read by any.

experiment.json   the run's record (experiments/record.py)
optuna.journal    every trial: hyperparameters, result, state (Optuna's journal storage); none where
                  they are in a database, which experiment.json names
curves/           learning curves, one Parquet file a trial
checkpoints/      running trials
models/           the best network of each study (safetensors with a manifest)
"""

import contextlib
import io
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.storages import BaseStorage

from capax.errors import CapaxError
from capax.files import cannot_write, write_atomically
from capax.search import lock, runs
from capax.search import url as urls
from capax.search.keeping import (
    JOURNAL,
    DatabaseRead,
    DatabaseWritten,
    InDatabase,
    JournalRead,
    JournalWritten,
    Trials,
    Written,
)
from capax.search.ledger import RERUNS, Ledger

EXPERIMENT = "experiment.json"
STORE = "store"
"""The key of experiment.json that names the database: "url" and "run"; None where there is none."""
DATA = "data"
"""The folder of data that were handed over as a table: they are there before a run begins."""


class Store:
    """A run. `Store.create` to write; `Store.read` and `Store.of_database` to look.

    `directory`: None where it is looked at without. `place`: what to call it.
    """

    def __init__(self, directory: Path | None, place: str, trials: Trials, frozen: dict[str, Any]):
        self.directory, self.place, self.frozen = directory, place, frozen
        self._trials = trials
        self._lock: io.TextIOBase | None = None

    @staticmethod
    def create(
        directory: Path,
        resolve: Callable[[dict[str, Any] | None], dict[str, Any]],
        say: Callable[[str], None] = lambda _: None,
        url: str | None = None,
    ) -> "Store":
        """Open a directory for a run, new or begun before, and lock it until `close` or the end of
        the process.

        `resolve` is given what experiment.json holds, None for a new run, and returns what it shall
        hold; it raises `CapaxError` where this run must not go on there. So does this where the
        directory is a file, cannot be written, is in use, or holds something else. `say` is told of
        a damaged journal that was mended, and of a database that is away. `url`: of the database,
        with its password, where experiment.json names one.
        """
        if directory.exists() and not directory.is_dir():
            raise CapaxError(f"{directory} is a file; give a directory with --out.")
        begun = (directory / EXPERIMENT).exists()
        if (
            directory.is_dir()
            and not begun
            and any(entry.name not in (lock.LOCK, DATA) for entry in directory.iterdir())
        ):
            raise CapaxError(
                f"{directory} is not empty and holds no capax experiment; choose another directory with --out."
            )
        try:
            directory.mkdir(parents=True, exist_ok=True)
            held = lock.acquire(directory)
        except OSError as error:
            raise CapaxError(
                f"{directory} cannot be written: {error.strerror}; choose another directory with --out."
            ) from None
        try:
            found = _read_frozen(directory) if begun else None
            frozen = resolve(found)
            if frozen != found:
                write_atomically(directory / EXPERIMENT, json.dumps(frozen, indent=2))
            with _writing(directory):
                store = Store(directory, str(directory), _written(directory, frozen, url, say), frozen)
        except BaseException:
            held.close()
            raise
        store._lock = held
        return store

    @staticmethod
    def read(directory: Path, url: str | None = None) -> "Store":
        """Open a run directory for reading, running or not; `fault` says what is wrong with its
        journal. `url`: of its database, with the password, where it has one that the environment
        does not tell.

        Raises `CapaxError` where there is none.
        """
        if not (directory / EXPERIMENT).exists():
            raise CapaxError(f"{directory} holds no capax experiment ({EXPERIMENT} is missing).")
        frozen = _read_frozen(directory)
        place = in_database(frozen, url, str(directory))
        trials = JournalRead(directory) if place is None else DatabaseRead(place)
        return Store(directory, str(directory), trials, frozen)

    @staticmethod
    def of_database(url: str, run: str | None = None) -> "Store":
        """Open a run of a database for reading, without its directory: curves and models are not
        there. `run`: its id or its experiment's name; it may be left out where there is only one.
        """
        parsed = urls.parse(url)
        trials = DatabaseRead(InDatabase(parsed, runs.id_of(parsed, run)))
        return Store(None, f"{trials.shown}#{trials.run}", trials, trials.record())

    @property
    def fault(self) -> str | None:
        """What is wrong with the trials, as one line."""
        return self._trials.fault

    @property
    def storage(self) -> BaseStorage:
        """Optuna's; a database is not read through it."""
        assert isinstance(self._trials, Written | JournalRead), "only entries are read of a database"
        return self._trials.storage

    def flush(self) -> None:
        """What was written until now is kept when this returns."""
        assert isinstance(self._trials, Written), "a store is either written or read"
        self._trials.flush()

    def close(self) -> None:
        """Release the run and its directory."""
        self._trials.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """A context in which a failed write (a full disk) becomes one clear line."""
        return _writing(self._at("."))

    def holder(self) -> str | None:
        """Who runs it, such as "process 71 on host atlas"; None where nobody does."""
        here = None if self.directory is None else lock.holder(self.directory)
        return here or self._trials.holder()

    def elsewhere(self) -> str | None:
        """Where the directory is of a run that is looked at without."""
        return self._trials.directory() if self.directory is None and isinstance(self._trials, DatabaseRead) else None

    def sign(self) -> tuple[Any, ...] | None:
        """What differs where the run's record or trials have changed; None where a file is
        missing.
        """
        names = [EXPERIMENT]
        if isinstance(self._trials, DatabaseRead):
            trials = self._trials.signature()
        else:
            trials, names = (), [EXPERIMENT, JOURNAL]
        try:
            found = [] if self.directory is None else [(self.directory / name).stat() for name in names]
        except OSError:
            return None
        return *((file.st_ino, file.st_size, file.st_mtime_ns) for file in found), *trials

    def ledger(self, study: str) -> Ledger:
        """The trials of a study that were proposed; none where it has not begun. Raises
        `CapaxError` for a damaged result.
        """
        return Ledger(self._trials.entries(study), self._trials.entries(study + RERUNS))

    def checkpoint(self, study: str, number: int) -> Path:
        """The file that keeps a running trial."""
        return self._at("checkpoints") / _file_name(study) / f"{number:05d}.safetensors"

    def model(self, study: str) -> Path:
        """The file of a study's best network."""
        return self._at("models") / f"{_file_name(study)}.safetensors"

    def save_curve(self, study: str, number: int, losses: np.ndarray, interval: int) -> None:
        """Keep a learning curve: columns step (at the end of each interval) and loss."""
        reached = np.isfinite(losses)
        steps = (np.flatnonzero(reached) + 1) * interval
        buffer = io.BytesIO()
        pd.DataFrame({"step": steps, "loss": losses[reached].astype(np.float32)}).to_parquet(buffer, index=False)
        write_atomically(self._curve(study, number), buffer.getvalue())

    def has_curve(self, study: str, number: int) -> bool:
        """Whether there is a file with a trial's learning curve."""
        return self.directory is not None and self._curve(study, number).exists()

    def curve(self, study: str, number: int) -> pd.DataFrame | None:
        """A learning curve, None where there is none."""
        return pd.read_parquet(self._curve(study, number)) if self.has_curve(study, number) else None

    def _curve(self, study: str, number: int) -> Path:
        return self._at("curves") / _file_name(study) / f"{number:05d}.parquet"

    def _at(self, folder: str) -> Path:
        assert self.directory is not None, "without a directory there are no files"
        return self.directory / folder


def _file_name(study: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in study)


def in_database(frozen: dict[str, Any], url: str | None, place: str) -> InDatabase | None:
    """Where the trials are of a run with this experiment.json, None where they are in its journal.

    `url`: that of the database as it was given now, with its password. Raises `CapaxError` where it
    names another one.
    """
    found = frozen.get(STORE)
    if found is None:
        if url is not None:
            raise CapaxError(f"{place} has its trials in {JOURNAL}; leave out --store, or begin anew with --out.")
        return None
    try:
        begun, run = urls.parse(str(found["url"])), uuid.UUID(str(found["run"])).hex
    except (KeyError, TypeError, ValueError):
        raise CapaxError(f"{place} is damaged: {STORE} names no database and run.") from None
    given = begun if url is None else urls.parse(url)
    if not urls.is_same(begun, given):
        raise CapaxError(
            f"{place} has its trials in {urls.shown(begun)}, not in {urls.shown(given)}; "
            "leave out --store, or begin anew with --out."
        )
    return InDatabase(given, run)


def _written(directory: Path, frozen: dict[str, Any], url: str | None, say: Callable[[str], None]) -> Written:
    place = in_database(frozen, url, str(directory))
    return JournalWritten(directory, say) if place is None else DatabaseWritten(place, directory, frozen, say)


def _read_frozen(directory: Path) -> dict[str, Any]:
    try:
        return json.loads((directory / EXPERIMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CapaxError(f"{directory / EXPERIMENT} cannot be read: {error}.") from None


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(directory, error) from error
