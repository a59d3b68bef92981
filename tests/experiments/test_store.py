"""Runs whose trials are in a database: the same results, through restarts, and no password kept."""

import json
import os
import subprocess
import sys
import threading

import pandas as pd
import pytest

from capax.cli import status
from capax.engines.local import LocalEngine
from capax.errors import CapaxError
from capax.experiments import results
from capax.experiments.design import Experiment
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.search import database as databases
from capax.search import url as urls
from tests.postgresql import PASSWORD, QUOTED

TABLE = {
    "name": "small",
    "tasks": ["text"],
    "cells": ["rnn"],
    "budgets": [400],
    "trials": 6,
    "batch": 2,
    "steps": [5, 60],
    "reruns": 2,
    "seed": 3,
}
MAIN = "import sys; from capax.cli.main import main; sys.argv = ['capax', *sys.argv[1:]]; main()"


class Shown:
    """A display that keeps notes, and does something once so many trials are done."""

    def __init__(self, after=None, do=None):
        self.notes, self._after, self._do = [], after, do

    def update(self, progress):
        done = sum(study.done for study in progress.studies.values())
        if self._after is not None and done >= self._after:
            self._after = None
            self._do()

    def note(self, text):
        self.notes.append(text)


def run(directory, url=None, shown=None, **more):
    execute(plan(Experiment.model_validate({**TABLE, **more}, strict=False)), directory, LocalEngine, shown, url)
    return results.trials(*results.read(directory, url)).drop(columns="seconds")


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "journal")


def at(tmp_path):
    return f"sqlite:///{tmp_path}/trials.db"


def test_a_run_in_a_database_has_the_trials_of_one_in_a_journal(expected, tmp_path):
    pd.testing.assert_frame_equal(run(tmp_path / "run", at(tmp_path)), expected)
    assert not (tmp_path / "run" / "optuna.journal").exists()
    other = run(tmp_path / "other", at(tmp_path), seed=4)
    assert not other.equals(expected)
    pd.testing.assert_frame_equal(run(tmp_path / "run"), expected)  # goes on; has nothing to do; no --store


