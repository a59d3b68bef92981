"""A database that keeps trials: its connections, its tables, and what is done while it is away.

The tables are Optuna's own, made and checked by Optuna, so that its tools read them.
"""

import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InvalidRequestError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool, QueuePool

from capax.errors import CapaxError
from capax.search import url as urls

AWAY_SECONDS = 300.0
"""For so long a database may be away before a run ends."""
PAUSES = (0.1, 2.0)
"""Seconds between two tries, the first and the longest."""
MAKING_TABLES = 0x6361706178
"""The advisory lock of PostgreSQL under which tables are made: "capax"."""
TRIES = 20
"""How often tables are made where there is no such lock: another process may make them too."""
TABLES = (
    "studies",
    "study_directions",
    "study_user_attributes",
    "trials",
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_user_attributes",
    "trial_system_attributes",
)
LIBPQ = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Of connections to PostgreSQL: one whose other end is gone is noticed within a minute."""

T = TypeVar("T")


class Database:
    """One database. Everything is done in transactions, by `transact`.

    `engine`: SQLAlchemy's, with one connection that is kept, or a fresh one each time. `say` is
    told when the database is away and when it is back; only where `patient` it is waited for.
    """

    def __init__(self, url: URL, say: Callable[[str], None] = lambda _: None, *, keep: bool, name: str = "capax"):
        self.url, self.shown = url, urls.shown(url)
        self._say = say
        self.patient = False
        self.engine = make_engine(url, name, keep=keep)

    @functools.cached_property
    def tables(self) -> dict[str, Table]:
        """Optuna's tables by name, as they are in this database."""
        metadata = MetaData()

        def read(connection: Connection) -> dict[str, Table]:
            metadata.reflect(connection, only=TABLES)
            return {name: metadata.tables[name] for name in TABLES}

        try:
            return self.transact(read)
        except (InvalidRequestError, KeyError):
            raise CapaxError(f"{self.shown} holds no runs of capax.") from None

    def transact(self, do: Callable[[Connection], T]) -> T:
        """Do something in a transaction. It is done again where the database was away, perhaps
        after it was done: doing it twice must be doing it once.

        Raises `CapaxError` where the database refuses, or stays away.
        """
        away: float | None = None
        pause = PAUSES[0]
        while True:
            try:
                with self.engine.begin() as connection:
                    found = do(connection)
                if away is not None:
                    self._say(f"{self.shown} is back after {time.monotonic() - away:,.0f} s; nothing is lost")
                return found
            except InvalidRequestError:
                raise
            except SQLAlchemyError as error:
                if not (self.patient and _is_away(error)):
                    raise self._refused(error) from None
                if away is None:
                    away = time.monotonic()
                    self._say(f"{self.shown} is away ({self._said(error)}); it is asked again for {_minutes()}")
                if time.monotonic() - away > AWAY_SECONDS:
                    raise CapaxError(
                        f"{self.shown} has been away for {_minutes()} ({self._said(error)}); what was finished is "
                        "kept, and the same command goes on from there."
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, PAUSES[1])

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()

    def _refused(self, error: SQLAlchemyError) -> CapaxError:
        return CapaxError(f"{self.shown} cannot be used: {self._said(error)}.")

    def _said(self, error: SQLAlchemyError) -> str:
        said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        return urls.without_secrets(str(said), self.url)[:300].rstrip(".") or type(said).__name__


def _minutes() -> str:
    return f"{AWAY_SECONDS / 60:,.0f} minutes" if AWAY_SECONDS >= 60 else f"{AWAY_SECONDS:g} seconds"


def _is_away(error: SQLAlchemyError) -> bool:
    """Whether asking again later may help: the connection was lost, or there is none."""
    if isinstance(error, PoolTimeoutError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    if "sqlite" in type(getattr(error, "orig", None)).__module__:  # its one error is of many kinds
        return "locked" in str(error) or "busy" in str(error)
    return isinstance(error, OperationalError | InterfaceError)


def make_engine(url: URL, name: str, *, keep: bool) -> sqlalchemy.Engine:
    """SQLAlchemy's engine. `name`: how a connection calls itself where databases list them.

    Raises `CapaxError` where there is no driver.
    """
    given: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        given["timeout"] = 30
    elif url.drivername in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        given = {"application_name": name, **{key: value for key, value in LIBPQ.items() if key not in url.query}}
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
    try:
        return sqlalchemy.create_engine(url, connect_args=given, **(pool if keep else {"poolclass": NullPool}))
    except (ImportError, NoSuchModuleError):
        needed = "pip install 'capax[postgresql]'" if url.get_backend_name() == "postgresql" else "install its driver"
        raise CapaxError(f"there is no driver for {url.drivername} here: {needed}.") from None


def prepare(url: URL) -> None:
    """Make the tables where there are none, whoever else does the same at this moment; check that
    they are those of this Optuna.

    Raises `CapaxError` where they are not, and where the database cannot be used.
    """
    database = Database(url, keep=False)
    try:
        for left in reversed(range(TRIES)):
            try:
                with _alone(database.engine):
                    return _make_tables(url)
            except RuntimeError as error:
                raise CapaxError(f"{database.shown} cannot be used: {urls.without_secrets(str(error), url)}") from None
            except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
                hopeless = url.get_backend_name() == "postgresql"
                if (hopeless or left == 0) and isinstance(cause, SQLAlchemyError):
                    raise database._refused(cause) from None
                time.sleep(random.uniform(0.05, 0.5))
    finally:
        database.close()


@contextlib.contextmanager
def _alone(engine: sqlalchemy.Engine) -> Iterator[None]:
    """With PostgreSQL: one process after the other. Elsewhere whoever comes second tries again."""
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({MAKING_TABLES})")
        connection.commit()
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({MAKING_TABLES})")


def _make_tables(url: URL) -> None:
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # Optuna formats it
    storage = RDBStorage(text, engine_kwargs={"poolclass": NullPool})
    storage.remove_session()
    storage.engine.dispose()
