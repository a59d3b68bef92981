"""How long lanes wait for trials: python benchmarks/idle.py [EXPERIMENT] [--set key=value ...]
[--json].

The share of all lanes' time, from the first trial's start to the last one's end, in which a lane
had no trial. A single study is the hard case: its lanes wait for the tuner, and at its end for the
last trial. The experiment runs once before, so that compiling is not counted.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from capax.training import backend

backend.configure()

from capax.engines.local import Finished, LocalEngine  # noqa: E402
from capax.experiments.design import load, parse_setting  # noqa: E402
from capax.experiments.plan import plan  # noqa: E402
from capax.experiments.runner import execute  # noqa: E402

ONE_STUDY = ["cells=gru", "budgets=250", "trials=24", "steps=500,3000"]


class Watched(LocalEngine):
    """A local engine that notes when its lanes wait."""

    def __init__(self, lanes: int | None = None):
        self.waits: list[tuple[float, float]] = []
        self.first, self.last = float("inf"), 0.0
        super().__init__(lanes)

    def _take(self, population: Any) -> Any:
        began = time.perf_counter()
        taken = super()._take(population)
        ended = time.perf_counter()
        self.waits.append((began, ended))
        if taken:
            self.first = min(self.first, ended)
        return taken

    def next_event(self, timeout: float) -> Any:
        event = super().next_event(timeout)
        if isinstance(event, Finished):
            self.last = time.perf_counter()
        return event

    def share(self) -> dict[str, float]:
        """The idle share, and the seconds it is a share of."""
        span = self.last - self.first
        idle = sum(max(0.0, min(end, self.last) - max(begin, self.first)) for begin, end in self.waits)
        return {"idle": idle / (span * len(self._threads)), "seconds": span, "lanes": len(self._threads)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="capacity")
    parser.add_argument("--set", action="append", help=f"key=value; by default {', '.join(ONE_STUDY)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    settings = dict(parse_setting(text) for text in arguments.set or ONE_STUDY)
    shares = []
    for _ in range(arguments.repeats + 1):
        engines: list[Watched] = []

        def make(made: list[Watched] = engines) -> Watched:
            made.append(Watched())
            return made[0]

        with tempfile.TemporaryDirectory() as directory:
            execute(plan(load(arguments.experiment, settings)), Path(directory) / "run", make)
        shares.append(engines[0].share())
    if arguments.json:
        print(json.dumps({"runs": shares[1:]}))
        return
    for share in shares[1:]:
        print(f"{share['idle']:.1%} idle of {share['seconds']:.1f} s on {share['lanes']} lanes")


if __name__ == "__main__":
    main()
