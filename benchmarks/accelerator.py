"""Populations on an accelerator: throughput by population size, against one trial after the other
in cuDNN, and what limits it.

    python benchmarks/accelerator.py --torch-python PYTHON                 # on a GPU: every size
    # a smoke test of this file
    python benchmarks/accelerator.py --backend cpu --sizes 1,2 --budgets 250 --seconds 0.5

The same program as on a CPU, vectorised over trials, on the capacity task with five samples per
parameter. The peer trains one trial at a time with nn.GRU or nn.LSTM, which is cuDNN on a GPU
(torch_accelerator.py). Sizes and peer take turns in every round; medians are reported. The peak is
that of a large product in single precision on the same device. A trace of the best size says on
which operations the time goes. It has been run on a CPU only so far: no GPU was to be had.
"""

import argparse
import collections
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def peak(size: int) -> float:
    """FLOP/s of a product of two square matrices."""
    import jax
    import jax.numpy as jnp

    a, multiply = jnp.ones((size, size)), jax.jit(jnp.matmul)
    multiply(a, a).block_until_ready()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        multiply(a, a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2.0 * size**3 / min(seconds)


class Population:
    """A vectorised population of one size, ready to be timed."""

    def __init__(self, cell: str, budget: int, size: int, seconds: float):
        from memory import program_of

        from capax.training.population import Population as Trained

        program, data, trial = program_of(cell, budget, "vectorised")
        self.size, self.units = size, trial.shape.units
        self._lane = Trained(program, data, slots=size)
        trial = type(trial)(**{**vars(trial), "steps": 10**9})
        for _ in range(size):
            self._lane.add(trial)
        began = time.perf_counter()
        self._lane.advance(1)
        self.compile_seconds = time.perf_counter() - began
        self.steps = 1
        self.steps = max(1, round(self.rate() / size * seconds))

    def rate(self) -> float:
        """Trial-steps per second."""
        began = time.perf_counter()
        self._lane.advance(self.steps)
        return self.size * self.steps / (time.perf_counter() - began)


def sequential(python: str, cell: str, budget: int, units: int, seconds: float) -> float:
    """Trial-steps per second of the peer."""
    command = [python, str(HERE / "torch_accelerator.py"), cell, str(units), str(5 * budget), str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def where_the_time_goes(population: Population) -> dict[str, float]:
    """Shares of the traced time by operation, the ten largest."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            population.rate()
        totals: collections.Counter[str] = collections.Counter()
        for path in Path(folder).rglob("*.trace.json.gz"):
            events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
            for event in events:
                if event.get("ph") == "X" and "hlo_op" in event.get("args", {}):
                    totals[event["args"]["hlo_op"].rstrip("0123456789").rstrip(".")] += event["dur"]
    everything = sum(totals.values())
    return {name: duration / everything for name, duration in totals.most_common(10)}


def measure(
    cell: str, budget: int, sizes: list[int], rounds: int, seconds: float, torch_python: str | None, flops: float
) -> Any:
    """All sizes and the peer, in turns."""
    from workloads import Workload

    populations = [Population(cell, budget, size, seconds) for size in sizes]
    units = populations[0].units
    rates: dict[str, list[float]] = collections.defaultdict(list)
    for _ in range(rounds):
        for population in populations:
            rates[str(population.size)].append(population.rate())
        if torch_python:
            rates["sequential"].append(sequential(torch_python, cell, budget, units, seconds))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(populations, key=lambda population: medians[str(population.size)])
    work = Workload("", "held", (), 5, 20, 1, 5 * budget, first=4).flops(cell, units)
    found: dict[str, Any] = {
        "cell": cell,
        "budget": budget,
        "units": units,
        "trial_steps_per_second": medians,
        "best_size": best.size,
        "share_of_peak": medians[str(best.size)] * work / flops,
        "compile_seconds": {str(population.size): population.compile_seconds for population in populations},
        "time": where_the_time_goes(best),
    }
    if torch_python:
        ratios = np.array(rates[str(best.size)]) / np.array(rates["sequential"])
        low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        found["ratio_to_sequential"] = {"median": median, "low": low, "high": high}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", help="cuda, cpu, ...: default, what JAX finds")
    parser.add_argument("--cells", default="gru,lstm")
    parser.add_argument("--budgets", default="1000,10000")
    parser.add_argument("--sizes", default="1,16,64,256,1024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one timing")
    parser.add_argument("--torch-python", help="a Python with PyTorch; without it no peer")
    arguments = parser.parse_args()
    if arguments.backend:
        os.environ["JAX_PLATFORMS"] = arguments.backend
    from capax.training import backend

    backend.configure()
    import jax

    flops = peak(1024 if jax.default_backend() == "cpu" else 8192)
    rows = []
    for budget in map(int, arguments.budgets.split(",")):
        for cell in arguments.cells.split(","):
            sizes = [int(size) for size in arguments.sizes.split(",")]
            row = measure(cell, budget, sizes, arguments.rounds, arguments.seconds, arguments.torch_python, flops)
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    device = jax.devices()[0]
    print(json.dumps({"device": device.device_kind, "peak_flops_per_second": flops, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
