"""What a finished study costs: processor seconds and wall seconds of `capax run` on a small study,
compiling and tuning included.

.venv/bin/python benchmarks/study.py [--experiment quickstart] [--set key=value ...] [--repeats 3]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time

CAPAX = "from capax.cli.main import main; main()"
SMALL = ["cells=gru", "budgets=250", "trials=16", "steps=500,2000"]


def cost(experiment: str, settings: list[str]) -> dict[str, float]:
    """One run, in a process and a directory of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sets = [part for setting in settings for part in ("--set", setting)]
        command = [sys.executable, "-c", CAPAX, "run", experiment, "--out", f"{folder}/run", *sets, "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    studies = len(json.loads(done.stdout)["studies"])
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {
        "core_seconds_per_study": processor / studies,
        "wall_seconds_per_study": (time.perf_counter() - began) / studies,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="quickstart")
    parser.add_argument("--set", action="append", dest="settings", help=f"default: {' '.join(SMALL)}")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    settings = arguments.settings or SMALL
    runs = [cost(arguments.experiment, settings) for _ in range(arguments.repeats)]
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(json.dumps({"experiment": arguments.experiment, "settings": settings, **medians}, indent=1))


if __name__ == "__main__":
    main()
