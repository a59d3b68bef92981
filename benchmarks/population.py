"""Training throughput of capax against PyTorch and JAX peers, interleaved in one run.

    # sets up PyTorch in .venv-torch, then runs this file
    make benchmark
    .venv/bin/python benchmarks/population.py --workloads text --cells gru,lru --rounds 3
    # everything, with torch.compile, which takes minutes more
    .venv/bin/python benchmarks/population.py --json benchmarks.json --compile
    # against another checkout of capax
    .venv/bin/python benchmarks/population.py --without-torch --before ../old

Every competitor trains two trials at the same time, one per core, on the same data, from the same
parameters, with Adam: capax in two lanes of one process, peers in two processes of one thread,
denormals flushed. In each round all competitors run one after the other; a ratio is formed within
its round, and its median and quartiles are reported. "nn" is nn.RNN, nn.GRU, nn.LSTM; "best" is, in
each round, the fastest of all PyTorch variants (torch_peer.py). Matrix products by NumPy, one
thread on each core, take part in each round: "of peak" is the share of their rate that capax
reaches, in the operations that the shapes ask for (workloads.py).

Before timing, the losses after a few steps are compared: the same arithmetic is measured. (nn.GRU
applies its reset gate after the matrix product and "nn-embedding" has a matrix more, so their
losses are others; the hand-written ones are held to ours.)
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from workloads import GATES, USER, WORKLOADS, Workload

HERE = Path(__file__).parent
STEPS_IN_CHECK = 5
SECONDS_PER_RUN = 1.0
TOLERANCE = 2e-4
BEFORE = "before"
"""The name of another checkout of capax among the competitors."""


class Worker:
    """A process that trains on command: one JSON line in, one out."""

    def __init__(self, command: list[str], checkout: Path):
        path = os.pathsep.join([str(checkout / "benchmarks"), str(checkout / "src")])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **pipes)
        self.ready = self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a benchmark process ended: {self._process.args}")
        return json.loads(line)

    def tell(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Competitor:
    """A way of training: one or two processes that together run two trials."""

    def __init__(self, name: str, commands: list[list[str]], lanes_per_process: int, checkout: Path = HERE.parent):
        self.name, self.lanes = name, lanes_per_process * len(commands)
        self.workers = [Worker(command, checkout) for command in commands]
        self.ready = self.workers[0].ready
        self.steps, self.memory = 1, 0.0
        self.rates: list[float] = []

    def loss(self) -> float:
        """The loss after a few steps, from the start."""
        for worker in self.workers:
            worker.tell(restart=True, steps=STEPS_IN_CHECK)
        losses = [worker.finish()["loss"] for worker in self.workers]
        return losses[0]

    def rate(self) -> float:
        """Trial-steps per second of all lanes together."""
        started = time.perf_counter()
        for worker in self.workers:
            worker.tell(restart=False, steps=self.steps)
        self.memory = sum(worker.finish()["memory"] for worker in self.workers)
        return self.lanes * self.steps / (time.perf_counter() - started)

    def calibrate(self) -> None:
        """Choose the steps of one run so that it takes about a second."""
        self.rate()
        self.steps = max(1, round(self.rate() / self.lanes * SECONDS_PER_RUN))

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


def variants(workload: Workload, cell: str, compiled: bool) -> list[str]:
    """The PyTorch variants that there are."""
    if cell == "lru":
        return ["split", "complex", "reverse"]
    found = ["hand"]
    if cell in ("rnn", "gru", "lstm"):
        found.insert(0, "nn")
        if workload.kind == "symbols":
            found.append("nn-embedding")
    if workload.kind == "held" and workload.minibatch is None:
        found.append("chunked")
    return found + (["compiled"] if compiled else [])


def field_of(
    workload: Workload, cell: str, torch_python: str | None, compiled: bool, folder: str, before: Path | None
) -> list[Competitor]:
    """All competitors for a workload and a cell, ready to run."""
    start = str(Path(folder) / "start.npz")
    found = [Competitor("capax", [[sys.executable, str(HERE / "capax_worker.py"), workload.name, cell, start]], 2)]
    if before is not None:
        worker, its_start = str(before / "benchmarks" / "capax_worker.py"), str(Path(folder) / "before.npz")
        found.append(Competitor(BEFORE, [[sys.executable, worker, workload.name, cell, its_start]], 2, before))
    if cell == "lru":
        command = [sys.executable, str(HERE / "associative_worker.py"), workload.name, cell, start]
        found.append(Competitor("associative_scan", [command, command], 1))
    for variant in variants(workload, cell, compiled) if torch_python else []:
        command = [str(torch_python), str(HERE / "torch_peer.py"), workload.name, cell, variant, start]
        found.append(Competitor(f"torch {variant}", [command, command], 1))
    found.append(Competitor("sgemm", [[sys.executable, str(HERE / "sgemm_worker.py")]] * 2, 1))
    return found


def compare(
    workload: Workload, cell: str, rounds: int, torch_python: str | None, compiled: bool, before: Path | None
) -> dict[str, Any]:
    """Interleaved rounds for one workload and cell."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        field = field_of(workload, cell, torch_python, compiled, folder, before)
        for one in field:
            stack.callback(one.close)
        losses = {one.name: one.loss() for one in field if one.name != "sgemm"}
        check(cell, losses)
        for one in field:
            one.calibrate()
        for _ in range(rounds):
            for one in field:
                one.rates.append(one.rate())
        rates = {one.name: np.array(one.rates) for one in field}
        ready = field[0].ready
        peak = rates.pop("sgemm") * field[-1].ready["flops"]
        torch = {name: values for name, values in rates.items() if name.startswith("torch")}
        row = {
            "workload": workload.name,
            "cell": cell,
            "units": ready["units"],
            "parameters": ready["parameters"],
            "steps": workload.steps,
            "batch": workload.batch,
            "rounds": rounds,
            "trial_steps_per_second": {name: statistics.median(values) for name, values in rates.items()},
            "compile_seconds": {one.name: one.ready["compile_seconds"] for one in field if one.name in rates},
            "peak_memory_bytes": {one.name: one.memory for one in field if one.name in rates},
            "losses": losses,
            "sgemm_flops_per_second": statistics.median(peak),
            "share_of_peak": quartiles(rates["capax"] * workload.flops(cell, ready["units"]) / peak),
        }
        for name in ("torch nn", "torch nn-embedding", "associative_scan", BEFORE):
            if name in rates:
                row[f"ratio_to_{name.removeprefix('torch ')}"] = quartiles(rates["capax"] / rates[name])
        if torch:
            row["ratio_to_best"] = quartiles(rates["capax"] / np.max(list(torch.values()), axis=0))
    return row


