"""A full disk, a damaged journal, a clock that jumps: no finished trial is lost, none is counted
twice, the experiment ends, and its results are those of an undisturbed run to the bit.
"""

import datetime
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from capax.engines.local import LocalEngine
from capax.experiments import results, room
from capax.experiments.design import Experiment
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.files import DiskFull, cannot_write
from capax.search import journal
from capax.training.resident import Resident

TABLE = {
    "name": "faults",
    "tasks": ["memory"],
    "cells": ["rnn"],
    "budgets": [300],
    "trials": 8,
    "batch": 2,
    "steps": [5, 20],
    "reruns": 2,
    "sampler": "random",
    "seed": 5,
    "task": {"memory": {"batch_size": 4, "held_out": 8, "numbers": 3}},
}
DAY = 86_400
PLAN = None
RESIDENT = Resident("mapped")  # its programs are compiled once for all runs here


class Notes:
    """A display that keeps the lines it is told."""

    def __init__(self):
        self.lines = []

    def update(self, progress):
        pass

    def note(self, text):
        self.lines.append(text)


def run(directory, display=None):
    global PLAN
    PLAN = PLAN or plan(Experiment.model_validate(TABLE, strict=False))
    execute(PLAN, directory, lambda: LocalEngine(2, resident=RESIDENT), display)
    return trials(directory)


