"""Trials in a database: what Optuna reads of them, one writer, and nothing twice."""

import contextlib
import json
import math
import shutil
import subprocess
import sys
import threading
import time

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sqlalchemy.exc import OperationalError

from capax.errors import CapaxError
from capax.search import database as databases
from capax.search import lease
from capax.search import url as urls
from capax.search.database import Database, prepare
from capax.search.ledger import RERUNS, TrialRecord
from capax.search.store import Store
from capax.search.tuning import Tuner, Tuning

RUN = "0123456789abcdef0123456789abcdef"
SPACE = {
    "training_steps": IntDistribution(10, 1000, log=True),
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "kind": CategoricalDistribution(["a", "b"]),
}
FIRST = {"training_steps": 100, "learning_rate": 0.1, "kind": "a"}
STUDY = "text-rnn"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/trials.db"
    return request.getfixturevalue("postgresql").url()


def frozen(url):
    record = {"experiment": {"name": "small"}, "created": "2026-01-01"}
    return {**record, "store": {"url": urls.shown(urls.parse(url)), "run": RUN}}


@pytest.fixture
def opened():
    """A function that opens a run to write; what is left open is closed."""
    stores = []

    def create(url, directory, say=lambda _: None):
        stores.append(Store.create(directory, lambda _: frozen(url), say, url))
        return stores[-1]

    yield create
    for store in stores:
        with contextlib.suppress(CapaxError):
            store.close()


def tuning(store, trials=20):
    return Tuning(store, STUDY, "minimise", Tuner("random", 3, trials, SPACE, FIRST))


def record(score, **more):
    return TrialRecord(True, 100, 1.5, 7, {"score": score, "loss": math.inf}, {"score": score}, **more)


def work(found, count=4):
    """Proposes trials and ends them in all the ways that there are; one stays open."""
    found.propose(count)
    found.pause(0, record(3.5))
    found.end(0, record(3.25, stopped=True))
    found.end(1, record(2.5))
    found.end(2, TrialRecord(False, 5, 0.1, 7))
    for number in (0, 1, 2):
        found.tell(number)
    found.rerun(2, found.ledger().tuned[1].hyperparameters)
    found.end(0, record(2.75), rerun=True)


def rows_of(url):
    """What Optuna's own storage reads, by the name of the study."""
    storage = optuna.storages.RDBStorage(urls.parse(url).render_as_string(hide_password=False))
    try:
        return {
            study.study_name: optuna.load_study(study_name=study.study_name, storage=storage).get_trials()
            for study in storage.get_all_studies()
        }
    finally:
        storage.remove_session()
        storage.engine.dispose()


def comparable(trials):
    kept = ("number", "state", "values", "params", "distributions", "user_attrs", "system_attrs", "intermediate_values")
    return [{name: getattr(trial, name) for name in kept} for trial in trials]


def test_optuna_reads_what_was_written_and_so_does_the_store(opened, url, tmp_path, request):
    journal = Store.create(tmp_path / "journal", lambda _: {})
    request.addfinalizer(journal.close)
    work(tuning(journal))
    store = opened(url, tmp_path / "run")
    work(tuning(store))
    expected = {name: journal.storage.get_all_trials(number) for number, name in enumerate((STUDY, STUDY + RERUNS))}
    found = {name: trials for name, trials in rows_of(url).items() if trials}
    assert {f"{RUN}/{name}": comparable(trials) for name, trials in expected.items()} == {
        name: comparable(trials) for name, trials in found.items()
    }
    for trial in found[f"{RUN}/{STUDY}"]:
        began = next(each for each in expected[STUDY] if each.number == trial.number).datetime_start
        assert abs((trial.datetime_start - began.astimezone().replace(tzinfo=None)).total_seconds()) < 600
    assert Store.read(tmp_path / "run", url).ledger(STUDY) == journal.ledger(STUDY) == store.ledger(STUDY)
    assert Store.of_database(url, "small").ledger(STUDY) == journal.ledger(STUDY)
    store.close()