def check(cell: str, losses: dict[str, float]) -> None:
    """The competitors compute the same thing, or the comparison is worthless."""
    for name, loss in losses.items():
        other_arithmetic = name == "torch nn-embedding" or (name == "torch nn" and cell == "gru")
        if not other_arithmetic and abs(loss - losses["capax"]) > TOLERANCE * max(1.0, abs(loss)):
            raise SystemExit(
                f"{cell}: after {STEPS_IN_CHECK} steps capax has a loss of {losses['capax']}, {name} of {loss}"
            )


def quartiles(ratios: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {"median": float(median), "low": float(low), "high": float(high)}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return {"date": datetime.date.today().isoformat(), "processor": model, "cores": os.cpu_count()}


def _ratio(row: dict[str, Any], name: str, places: int = 1) -> str:
    r = row.get(name)
    return f"{r['median']:.{places}f} ({r['low']:.{places}f} to {r['high']:.{places}f})" if r else ""


COLUMNS = (
    *("workload", "cell, parameters", "capax", "best peer", "/ nn", "/ best PyTorch"),
    *("/ associative_scan", "/ before", "of peak", "compile", "memory"),
)
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def line(row: dict[str, Any]) -> str:
    """A row of the Markdown table."""
    rates = row["trial_steps_per_second"]
    peers = [(rate, name) for name, rate in rates.items() if name.startswith("torch")]
    best = "{:.3g} ({})".format(max(peers)[0], max(peers)[1].removeprefix("torch ")) if peers else ""
    parts = [
        row["workload"],
        f"{row['cell']}, {row['parameters']}",
        f"{rates['capax']:.3g}",
        best,
        _ratio(row, "ratio_to_nn"),
        _ratio(row, "ratio_to_best"),
        _ratio(row, "ratio_to_associative_scan"),
        _ratio(row, "ratio_to_before", 3),
        f"{row['share_of_peak']['median']:.0%}",
        f"{row['compile_seconds']['capax']:.1f} s",
        f"{row['peak_memory_bytes']['capax'] / 2**20:.0f} MiB",
    ]
    return f"| {' | '.join(parts)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--cells", help=f"of {', '.join(GATES)}, lru, and the user's cell {USER}; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-python", default=str(HERE.parent / ".venv-torch" / "bin" / "python"))
    parser.add_argument("--without-torch", action="store_true", help="capax and JAX peers alone")
    parser.add_argument("--compile", action="store_true", help="with torch.compile: minutes more, and a C++ compiler")
    parser.add_argument("--before", type=Path, help="another checkout of capax, to be compared with this one")
    parser.add_argument("--json", type=Path, help="a file for the results, written after every row")
    arguments = parser.parse_args()
    torch_python = None if arguments.without_torch else arguments.torch_python
    if torch_python and not Path(torch_python).exists():
        raise SystemExit(
            f"{torch_python} is not there: run `make benchmark`, or name a Python with PyTorch by --torch-python."
        )
    before = arguments.before.resolve() if arguments.before else None
    chosen = arguments.workloads.split(",")
    if unknown := set(chosen) - set(WORKLOADS):
        raise SystemExit(f"no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}.")
    result: dict[str, Any] = {**machine(), "rows": []}
    print(HEADER, flush=True)
    for workload in (WORKLOADS[name] for name in chosen):
        for cell in workload.cells:
            if arguments.cells and cell not in arguments.cells.split(","):
                continue
            row = compare(workload, cell, arguments.rounds, torch_python, arguments.compile, before)
            result["rows"].append(row)
            print(line(row), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{result['date']}, {result['cores']} cores, {result['processor']}")


if __name__ == "__main__":
    main()
