"""The runs that a database keeps: each has an id, its record, and its studies.

A study that is named by the id alone holds the record as an attribute and no trials. The studies of
the run are named ID/STUDY.
"""

import dataclasses
import json
from typing import Any

from optuna.study import StudyDirection
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from capax.errors import CapaxError
from capax.search import lease, rows
from capax.search.database import Database

RECORD, DIRECTORY = "capax:record", "capax:directory"
"""The attributes that hold what experiment.json does, and where the run's directory is."""


@dataclasses.dataclass(frozen=True)
class Listed:
    """A run in the list of a database: its id, the name of its experiment, when it was begun, where
    its directory is, how many trials have ended of those that were proposed, and who runs it.
    """

    id: str
    name: str
    created: str
    directory: str
    ended: int
    proposed: int
    holder: str | None


def prefix(run: str) -> str:
    """What the names of a run's studies begin with."""
    return f"{run}/"


def register(database: Database, run: str) -> int:
    """The number of the study that stands for a run; it is made where there is none."""
    tables = database.tables
    return database.transact(lambda connection: rows.add_study(connection, tables, run, StudyDirection.MINIMIZE))


def describe(database: Database, study: int, record: dict[str, Any], directory: str) -> None:
    """Keep a run's record, and where its directory is."""
    tables = database.tables

    def write(connection: Connection) -> None:
        rows.set_attribute(connection, tables, study, RECORD, record)
        rows.set_attribute(connection, tables, study, DIRECTORY, directory)

    database.transact(write)


def listed(url: URL) -> list[Listed]:
    """The runs of a database, in the order in which they were begun."""
    database = Database(url, keep=False)
    return [_listed(database, run, text) for run, text in _records(database).items()]


def _records(database: Database) -> dict[str, str]:
    tables = database.tables
    return database.transact(lambda connection: rows.attributes(connection, tables, RECORD))


def _listed(database: Database, run: str, text: str) -> Listed:
    tables = database.tables
    name, created = _named(text)
    study = database.transact(lambda connection: rows.find_study(connection, tables, run))
    counts = database.transact(lambda connection: rows.states(connection, tables, prefix(run)))
    proposed = sum(count for state, count in counts.items() if state != "WAITING")
    ended = proposed - counts.get("RUNNING", 0)
    holder = None if study is None else lease.holder(database, run, study)
    return Listed(run, name, created, directory(database, run), ended, proposed, holder)


def _named(text: str) -> tuple[str, str]:
    """The experiment's name and when it was begun; what cannot be read is said to be damaged."""
    try:
        found = json.loads(text)
        return _printable(found["experiment"]["name"]), _printable(found["created"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "(damaged)", "?"


def _printable(text: Any) -> str:
    return "".join(filter(str.isprintable, str(text)))[:200]


def directory(database: Database, run: str) -> str:
    """Where a run's directory is, such as "atlas:/home/ada/runs/capacity"."""
    tables = database.tables
    found = database.transact(lambda connection: rows.attributes(connection, tables, DIRECTORY))
    try:
        return _printable(json.loads(found.get(run, '"?"')))
    except (ValueError, RecursionError):
        return "?"


def id_of(url: URL, name: str | None) -> str:
    """The id of a run in a database (`find`)."""
    return find(Database(url, keep=False), name)


def find(database: Database, name: str | None) -> str:
    """The id of the run with this id or name; of the only one where none is named.

    Raises `CapaxError` where there is none, or more than one.
    """
    records = _records(database)
    known = {run: _named(text)[0] for run, text in records.items()}
    found = [run for run in known if name is None or name in (run, known[run])]
    if name is not None and not found:
        found = [run for run in known if len(name) >= 6 and run.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        which = "no runs of capax" if name is None else f"no run {name!r}"
        raise CapaxError(f"{database.shown} holds {which}; see what it holds with: capax status '{database.shown}'")
    ids = ", ".join(f"{run} ({known[run]})" for run in found[:8])
    raise CapaxError(f"{database.shown} holds {len(found)} such runs; name one with --run: {ids}.")


def record(database: Database, run: str) -> dict[str, Any]:
    """What experiment.json holds of a run. Raises `CapaxError` where that cannot be read."""
    try:
        found = json.loads(_records(database)[run])
    except KeyError:
        raise CapaxError(f"{database.shown} holds no record of run {run}.") from None
    except (ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:120]
        raise CapaxError(f"{database.shown} holds a damaged record of run {run}: {said}.") from None
    if not isinstance(found, dict):
        raise CapaxError(f"{database.shown} holds a damaged record of run {run}: it is no table.")
    return found