def test_a_run_goes_on_where_it_ended(opened, url, tmp_path):
    whole = opened(url.replace("trials.db", "other.db") if "sqlite" in url else url, tmp_path / "whole")
    tuning(whole).propose(6)
    expected = [entry.hyperparameters for entry in whole.ledger(STUDY).tuned]
    whole.close()
    shutil.rmtree(tmp_path / "whole")
    if "sqlite" not in url:
        database = Database(urls.parse(url), keep=False)
        with database.engine.begin() as connection:
            for name in ("trial_params", "trial_user_attributes", "trial_system_attributes", "trials"):
                connection.exec_driver_sql(f"DELETE FROM {name}")
    for count in (2, 1, 3):
        store = opened(url, tmp_path / "run")
        found = tuning(store)
        found.propose(count)
        store.close()
    assert [entry.hyperparameters for entry in Store.of_database(url).ledger(STUDY).tuned] == expected


def test_several_processes_make_the_tables_at_once(url):
    code = "import sys; from capax.search import database, url; database.prepare(url.parse(sys.argv[1]))"
    begun = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate(timeout=120)[1].decode() for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0, 0], said
    assert rows_of(url) == {}


def test_tables_of_another_optuna_are_refused(url):
    prepare(urls.parse(url))
    database = Database(urls.parse(url), keep=False)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v99'")
    with pytest.raises(CapaxError, match="no longer compatible"):
        prepare(urls.parse(url))


class Forgetful:
    """An engine whose first transactions are committed, and whose replies are lost."""

    def __init__(self, engine, lost):
        self._engine, self.lost = engine, lost
        self.dialect = engine.dialect

    @contextlib.contextmanager
    def begin(self):
        with self._engine.begin() as connection:
            yield connection
        if self.lost:
            self.lost -= 1
            raise OperationalError("COMMIT", {}, Exception("database is locked: server closed the connection"))

    def dispose(self):
        self._engine.dispose()


def test_what_was_done_although_the_reply_was_lost_is_not_done_twice(opened, url, tmp_path, monkeypatch):
    class Locked(Exception):
        """What SQLite raises is of a module with sqlite in its name."""

    Locked.__module__ = "sqlite3"
    said = []
    store = opened(url, tmp_path / "run", said.append)
    found = tuning(store)
    database = store._trials._database
    database.engine = Forgetful(database.engine, 0)
    expected = []
    for lost in (2, 1, 0, 3):
        database.engine.lost = lost
        found.propose(1)
        database.engine.lost = lost
        found.end(len(expected), record(2.0 + lost))
        found.tell(len(expected))
        expected.append(2.0 + lost)
    trials = rows_of(url)[f"{RUN}/{STUDY}"]
    assert [trial.value for trial in trials] == expected
    assert all(trial.params.keys() == SPACE.keys() for trial in trials)
    assert sum("is away" in line for line in said) == sum("is back" in line for line in said) > 0
    store.close()


def test_a_database_that_stays_away_ends_in_one_line_and_nothing_is_lost(opened, url, tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "AWAY_SECONDS", 0.5)
    store = opened(url, tmp_path / "run")
    found = tuning(store)
    found.propose(2)
    database = store._trials._database
    database.engine = Forgetful(database.engine, 10_000)
    with pytest.raises(CapaxError, match=r"has been away for 0\.5 seconds .* the same command goes on"):
        found.end(0, record(2.0))
    database.engine.lost = 0
    store.close()
    assert len(Store.of_database(url).ledger(STUDY).tuned) == 2


def test_a_second_driver_is_refused_wherever_its_directory_is(opened, url, tmp_path):
    first = opened(url, tmp_path / "run")
    with pytest.raises(CapaxError, match=r"in use by process \d+ on host .*, so this one is refused") as refused:
        opened(url, tmp_path / "copy")
    assert RUN in str(refused.value)
    assert Store.of_database(url).holder() is not None
    first.close()
    assert Store.of_database(url).holder() is None
    opened(url, tmp_path / "copy").close()


