"""Who writes a run's trials into a database: one driver at a time, wherever its directory is.

With PostgreSQL each connection of the driver holds an advisory lock, which goes with it. Elsewhere
a row says who writes and until when, and is renewed by a thread.
"""

import abc
import contextlib
import dataclasses
import json
import os
import platform
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from capax.errors import CapaxError
from capax.search import rows
from capax.search.database import Database

LEASE = "capax:driver"
"""The attribute of a run's study that says who writes."""
SECONDS, RENEWED = 60.0, 10.0
"""How long a lease lasts, and how often it is renewed."""
OWN_END = 5.0
"""Seconds for the end of a connection of this driver that the database does not know to be lost."""


class Lease(abc.ABC):
    """The right to write a run."""

    @abc.abstractmethod
    def check(self, connection: Connection) -> None:
        """Raise `CapaxError` where this process no longer has it; part of each transaction that
        writes.
        """

    @abc.abstractmethod
    def release(self) -> None:
        """Give it back."""


def driver_name() -> str:
    """How this process calls itself among the connections of a database: at most 63 letters."""
    return f"capax {os.getpid()} {platform.node()[:30]} {uuid.uuid4().hex[:12]}"


def _spoken(name: str | None) -> str:
    """Such a name, for people."""
    words = (name or "").split(" ")
    return f"process {words[1]} on host {words[2]}" if len(words) == 4 and words[0] == "capax" else "another process"


def _refusal(shown: str, run: str, who: str) -> CapaxError:
    return CapaxError(
        f"run {run} in {shown} is in use by {who}, so this one is refused; "
        f"wait for it, or watch it with: capax status '{shown}#{run}'"
    )


class AdvisoryLock(Lease):
    """PostgreSQL's lock: every connection of `database` takes it before anything else, or is
    refused.
    """

    def __init__(self, database: Database, run: str, name: str):
        self._run, self._name, self._shown = run, name, database.shown
        self._database = database
        event.listen(database.engine, "connect", self._take)
        database.transact(lambda connection: None)

    def _take(self, connection: Any, _: Any) -> None:
        """Take the lock in a new connection of the driver's library."""
        try:
            self._lock(connection)
        except BaseException:
            connection.close()
            raise

    def _lock(self, connection: Any) -> None:
        cursor = connection.cursor()
        ends = time.monotonic() + OWN_END
        try:
            while True:
                cursor.execute(f"SELECT pg_try_advisory_lock({_key(self._run)})")
                if cursor.fetchone()[0]:
                    return
                cursor.execute(_HOLDER.format(**_parts(self._run)))
                holder = cursor.fetchone()
                if holder is not None and holder[1] == self._name:  # ours: the database does not know that it is lost
                    cursor.execute(f"SELECT pg_terminate_backend({int(holder[0])})")
                    ends = min(ends, time.monotonic() + OWN_END)
                elif holder is not None:
                    raise _refusal(self._shown, self._run, _spoken(holder[1]))
                if time.monotonic() > ends:
                    raise _refusal(self._shown, self._run, "another process")
                connection.commit()
                time.sleep(0.1)
        finally:
            cursor.close()
            connection.commit()  # or what follows would be part of this transaction

    def check(self, connection: Connection) -> None:
        """Nothing: a connection without the lock does not come to be."""

    def release(self) -> None:
        """The lock goes with its connection."""
        self._database.close()


def _key(run: str) -> int:
    """The lock's number: 63 bits of the run's own id."""
    return uuid.UUID(run).int >> 65


def _parts(run: str) -> dict[str, int]:
    """The same as PostgreSQL lists it."""
    return {"high": _key(run) >> 32, "low": _key(run) & 0xFFFFFFFF}


_HOLDER = (
    "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = {high} AND l.objid::bigint = {low} "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclasses.dataclass(frozen=True)
class _Holder:
    """What the row says: who, on which host, for which directory, until when (seconds since
    1970).
    """

    token: str
    process: int
    host: str
    directory: str
    until: float

    def __str__(self) -> str:
        return f"process {self.process} on host {self.host}"


class Heartbeat(Lease):
    """A row that is renewed. A driver that was killed is followed at once in its own directory, of
    which only one process can have the lock, and elsewhere when its lease is over.
    """

    def __init__(self, database: Database, run: str, study: int, directory: Path):
        self._database, self._run, self._study = database, run, study
        self._token, self._directory = uuid.uuid4().hex, str(directory.resolve())
        self._ended = threading.Event()
        database.transact(self._take)
        self._thread = threading.Thread(target=self._beat, daemon=True, name="capax lease")
        self._thread.start()

    def check(self, connection: Connection) -> None:
        """Raise `CapaxError` where another driver writes."""
        holder = self._locked(connection)
        if holder is None or holder.token != self._token:
            raise self._refused(holder)

    def release(self) -> None:
        """End it, where it is ours."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(CapaxError):  # it ends by itself
            self._database.transact(lambda connection: self._renew(connection, time.time()))
        self._database.close()

    def _beat(self) -> None:
        while not self._ended.wait(RENEWED):
            with contextlib.suppress(CapaxError):  # away, or another's: the driver finds out when it writes
                self._database.transact(lambda connection: self._renew(connection, time.time() + SECONDS))

    def _take(self, connection: Connection) -> None:
        holder, now = self._locked(connection), time.time()
        if holder is not None and holder.until > now and not self._was_killed(holder):
            raise self._refused(holder)
        self._write(connection, now + SECONDS)

    def _renew(self, connection: Connection, until: float) -> None:
        self.check(connection)
        self._write(connection, until)

    def _was_killed(self, holder: _Holder) -> bool:
        return (holder.host, holder.directory) == (platform.node(), self._directory)

    def _refused(self, holder: _Holder | None) -> CapaxError:
        return _refusal(self._database.shown, self._run, "another process" if holder is None else str(holder))

    def _locked(self, connection: Connection) -> _Holder | None:
        """What the row says, which nobody else writes until this transaction ends."""
        studies = self._database.tables["studies"]
        own = studies.update().where(studies.c.study_id == self._study).values(study_name=studies.c.study_name)
        connection.execute(own)
        return _read(connection, self._database, self._study)

    def _write(self, connection: Connection, until: float) -> None:
        holder = _Holder(self._token, os.getpid(), platform.node(), self._directory, until)
        rows.set_attribute(connection, self._database.tables, self._study, LEASE, dataclasses.asdict(holder))


def _read(connection: Connection, database: Database, study: int) -> _Holder | None:
    for text in rows.attributes(connection, database.tables, LEASE, study).values():
        try:
            found = json.loads(text)
            return _Holder(
                str(found["token"])[:64],
                int(found["process"]),
                "".join(filter(str.isprintable, str(found["host"])))[:64],
                str(found["directory"]),
                float(found["until"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
    return None


def holder(database: Database, run: str, study: int) -> str | None:
    """Who writes a run, such as "process 71 on host atlas", None where nobody does."""
    if database.engine.dialect.name == "postgresql":
        query = _HOLDER.format(**_parts(run))
        found = database.transact(lambda connection: connection.exec_driver_sql(query).fetchone())
        return None if found is None else _spoken(found[1])
    row = database.transact(lambda connection: _read(connection, database, study))
    if row is None or row.until <= time.time():
        return None
    return str(row)