def test_it_is_killed_and_goes_on_without_the_url(expected, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", at(tmp_path), Shown(2, interrupt))
    again = Shown()
    pd.testing.assert_frame_equal(run(tmp_path / "run", None, again), expected)
    assert any("finished trials are kept" in note for note in again.notes)


def test_another_database_is_refused_in_one_line(tmp_path):
    run(tmp_path / "run", at(tmp_path), trials=1, reruns=0)
    with pytest.raises(CapaxError, match=r"has its trials in sqlite:.*trials\.db, not in .*other\.db; leave out"):
        run(tmp_path / "run", f"sqlite:///{tmp_path}/other.db", trials=1, reruns=0)
    run(tmp_path / "journal", trials=1, reruns=0)
    with pytest.raises(CapaxError, match=r"has its trials in optuna\.journal"):
        run(tmp_path / "journal", at(tmp_path), trials=1, reruns=0)


def test_the_runs_of_a_database_are_listed_and_one_is_shown(tmp_path, capsys):
    url = at(tmp_path)
    run(tmp_path / "run", url, trials=2, reruns=0)
    run(tmp_path / "other", url, trials=1, reruns=0, name="other")
    assert status.once(url, as_json=True)
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [(each["name"], each["ended"], each["holder"]) for each in found] == [("small", 2, None), ("other", 1, None)]
    assert found[0]["directory"].endswith(f":{(tmp_path / 'run').resolve()}")
    status.once(url, as_json=False)
    assert found[1]["id"] in capsys.readouterr().out
    for place, name in ((url, "other"), (f"{url}#other", None), (url, found[1]["id"])):
        assert status.once(place, as_json=True, run=name)
        assert json.loads(capsys.readouterr().out)["studies"][0]["trials"] == 1
    status.once(url, as_json=False, run="small")
    assert "everything is done" in capsys.readouterr().out
    with pytest.raises(CapaxError, match="holds no run 'nonsense'"):
        status.once(url, as_json=False, run="nonsense")
    run(tmp_path / "twin", url, trials=1, reruns=0)
    with pytest.raises(CapaxError, match="holds 2 such runs; name one with --run"):
        status.once(url, as_json=False, run="small")


def test_a_file_without_runs_and_a_database_without_tables_are_told(tmp_path):
    with pytest.raises(CapaxError, match="holds no runs of capax"):
        status.once(at(tmp_path), as_json=False)


def test_the_live_view_reads_a_database(tmp_path):
    pytest.importorskip("starlette")
    from capax.serving.view import View

    url = at(tmp_path)
    run(tmp_path / "run", url, trials=2, reruns=0)
    for place in (url, tmp_path / "run"):
        view = View(place)
        found = view.run()
        assert (found["trials"], found["state"]) == (2, "finished")
        study = view.study(found["studies"][0]["study"])
        assert len(study["trials"]) == 2 and view.run()["version"] == found["version"]
        assert (study["trials"][0]["curve"] is None) == (place == url) == ("alone" in (found["fault"] or ""))
    view, before = View(url), View(url).run()["version"]
    assert view.run()["reruns"] == 0
    run(tmp_path / "run", None, trials=2, reruns=1)
    view._next = 0.0
    assert view.run()["reruns"] == 1 and view.run()["version"] != before


@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_a_restart_in_the_middle_loses_and_doubles_nothing(expected, postgresql, tmp_path, how):
    url = postgresql.url()
    shown = Shown(2, lambda: postgresql.control("restart", "-m", how))
    pd.testing.assert_frame_equal(run(tmp_path / "run", url, shown), expected)
    said = [note.split(" ")[2] for note in shown.notes if " is away (" in note or " is back " in note]
    assert said == ["away", "back"]


def test_a_database_that_is_away_for_a_while_is_waited_for(expected, postgresql, tmp_path):
    url = postgresql.url()

    def stop():
        postgresql.control("stop", "-m", "immediate")
        threading.Timer(2.0, postgresql.control, ("start",)).start()

    shown = Shown(2, stop)
    pd.testing.assert_frame_equal(run(tmp_path / "run", url, shown), expected)
    assert sum(" is back after " in note for note in shown.notes) == 1


def test_one_that_stays_away_ends_the_run_and_the_same_command_resumes(expected, postgresql, tmp_path, monkeypatch):
    url = postgresql.url()
    monkeypatch.setattr(databases, "AWAY_SECONDS", 1.0)
    try:
        with pytest.raises(CapaxError, match="the same command goes on from there"):
            run(tmp_path / "run", url, Shown(2, lambda: postgresql.control("stop", "-m", "immediate")))
    finally:
        postgresql.control("start")
    pd.testing.assert_frame_equal(run(tmp_path / "run", url), expected)


def test_no_file_and_no_message_has_the_password(postgresql, tmp_path, monkeypatch, capsys):
    url, shown = postgresql.url(), Shown(1, lambda: postgresql.control("restart", "-m", "immediate"))
    environment = {key: value for key, value in os.environ.items() if key != "PGPASSWORD"}
    settings = ["--set", "text.budgets=400", "--set", "trials=2", "--set", "reruns=0", "--set", "steps=5,9"]
    command = ["run", "quickstart", "--set", "tasks=text", "--set", "cells=rnn", *settings, "--out", "run"]

    def capax(*words, **more):
        code = [sys.executable, "-c", MAIN, *words]
        return subprocess.run(code, cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True)

    begun = capax(*command, "--store", url)
    assert begun.returncode == 0, begun.stderr
    run(tmp_path / "other", url, shown, trials=2, reruns=0)
    status.once(url, as_json=False)
    without = capax(*command)
    told = [begun.stdout, begun.stderr, without.stderr, *shown.notes, capsys.readouterr().out]
    assert without.returncode == 2 and "no password" in without.stderr and without.stderr.count("\n") == 1
    wrong = url.replace(QUOTED, QUOTED + "x")
    for words in (("status", wrong), (*command, "--store", wrong)):
        refused = capax(*words)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr, refused.stderr
        told += [refused.stdout, refused.stderr]
    for words in (command, ["status", "run"], ["status", urls.shown(urls.parse(url))]):
        again = capax(*words, PGPASSWORD=PASSWORD)
        assert again.returncode == 0, again.stderr
        told += [again.stdout, again.stderr]
    for secret in (PASSWORD, QUOTED):
        assert not [text for text in told if secret in text]
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
