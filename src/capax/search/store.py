"""The store: a run directory that explains itself, written by one process at a time, read by any.

experiment.json   the frozen experiment, version, and platform
optuna.journal    every trial: hyperparameters, result, state (Optuna's journal storage)
curves/           learning curves, one Parquet file a trial
checkpoints/      running trials; models/: the best network of each study (safetensors with a manifest)
"""

import contextlib
import datetime
import fcntl
import io
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from capax.errors import CapaxError
from capax.files import cannot_write, write_atomically

JOURNAL, EXPERIMENT, LOCK = "optuna.journal", "experiment.json", ".lock"
WORDS = ("question", "source")
"""Keys of an experiment that change nothing in its results: a run goes on when they are reworded."""
LISTS = ("tasks", "cells", "depths", "budgets", "units")
"""Keys that may get longer, since a study's results do not depend on other studies; then a run goes on with the new ones."""
REPEATS = "reruns"
"""The key that may grow: a rerun's seed follows from its number."""


class Store:
    """A run directory. `Store.create` to write, `Store.read` to look."""

    def __init__(self, directory: Path, storage: JournalStorage, frozen: dict[str, Any]):
        self.directory, self.frozen = directory, frozen
        self._storage = storage
        self._lock: io.TextIOBase | None = None

    @staticmethod
    def create(directory: Path, experiment: dict[str, Any], version: str) -> "Store":
        """Open a directory for an experiment, new or begun before, and lock it until `close` or the end of the process.

        An experiment may be extended: what was begun goes on with more tasks, cells, depths, sizes, or reruns. Raises
        `CapaxError` where the directory is a file, cannot be written, is in use, or holds something else.
        """
        if directory.exists() and not directory.is_dir():
            raise CapaxError(f"{directory} is a file; give a directory with --out.")
        begun = (directory / EXPERIMENT).exists()
        if directory.is_dir() and not begun and any(entry.name != LOCK for entry in directory.iterdir()):
            raise CapaxError(
                f"{directory} is not empty and holds no capax experiment; choose another directory with --out."
            )
        if begun:
            _check_extends(directory, _read_frozen(directory)["experiment"], experiment)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = _lock(directory)
        except OSError as error:
            raise CapaxError(
                f"{directory} cannot be written: {error.strerror}; choose another directory with --out."
            ) from None
        try:
            if not begun:
                frozen = {
                    "capax": version,
                    "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                    "platform": {
                        "python": platform.python_version(),
                        "system": platform.system(),
                        "machine": platform.machine(),
                    },
                    "experiment": experiment,
                }
                write_atomically(directory / EXPERIMENT, json.dumps(frozen, indent=2))
            elif (frozen := _read_frozen(directory))["experiment"] != experiment:
                write_atomically(directory / EXPERIMENT, json.dumps({**frozen, "experiment": experiment}, indent=2))
            _mend(directory / JOURNAL)
            with _writing(directory):
                store = Store(directory, _storage(directory), _read_frozen(directory))
        except BaseException:
            lock.close()
            raise
        store._lock = lock
        return store

    @staticmethod
    def read(directory: Path) -> "Store":
        """Open a run directory for reading, running or not. Raises `CapaxError` where there is none."""
        if not (directory / EXPERIMENT).exists():
            raise CapaxError(f"{directory} holds no capax experiment ({EXPERIMENT} is missing).")
        if not (directory / JOURNAL).exists():
            raise CapaxError(f"{directory} holds an experiment that has not begun; run it first.")
        return Store(directory, _storage(directory), _read_frozen(directory))

    def close(self) -> None:
        """Release the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def study(self, name: str, direction: str, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        """The Optuna study of this name, made if it is new."""
        if any(study.study_name == name for study in self._storage.get_all_studies()):
            return optuna.load_study(study_name=name, storage=self._storage, sampler=sampler)
        with _writing(self.directory):
            return optuna.create_study(
                storage=self._storage,
                study_name=name,
                sampler=sampler,
                direction="maximize" if direction == "maximise" else "minimize",
            )

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """A context in which a failed write (a full disk) becomes one clear line."""
        return _writing(self.directory)

    def trials(self, name: str) -> list[optuna.trial.FrozenTrial]:
        """All trials of a study by number; none where it has not begun."""
        try:
            study_id = self._storage.get_study_id_from_name(name)
        except KeyError:
            return []
        return self._storage.get_all_trials(study_id, deepcopy=False)

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


def _check_extends(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise `CapaxError` unless the new experiment is the old one, or has more of what may be had more of."""
    known = {name: table for name, table in new.get("task", {}).items() if name in old.get("tasks", ())}
    key = _difference(old, {**new, "task": known})
    if key is None:
        return
    before, after = (json.dumps(_value_at(table, key)) for table in (old, new))
    raise CapaxError(
        f"{directory} holds another experiment: it has {'.'.join(key)} = {before}, this one {after}; "
        f"choose another directory with --out, or run the same experiment, with more {', '.join(LISTS)}, or {REPEATS} if you like."
    )


def _difference(old: dict[str, Any], new: dict[str, Any], inside: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """The first key, as a path, at which the new experiment does not extend the old one."""
    for key in {**old, **new}:
        was, now = old.get(key), new.get(key)
        path = (*inside, key)
        if was == now or (not inside and key in WORDS) or (key not in old and not now):  # an older run knew fewer keys
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            found = _difference(was, now, path)
        elif isinstance(was, list) and isinstance(now, list) and (key in LISTS or "sweep" in inside):
            found = path if [value for value in was if value not in now] else None
        else:
            grows = key == REPEATS and isinstance(was, int) and isinstance(now, int) and now > was
            found = None if grows else path
        if found is not None:
            return found
    return None


def _value_at(table: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _lock(directory: Path) -> io.TextIOBase:
    """Lock the directory for this process; the system releases the lock when the process ends, however it ends."""
    lock = (directory / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        raise CapaxError(
            f"{directory} is in use by process {owner or 'unknown'}, so this one is refused; "
            f"wait for it, or watch it with: capax status {directory}"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _mend(journal: Path) -> None:
    """Drop what a killed process left: an unfinished last line, and the journal's own lock (ours is held, so it is stale)."""
    for stale in journal.parent.glob(f"{journal.name}.lock*"):
        stale.unlink(missing_ok=True)
    if journal.exists():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(journal, whole)


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(directory, error) from error