def trials(directory):
    frame = results.trials(*results.read(directory))
    return frame.drop(columns="seconds").sort_values(["study", "rerun", "number"]).reset_index(drop=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    frame = run(directory)
    assert len(frame) == TABLE["trials"] + TABLE["reruns"]
    return directory, frame


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MiB."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a small disk (tmpfs) is mounted by root on Linux alone")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk):
    """Fill a disk to its last byte."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


class Fills(Notes):
    """Fills the disk once `after` trials are done, and makes room a moment after the run waits."""

    def __init__(self, disk, after):
        super().__init__()
        self.disk, self.after, self.kept = disk, after, None

    def update(self, progress):
        if self.kept is None and sum(study.done for study in progress.studies.values()) >= self.after:
            fill(self.disk)
            self.kept = finished(self.disk / "run")

    def note(self, text):
        super().note(text)
        if "no room left" in text:
            self.left = finished(self.disk / "run")
            threading.Timer(0.3, (self.disk / "filler").unlink).start()


def finished(directory):
    frame = trials(directory)
    return frame[frame["state"].isin(["complete", "infeasible"])].reset_index(drop=True)


@pytest.mark.parametrize("after", [1, 4])
def test_a_disk_that_fills_up_lets_the_run_wait_and_go_on(small_disk, undisturbed, monkeypatch, after):
    monkeypatch.setattr(room, "PAUSE", 0.05)
    monkeypatch.setattr("capax.experiments.progress.KEEP_SECONDS", 0.0)
    shown = Fills(small_disk, after)
    found = run(small_disk / "run", shown)
    pd.testing.assert_frame_equal(found, undisturbed[1])
    waited = [line for line in shown.lines if "no room left: the run waits" in line]
    assert len(waited) == 1 and "\n" not in waited[0] and "once there are 1 MB" in waited[0]
    assert sum("has room again: the run goes on" in line for line in shown.lines) == 1
    pd.testing.assert_frame_equal(shown.left, shown.kept)  # all that was finished when the disk was full
    assert sum(f"resuming: {len(shown.kept)} finished trials are kept" in line for line in shown.lines) == 1
    assert not list((small_disk / "run").rglob(".*.parquet.*")) and not (small_disk / "run" / room.PROBE).exists()


COMMAND = "from capax.cli.main import main; main()"


def test_a_run_that_waits_for_room_is_ended_by_a_signal_and_gone_on_with(small_disk, tmp_path):
    long = {**TABLE, "trials": 2, "batch": 1, "reruns": 0, "steps": [4000, 4000]}
    (tmp_path / "long.toml").write_text(toml(long))
    command = [sys.executable, "-c", COMMAND, "run", str(tmp_path / "long.toml"), "--out"]
    checkpoints, lines = small_disk / "run" / "checkpoints", []
    with subprocess.Popen(
        [*command, str(small_disk / "run")], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        wait_for(lambda: list(checkpoints.rglob("0*.safetensors")) or process.poll() is not None)
        fill(small_disk)
        for line in process.stdout:
            lines.append(line)
            if "no room left" in line:
                process.send_signal(signal.SIGTERM)  # SIGINT is ignored where the tests run in the background
    assert process.returncode == 128 + signal.SIGTERM, lines
    assert sum("no room left" in line for line in lines) == 1 and not any("Traceback" in line for line in lines)
    (small_disk / "filler").unlink()
    for place in (small_disk / "run", tmp_path / "whole"):
        subprocess.run([*command, str(place), "--json"], check=True, capture_output=True)
    pd.testing.assert_frame_equal(trials(small_disk / "run"), trials(tmp_path / "whole"))


def toml(table):
    task = table["task"]["memory"]
    words = [f"{key} = {json.dumps(value)}" for key, value in table.items() if key != "task"]
    return "\n".join([*words, "[task.memory]", *(f"{key} = {value}" for key, value in task.items())])


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the run did not get there"
        time.sleep(0.02)


def test_a_disk_that_is_full_from_the_start_is_one_line(small_disk):
    (small_disk / "run").mkdir()
    fill(small_disk)
    command = [sys.executable, "-c", COMMAND, "run", "quickstart", "--out", str(small_disk / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written: No space left on device" in done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_on_the_disk_and_in_a_quota_are_told_from_other_failures(tmp_path, number):
    full = cannot_write(tmp_path / "file", OSError(number, os.strerror(number)), 7)
    assert isinstance(full, DiskFull) and full.needed == 7
    assert not isinstance(cannot_write(tmp_path / "file", OSError(errno.EACCES, "denied")), DiskFull)


def test_waiting_ends_in_one_line_where_the_directory_is_gone(tmp_path):
    with pytest.raises(Exception, match="cannot be written: No such file or directory") as caught:
        room.wait(tmp_path / "gone", DiskFull("full"), lambda _: None)
    assert not isinstance(caught.value, DiskFull)


def copied(directory, place, content):
    """A run directory with another journal."""
    shutil.copytree(directory, place)
    (place / "optuna.journal").write_bytes(content)
    return place


def test_a_journal_cut_at_every_byte_of_its_last_records_gives_the_same_trials(undisturbed, tmp_path):
    """What a cut leaves is mended to one of a few journals; a run goes on from every other one."""
    directory, frame = undisturbed
    whole = (directory / "optuna.journal").read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    first = ends[-6]
    place, mended = tmp_path / "optuna.journal", {}
    for cut in range(first, len(whole) + 1):
        place.write_bytes(whole[:cut])
        assert journal.mend(place) is None  # a line without an end is what a killed process leaves
        content = place.read_bytes()
        assert content == whole[: max(end for end in ends if end <= cut)]
        mended[content] = cut
    assert len(mended) == 6
    for number, (content, cut) in enumerate([*mended.items()][::2]):
        torn = copied(directory, tmp_path / str(number), whole[: max(len(content), cut - 1)])
        pd.testing.assert_frame_equal(run(torn), frame)


GARBAGE = random.Random(0).randbytes(300)


@pytest.mark.grid(keep=8)
@pytest.mark.parametrize("where", [0.05, 0.4, 0.5, 0.95])
@pytest.mark.parametrize("harm", ["inserted", "overwritten", "zeros", "pickled"])
def test_garbage_in_the_middle_of_a_journal_costs_what_it_hit(undisturbed, tmp_path, where, harm):
    directory, frame = undisturbed
    whole = (directory / "optuna.journal").read_bytes()
    place = int(where * len(whole))
    garbage = {"zeros": bytes(300), "pickled": b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."}.get(harm, GARBAGE)
    behind = place if harm == "inserted" else place + len(garbage)
    shown = Notes()
    torn = copied(directory, tmp_path / "run", whole[:place] + garbage + whole[behind:])
    damaged = (torn / "optuna.journal").read_bytes()
    pd.testing.assert_frame_equal(run(torn, shown), frame)
    (said,) = [line for line in shown.lines if "optuna.journal, line" in line]
    line = 1 + whole[:place].count(b"\n")
    assert "\n" not in said and (f"line {line}: " in said or f"line {line + 1}: " in said)
    assert "not kept, and trials that need them are trained again; the damaged file is kept" in said
    assert (torn / "optuna.journal.damaged-1").read_bytes() == damaged
    again = Notes()
    pd.testing.assert_frame_equal(run(torn, again), frame)
    assert not any("line" in line for line in again.lines)


class Jumps:
    """A clock that is a day ahead and a day behind by turns."""

    def __init__(self, now):
        self.now, self.calls = now, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.now(*arguments) + (DAY if self.calls % 2 else -DAY)


class JumpingDate(datetime.datetime):
    """`datetime.datetime.now` by that clock; Optuna dates its trials by it."""

    calls = 0

    @classmethod
    def now(cls, tz=None):
        cls.calls += 1
        return super().now(tz) + datetime.timedelta(days=1 if cls.calls % 2 else -1)


class InterruptAfter(Notes):
    """Presses Ctrl-C once so many trials are done."""

    def __init__(self, trials):
        super().__init__()
        self.trials = trials

    def update(self, progress):
        if sum(study.done for study in progress.studies.values()) >= self.trials:
            raise KeyboardInterrupt


def test_a_clock_that_jumps_by_a_day_changes_nothing(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", Jumps(time.time))
    monkeypatch.setattr(datetime, "datetime", JumpingDate)
    monkeypatch.setattr("optuna.storages.journal._storage.datetime", JumpingDate)
    directory = tmp_path / "run"
    for number, done in enumerate((1, 3, 6)):
        with pytest.raises(KeyboardInterrupt):
            run(directory, InterruptAfter(done))
        then = 1_000_000_000 + DAY * (-1) ** number  # files from the future and the past, as seen by the next process
        for path in directory.rglob("*"):
            os.utime(path, (then if number % 2 else then + 10 * 365 * DAY,) * 2)
    pd.testing.assert_frame_equal(run(directory), undisturbed[1])
    assert JumpingDate.calls > 10  # it was this clock that was asked
