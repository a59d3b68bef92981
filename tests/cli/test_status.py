"""`capax status`: how a run stands, while it runs and when nobody runs it any more."""

import json
import os
import subprocess
import sys

import pytest

from capax.cli import status
from capax.report import build
from tests.report import runs
from tests.report.runs import ONE_STUDY, add, scored, write_run

MAIN = "import sys; from capax.cli.main import main; sys.argv = ['capax', *sys.argv[1:]]; main()"


def half_done(store, study):
    """One trial has ended; one is open."""
    add(store, study, scored(3.0))
    add(store, study, None, running=True)


@pytest.fixture
def directory(tmp_path):
    write_run(tmp_path / "run", half_done, **ONE_STUDY)
    return tmp_path / "run"


@pytest.fixture
def running(directory):
    with runs.running(directory, 1):
        yield directory


def answer(capsys):
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def test_what_is_running_how_fast_and_for_how_long_yet(running, capsys):
    assert not status.once(running, as_json=True)
    found = answer(capsys)
    assert found["running"] and found["holder"].startswith(f"process {os.getpid()} on host ") and not found["done"]
    assert found["training"] == {"text-rnn-depth1-2000/1": 42} and (found["paused"], found["waiting"]) == (0, 0)
    assert (found["steps_per_second"], found["seconds_left"]) == (1234.5, 61.0)
    status.once(running, as_json=False)
    shown = capsys.readouterr().out
    assert "1 of 3 trials" in shown and "1 in training, 2 workers, 1,234 trial-steps/s, about 1 min 01 s left" in shown
    assert "text-rnn-depth1-2000/1 at step 42" in shown


def test_what_a_process_left_behind_is_not_taken_for_a_run(running, capsys):
    os.replace(running / ".lock", running / "lock-of-a-dead-process")
    assert status.once(running, as_json=True)
    found = answer(capsys)
    assert not found["running"] and found["training"] == {} and found["waiting"] == 1 and found["seconds_left"] is None


def test_watching_an_abandoned_run_ends_with_one_object_or_one_line(directory, capsys):
    status.watch(directory, as_json=True)
    assert not answer(capsys)["running"]
    status.watch(directory, as_json=False)
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith("nobody runs it (1 waiting): the same capax run goes on with it")
    )


def test_watching_a_run_is_one_object_a_line_until_it_ends(running, capsys, monkeypatch):
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            (running / ".lock").unlink()

    monkeypatch.setattr("time.sleep", sleep)
    status.watch(running, as_json=True)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["running"] for one in found] == [True, True, False]


def test_ctrl_c_stops_the_watching_and_says_nothing_of_the_run(running, capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    status.watch(running, as_json=False)
    assert capsys.readouterr().err == "capax: no longer watching; this has no effect on the run.\n"


def test_a_report_says_whether_the_run_is_running(running):
    build(running)
    assert "This run was running when this page was made (process" in (running / "report.html").read_text()
    (running / ".lock").unlink()
    build(running)
    assert "This run is not finished: 1 of 3 trials" in (running / "report.html").read_text()


def test_a_damaged_journal_is_one_line_and_what_is_sound_is_shown(directory, capsys):
    journal = directory / "optuna.journal"
    journal.write_bytes(journal.read_bytes() + b"garbage\n")
    status.once(directory, as_json=True)
    found = answer(capsys)
    assert found["studies"][0]["trials"] == 1
    line = len(journal.read_bytes().splitlines())
    assert f"optuna.journal, line {line}: a record is cut short or garbled" in found["fault"]
    assert "capax run mends it, and keeps a copy" in found["fault"]
    for command in ("status", "report"):
        words = [sys.executable, "-c", MAIN, command, str(directory)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0 and "line" in done.stderr and done.stderr.count("\n") == 1, done.stderr
