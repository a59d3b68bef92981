"""How long a run takes from the command to its first checkpoint, new and resumed.

    taskset -c 0 python benchmarks/first_checkpoint.py [--starts 4]

A study of 1,000-parameter networks is begun, killed a second after its first checkpoint, and gone
on with, so often. Prints the seconds of each start and their median.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = ("cells=rnn,gru", "depths=1", "budgets=1000", "trials=64", "steps=40000,90000", "seed=3")
MAIN = "from capax.cli.main import main; main()"


def written(directory: Path) -> dict[Path, int]:
    """When each checkpoint was written."""
    return {path: path.stat().st_mtime_ns for path in directory.glob("checkpoints/**/*.safetensors")}


def start(directory: Path) -> float:
    """The seconds to the first checkpoint of one start."""
    before, began = written(directory), time.perf_counter()
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-c", MAIN, "run", "capacity", "--out", str(directory), *sets]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while written(directory).items() <= before.items():
        if process.poll() is not None:
            raise SystemExit("the run ended before it wrote a checkpoint")
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    time.sleep(1)
    process.kill()
    process.wait()
    return seconds


def main() -> None:
    """Starts, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [start(Path(folder) / "run") for _ in range(given.starts)]
    print(json.dumps({"seconds": [round(each, 2) for each in found], "median": round(statistics.median(found), 2)}))


if __name__ == "__main__":
    main()
