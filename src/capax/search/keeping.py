"""Where a run's trials are kept: in the journal of its directory, or in a database."""

import abc
import dataclasses
import functools
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL

from capax.errors import CapaxError
from capax.search import journal, lease, rows, runs
from capax.search.database import Database, prepare
from capax.search.entries import entry_of
from capax.search.lease import AdvisoryLock, Heartbeat, Lease
from capax.search.ledger import Entry
from capax.search.mirror import Mirror

JOURNAL = "optuna.journal"


@dataclasses.dataclass(frozen=True)
class InDatabase:
    """That a run's trials are in a database, and which: the URL and the run's own id there."""

    url: URL
    run: str


class Trials(abc.ABC):
    """The trials of a run."""

    @property
    def fault(self) -> str | None:
        """What is wrong with them, as one line; None where nothing is."""
        return None

    @abc.abstractmethod
    def entries(self, study: str) -> tuple[Entry, ...]:
        """The trials of a study that were proposed; none where it has not begun. Raises
        `CapaxError` for a damaged result.
        """

    def holder(self) -> str | None:
        """Who writes them, beside the holder of the directory's lock."""
        return None

    def close(self) -> None:
        """Let go of what is held."""
        return None


class Written(Trials):
    """The trials of a run that this process writes. `storage` is Optuna's."""

    storage: BaseStorage

    def entries(self, study: str) -> tuple[Entry, ...]:
        """The trials of a study that were proposed."""
        return _entries(self.storage, study)

    @abc.abstractmethod
    def flush(self) -> None:
        """What was written until now is kept when this returns."""


def _entries(storage: BaseStorage, study: str) -> tuple[Entry, ...]:
    try:
        study_id = storage.get_study_id_from_name(study)
    except KeyError:
        return ()
    return _proposed(storage.get_all_trials(study_id, deepcopy=False))


def _proposed(trials: list[FrozenTrial]) -> tuple[Entry, ...]:
    return tuple(entry_of(trial) for trial in trials if trial.state != TrialState.WAITING)


class JournalWritten(Written):
    """The journal, which keeps each change at once. `say` is told of a damaged one that was
    mended.
    """

    def __init__(self, directory: Path, say: Callable[[str], None]):
        mended = journal.mend(directory / JOURNAL)
        if mended is not None:
            say(mended)
        self.storage = JournalStorage(JournalFileBackend(str(directory / JOURNAL)))

    def flush(self) -> None:
        """Nothing is left to do."""


class JournalRead(Trials):
    """The sound part of a journal as it is when it is first asked for."""

    def __init__(self, directory: Path):
        self._path = directory / JOURNAL
        if not self._path.exists():
            raise CapaxError(f"{directory} holds an experiment that has not begun; run it first.")

    @functools.cached_property
    def _journal(self) -> journal.Journal:
        return journal.read(self._path)

    @functools.cached_property
    def storage(self) -> BaseStorage:
        """Optuna's, for reading."""
        return JournalStorage(journal.InMemory(self._journal.records))

    @property
    def fault(self) -> str | None:
        """The first damage."""
        if self._journal.fault is None:
            return None
        return f"{self._journal.fault}; {journal.said(self._journal)}; capax run mends it, and keeps a copy"

    def entries(self, study: str) -> tuple[Entry, ...]:
        """The trials of a study that were proposed."""
        return _entries(self.storage, study)


class DatabaseWritten(Written):
    """The trials in a database, which this process alone writes until `close`. `say` is told where
    the database is away and back.

    Raises `CapaxError` where another process writes them, and where the database cannot be used.
    """

    def __init__(self, place: InDatabase, directory: Path, record: dict[str, Any], say: Callable[[str], None]):
        prepare(place.url)
        name = lease.driver_name()
        self._database = Database(place.url, say, keep=True, name=name)
        self._lease: Lease | None = None
        try:
            study = runs.register(self._database, place.run)
            self._lease = self._leased(place, study, directory, name)
            runs.describe(self._database, study, record, f"{platform.node()}:{directory.resolve()}")
            self.storage = self._mirror = Mirror(self._database, runs.prefix(place.run), self._lease.check)
        except BaseException:
            self.close()
            raise
        self._database.patient = True

    def _leased(self, place: InDatabase, study: int, directory: Path, name: str) -> Lease:
        if self._database.engine.dialect.name == "postgresql":
            self._database.close()  # connections that have no lock
            return AdvisoryLock(self._database, place.run, name)
        return Heartbeat(Database(place.url, keep=False), place.run, study, directory)

    def flush(self) -> None:
        """Write what has changed, in one transaction."""
        self._mirror.flush()

    def close(self) -> None:
        """Give the run back."""
        if self._lease is not None:
            self._lease.release()
        self._database.close()


class DatabaseRead(Trials):
    """The trials of a run in a database; each study is read once."""

    def __init__(self, place: InDatabase):
        self._database, self.run = Database(place.url, keep=False), place.run
        self.shown = self._database.shown
        self._read: dict[str, tuple[Entry, ...]] = {}

    @functools.cached_property
    def _studies(self) -> dict[str, int]:
        tables, before = self._database.tables, runs.prefix(self.run)
        found = self._database.transact(lambda connection: rows.studies_of(connection, tables, before))
        return {name.removeprefix(before): number for number, name, _ in found}

    def entries(self, study: str) -> tuple[Entry, ...]:
        """The trials of a study that were proposed."""
        if study not in self._studies:
            return ()
        if study not in self._read:
            tables, number = self._database.tables, self._studies[study]
            found = self._database.transact(lambda connection: rows.trials(connection, tables, number))
            self._read[study] = _proposed(found)
        return self._read[study]

    def holder(self) -> str | None:
        """The driver, wherever it is."""
        tables = self._database.tables
        study = self._database.transact(lambda connection: rows.find_study(connection, tables, self.run))
        return None if study is None else lease.holder(self._database, self.run, study)

    def signature(self) -> tuple[Any, ...]:
        """What differs where the trials have changed."""
        tables, before = self._database.tables, runs.prefix(self.run)
        return self._database.transact(lambda connection: rows.signature(connection, tables, before))

    def record(self) -> dict[str, Any]:
        """What experiment.json holds."""
        return runs.record(self._database, self.run)

    def directory(self) -> str:
        """Where the run's directory is."""
        return runs.directory(self._database, self.run)
