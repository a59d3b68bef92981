"""Every probe on every kind of cell, and on an unstable network: seconds, and whether what it says
is finite.

    python benchmarks/probes.py [CELL ...]

By default GRU, LSTM, UGRNN, LRU, a user's cell (the README's), and a linear recurrence whose matrix
is 3 times an orthogonal one, so that states overflow: there infinity is the answer. Probes that
need a loss have the task `teacher`; the others are driven by it, too.
"""

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import capax

CELLS = ("gru", "lstm", "ugrnn", "lru", "tests.cells.examples:Declared", "linear")
UNSTABLE = "linear"
TASK = {"time_steps": 100, "hidden": 3, "batch_size": 16, "held_out": 16}
OPTIONS = {"adam": {"steps": 20}, "landscape": {"points": 5}}


def main() -> None:
    """Print a row a cell and probe."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", default=CELLS)
    for cell in parser.parse_args().cells:
        own = {"map_scale": 3.0} if cell == UNSTABLE else {}
        for name in capax.probes.PROBES:
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                found = capax.probe(
                    name, cell, folder, task="teacher", task_options=TASK, units=6, batch=8, hyperparameters=own,
                    **OPTIONS.get(name, {}),
                )  # fmt: skip
            values = [value for value in found.summary.values() if isinstance(value, float)]
            said = "infinite" if any(math.isinf(value) for value in values) else "finite"
            print(f"{cell:<32}{name:<18}{time.monotonic() - began:6.1f} s   {said}", flush=True)


if __name__ == "__main__":
    main()
