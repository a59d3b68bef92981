"""The store: a run directory that explains itself, written by one process at a time, read by any.

experiment.json   the run's record (experiments/record.py)
optuna.journal    every trial: hyperparameters, result, state (Optuna's journal storage)
curves/           learning curves, one Parquet file a trial
checkpoints/      running trials
models/           the best network of each study (safetensors with a manifest)
"""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from capax.errors import CapaxError
from capax.files import cannot_write, write_atomically
from capax.search import journal, lock
from capax.search.entries import entry_of
from capax.search.ledger import RERUNS, Entry, Ledger

JOURNAL, EXPERIMENT = "optuna.journal", "experiment.json"
DATA = "data"
"""The folder of data that were handed over as a table: they are there before a run begins."""


class Store:
    """A run directory. `Store.create` to write, `Store.read` to look."""

    def __init__(self, directory: Path, storage: JournalStorage, frozen: dict[str, Any]):
        self.directory, self.frozen = directory, frozen
        self.storage = storage
        self.fault: str | None = None  # of the journal, as one line
        self._lock: io.TextIOBase | None = None

    @staticmethod
    def create(
        directory: Path,
        resolve: Callable[[dict[str, Any] | None], dict[str, Any]],
        say: Callable[[str], None] = lambda _: None,
    ) -> "Store":
        """Open a directory for a run, new or begun before, and lock it until `close` or the end of
        the process.

        `resolve` is given what experiment.json holds, None for a new run, and returns what it shall
        hold; it raises `CapaxError` where this run must not go on there. So does this where the
        directory is a file, cannot be written, is in use, or holds something else. `say` is told of
        a damaged journal that was mended.
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
            mended = journal.mend(directory / JOURNAL)
            if mended is not None:
                say(mended)
            with _writing(directory):
                store = Store(directory, _storage(directory), frozen)
        except BaseException:
            held.close()
            raise
        store._lock = held
        return store

    @staticmethod
    def read(directory: Path) -> "Store":
        """Open a run directory for reading, running or not; `fault` says what is wrong with its
        journal.

        Raises `CapaxError` where there is none.
        """
        if not (directory / EXPERIMENT).exists():
            raise CapaxError(f"{directory} holds no capax experiment ({EXPERIMENT} is missing).")
        if not (directory / JOURNAL).exists():
            raise CapaxError(f"{directory} holds an experiment that has not begun; run it first.")
        found = journal.read(directory / JOURNAL)
        store = Store(directory, JournalStorage(journal.InMemory(found.records)), _read_frozen(directory))
        if found.fault is not None:
            store.fault = f"{found.fault}; {journal.said(found)}; capax run mends it, and keeps a copy"
        return store

    def close(self) -> None:
        """Release the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """A context in which a failed write (a full disk) becomes one clear line."""
        return _writing(self.directory)

    def ledger(self, study: str) -> Ledger:
        """The trials of a study that were proposed; none where it has not begun. Raises
        `CapaxError` for a damaged result.
        """
        return Ledger(self._entries(study), self._entries(study + RERUNS))

    def _entries(self, name: str) -> tuple[Entry, ...]:
        try:
            study_id = self.storage.get_study_id_from_name(name)
        except KeyError:
            return ()
        trials = self.storage.get_all_trials(study_id, deepcopy=False)
        return tuple(entry_of(trial) for trial in trials if trial.state != TrialState.WAITING)

    def checkpoint(self, study: str, number: int) -> Path:
        """The file that keeps a running trial."""
        return self.directory / "checkpoints" / _file_name(study) / f"{number:05d}.safetensors"

    def model(self, study: str) -> Path:
        """The file of a study's best network."""
        return self.directory / "models" / f"{_file_name(study)}.safetensors"

    def save_curve(self, study: str, number: int, losses: np.ndarray, interval: int) -> None:
        """Keep a learning curve: columns step (at the end of each interval) and loss."""
        reached = np.isfinite(losses)
        steps = (np.flatnonzero(reached) + 1) * interval
        buffer = io.BytesIO()
        pd.DataFrame({"step": steps, "loss": losses[reached].astype(np.float32)}).to_parquet(buffer, index=False)
        write_atomically(self._curve(study, number), buffer.getvalue())

    def has_curve(self, study: str, number: int) -> bool:
        """Whether there is a file with a trial's learning curve."""
        return self._curve(study, number).exists()

    def curve(self, study: str, number: int) -> pd.DataFrame | None:
        """A learning curve, None where there is none."""
        path = self._curve(study, number)
        return pd.read_parquet(path) if path.exists() else None

    def _curve(self, study: str, number: int) -> Path:
        return self.directory / "curves" / _file_name(study) / f"{number:05d}.parquet"


def _file_name(study: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in study)


def _storage(directory: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(directory / JOURNAL)))


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
