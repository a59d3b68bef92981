"""A run that is killed five times: benchmarks/kills.py, which does so as often as is wished."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def test_five_kills_cost_no_finished_trial():
    command = [sys.executable, str(SCRIPT), "--kills", "5", "--trials", "4", "--budget", "200"]
    options = ["--steps", "20000", "40000", "--seconds", "3", "6"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] >= 3 and found["finished"] == 8 and found["same as undisturbed"]