def test_a_driver_that_lost_its_lease_writes_no_more(opened, tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    store = opened(url, tmp_path / "run")
    found = tuning(store)
    found.propose(1)
    with Database(urls.parse(url), keep=False).engine.begin() as connection:
        other = {"token": "x", "process": 1, "host": "atlas", "directory": "/", "until": time.time() + 60}
        table = sqlalchemy.table("study_user_attributes", sqlalchemy.column("value_json"), sqlalchemy.column("key"))
        connection.execute(table.update().where(table.c.key == lease.LEASE).values(value_json=json.dumps(other)))
    with pytest.raises(CapaxError, match="in use by process 1 on host atlas"):
        found.propose(1)
    store.close()
    assert len(Store.of_database(url).ledger(STUDY).tuned) == 1


def test_a_killed_driver_is_followed_at_once_in_its_directory_and_elsewhere_when_its_lease_is_over(
    opened, tmp_path, monkeypatch
):
    url = f"sqlite:///{tmp_path}/trials.db"
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    killed = opened(url, tmp_path / "run")
    killed._trials._lease._ended.set()  # its heart no longer beats
    killed._lock.close()
    opened(url, tmp_path / "run").close()
    first = opened(url, tmp_path / "run")
    first._trials._lease._ended.set()
    with pytest.raises(CapaxError, match="in use"):
        opened(url, tmp_path / "elsewhere")
    time.sleep(1.1)
    opened(url, tmp_path / "elsewhere").close()


def test_a_driver_whose_connection_is_lost_takes_the_lock_again_before_it_writes(opened, postgresql, tmp_path):
    url = postgresql.url()
    store = opened(url, tmp_path / "run")
    found = tuning(store)
    found.propose(1)
    other = Database(urls.parse(url), keep=False)
    with other.engine.begin() as connection:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'capax %%'"
        connection.exec_driver_sql(end)
    found.propose(1)
    assert len(Store.of_database(url).ledger(STUDY).tuned) == 2
    with other.engine.connect() as connection:
        connection.exec_driver_sql(end)
        connection.commit()
        deadline = time.monotonic() + 10
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({lease._key(RUN)})").scalar():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        connection.commit()
        with pytest.raises(CapaxError, match="in use by another process"):
            found.propose(1)
    store.close()


def test_a_connection_that_the_server_still_holds_for_this_driver_is_ended(opened, postgresql, tmp_path):
    url = postgresql.url()
    store = opened(url, tmp_path / "run")
    found = tuning(store)
    pool = store._trials._database.engine.pool
    lost = pool.connect()  # as after a network failure: here it is gone, there it is not
    lost.detach()
    threading.Thread(target=found.propose, args=(1,)).start()
    deadline = time.monotonic() + 20
    while len(Store.of_database(url).ledger(STUDY).tuned) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lost.close()
    store.close()


BLOB = "gASVHAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu"
HOSTILE = {
    "an attribute that is a pickle": "UPDATE trial_user_attributes SET value_json = '"
    + BLOB
    + "' WHERE key = 'result'",
    "an attribute that is a list": "UPDATE trial_user_attributes SET value_json = '[1]' WHERE key = 'result'",
    "a proposer that is an object": "UPDATE trial_user_attributes SET value_json = '{}' WHERE key = 'proposed_by'",
    "an attribute without end": "UPDATE trial_user_attributes SET value_json = '"
    + "[" * 100_000
    + "' WHERE key = 'result'",
    "a distribution of a module": """UPDATE trial_params SET distribution_json = '{"name": "os.system", "attributes": {}}'""",
    "a distribution that is text": "UPDATE trial_params SET distribution_json = '\"x\"'",
    "a value without its range": "UPDATE trial_params SET param_value = 1e300 WHERE param_name = 'kind'",
    "a result without its scores": """UPDATE trial_user_attributes SET value_json =
        '{"feasible": true, "steps": 1, "seconds": 1, "seed": 1}' WHERE key = 'result'""",
    "trials that are numbered twice": "UPDATE trials SET number = 0",
}


@pytest.mark.parametrize("how", HOSTILE)
def test_what_capax_did_not_write_is_told_in_one_line(opened, url, tmp_path, how):
    store = opened(url, tmp_path / "run")
    work(tuning(store))
    store.close()
    with Database(urls.parse(url), keep=False).engine.begin() as connection:
        connection.exec_driver_sql(HOSTILE[how].replace("%", "%%"))
    for look in (lambda: Store.of_database(url).ledger(STUDY), lambda: tuning(opened(url, tmp_path / "run"))):
        with pytest.raises(CapaxError) as told:
            look()
        assert "\n" not in str(told.value) and len(str(told.value)) < 500


@pytest.mark.parametrize("value", [BLOB, "[1]", '"x"', "{}", "[" * 100_000, '{"experiment": 1}'])
def test_a_record_that_capax_did_not_write_is_told_in_one_line(opened, url, tmp_path, value):
    opened(url, tmp_path / "run").close()
    with Database(urls.parse(url), keep=False).engine.begin() as connection:
        change = sqlalchemy.text("UPDATE study_user_attributes SET value_json = :value WHERE key = 'capax:record'")
        connection.execute(change, {"value": value})
    from capax.experiments import results

    with pytest.raises(CapaxError) as told:
        results.of_database(url)
    assert "\n" not in str(told.value)
