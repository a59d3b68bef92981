"""Trials an hour on a Ray cluster beside the local engine, on one machine with as many workers as
it has cores.

    python benchmarks/engines.py [--experiment quickstart] [--set key=value ...] [--pairs 3]

Each run is a process and a directory of its own, in pairs, the first of a pair taking turns. The
rate counts from the first chunk of training to the end of the last trial; how long both take from
the first second, the start and the end of Ray and its workers included, stands beside it. Prints a
JSON object.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CAPACITY = ["tasks=capacity"]
"""The quickstart's capacity part."""
ENGINES = ("local", "ray")


def one(engine: str, experiment: str, settings: list[str]) -> dict[str, float]:
    """One run in this process."""
    began = time.perf_counter()
    from capax.training import backend

    backend.configure()
    from capax.experiments.design import load, parse_setting
    from capax.experiments.plan import plan
    from capax.experiments.progress import Progress, Silent
    from capax.experiments.runner import execute
    from capax.training.engine import INSTALLED

    class Watch(Silent):
        """When the first chunk was done and when the last trial ended."""

        first, last, trials = 0.0, 0.0, 0

        def update(self, progress: Progress) -> None:
            now, trials = time.perf_counter(), sum(each.done + each.reruns for each in progress.studies.values())
            self.first = self.first or (now if progress.steps else 0.0)
            if trials > self.trials:
                self.last, self.trials = now, trials

    chosen, watch = plan(load(experiment, dict(parse_setting(text) for text in settings))), Watch()
    make = INSTALLED.get(engine)
    with tempfile.TemporaryDirectory() as folder:
        execute(chosen, Path(folder) / "run", lambda: make.begin(chosen.experiment.workers), watch)
    end = time.perf_counter()
    rate = 3600 * watch.trials / (watch.last - watch.first)
    return {
        "trials": watch.trials,
        "trials_per_hour": rate,
        "seconds": end - began,
        "to_first_chunk": watch.first - began,
    }


def measured(engine: str, experiment: str, settings: list[str]) -> dict[str, float]:
    """One run in a process of its own."""
    sets = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, __file__, "--one", engine, "--experiment", experiment, *sets]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Pairs, and their medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="quickstart")
    parser.add_argument("--set", action="append", dest="settings", help=f"default: {' '.join(CAPACITY)}")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    settings = given.settings or CAPACITY
    if given.one:
        print(json.dumps(one(given.one, given.experiment, settings)))
        return
    pairs: list[dict[str, Any]] = []
    for number in range(given.pairs):
        order = ENGINES if number % 2 == 0 else ENGINES[::-1]
        pairs.append({engine: measured(engine, given.experiment, settings) for engine in order})
        print(json.dumps(pairs[-1]), file=sys.stderr, flush=True)
    found: dict[str, Any] = {"experiment": given.experiment, "settings": settings, "pairs": len(pairs)}
    for what in ("trials_per_hour", "seconds", "to_first_chunk"):
        found[what] = {engine: statistics.median(pair[engine][what] for pair in pairs) for engine in ENGINES}
        ratios = [pair["ray"][what] / pair["local"][what] for pair in pairs]
        found[f"ray / local, {what}"] = {"median": statistics.median(ratios), "range": [min(ratios), max(ratios)]}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
