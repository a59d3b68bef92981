"""SIGTERM and SIGHUP end a command as Ctrl-C does: with its line, and with what was done."""

import signal
import subprocess
import sys
import time

import pytest

LINE = "capax: interrupted; what was done is kept, and the same command goes on from there."
COMMAND = [sys.executable, "-c", "from capax.cli.main import main; main()", "run", "capacity", "--out", "r"]
SETTINGS = [
    "cells=rnn",
    "depths=1",
    "budgets=100",
    "trials=4",
    "steps=200000,400000",
    "capacity.bits=12",
    "stopping=none",
]


def start(folder, **options):
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    process = subprocess.Popen(
        [*COMMAND, *settings], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    deadline = time.monotonic() + 120
    while not list((folder / "r").glob("checkpoints/*/*.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.1)
    return process


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_the_line_and_keeps_checkpoints(tmp_path, number):
    process = start(tmp_path)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (128 + number, LINE)
    assert list((tmp_path / "r").glob("checkpoints/*/*.safetensors"))


@pytest.mark.slow
def test_a_run_that_is_to_outlive_its_terminal_does(tmp_path):
    """`nohup` starts a command with SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    time.sleep(2)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
