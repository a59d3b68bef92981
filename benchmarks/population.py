"""Training throughput on the capacity task: capax against PyTorch, interleaved in one run.

    make benchmark                                     # sets up PyTorch in .venv-torch, then runs this file
    .venv/bin/python benchmarks/population.py --cells gru --budgets 1000 --rounds 9 --json

Every competitor trains two trials at the same time, one per core, on the same data, from the same parameters, with
Adam: capax in two lanes of one process, PyTorch in two processes of one thread, denormals flushed. In each round all
competitors run one after the other; a ratio is formed within its round, and its median and quartiles are reported.
"PyTorch nn" is nn.RNN, nn.GRU, nn.LSTM; "PyTorch's best" is, in each round, the fastest of nn and of cells written by hand in
PyTorch (features first, in one batch or in the same chunks as capax), and, with --compile, of the same under torch.compile.

Before timing, the losses after ten steps are compared: the same arithmetic is measured. (nn.GRU applies its reset gate after
the matrix product, so its loss is another; the hand-written GRU is held to ours.)
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
STEPS_IN_CHECK = 10
SECONDS_PER_RUN = 2.0
LEARNING_RATE = 1e-3


def samples_of(budget: int) -> int:
    """b, five samples per parameter: about what the tuner chooses."""
    return 5 * budget


class Worker:
    """A process that trains on command: one JSON line in, one out."""

    def __init__(self, command: list[str]):
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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

    def run(self, **order: Any) -> dict[str, Any]:
        self.tell(**order)
        return self._read()

    def finish(self) -> dict[str, Any]:
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Competitor:
    """A way of training: one or two processes that together run two trials."""

    def __init__(self, name: str, commands: list[list[str]], lanes_per_process: int):
        self.name, self.lanes = name, lanes_per_process * len(commands)
        self.workers = [Worker(command) for command in commands]
        self.steps = 1

    def loss(self) -> float:
        """The loss after a few steps, from the start."""
        losses = [worker.run(restart=True, steps=STEPS_IN_CHECK)["loss"] for worker in self.workers]
        return losses[0]

    def rate(self) -> float:
        """Trial-steps per second of all lanes together."""
        started = time.perf_counter()
        for worker in self.workers:
            worker.tell(restart=False, steps=self.steps)
        for worker in self.workers:
            worker.finish()
        return self.lanes * self.steps / (time.perf_counter() - started)

    def calibrate(self) -> None:
        """Choose the steps of one run so that it takes a few seconds."""
        self.rate()
        self.steps = max(1, round(self.rate() / self.lanes * SECONDS_PER_RUN))

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


def competitors(cell: str, budget: int, torch_python: str, compiled: bool, folder: Path) -> list[Competitor]:
    """All competitors for a cell and a budget, ready to run."""
    start = folder / f"{cell}-{budget}.npz"
    own = [sys.executable, str(HERE / "population.py"), "--worker", cell, str(budget), str(start)]
    found = [Competitor("capax", [own], 2)]
    variants = ["nn", "hand", "hand-chunked"] + (["hand-compiled"] if compiled else [])
    for variant in variants:
        command = [torch_python, str(HERE / "torch_worker.py"), cell, variant, str(start)]
        found.append(Competitor(f"torch {variant}", [command, command], 1))
    return found


def compare(cell: str, budget: int, rounds: int, torch_python: str, compiled: bool) -> dict[str, Any]:
    """Interleaved rounds for one cell and budget."""
    with tempfile.TemporaryDirectory() as folder:
        field = competitors(cell, budget, torch_python, compiled, Path(folder))
        losses = {one.name: one.loss() for one in field}
        for one in field:
            one.calibrate()
        rates: dict[str, list[float]] = {one.name: [] for one in field}
        for _ in range(rounds):
            for one in field:
                rates[one.name].append(one.rate())
        ready = field[0].workers[0].ready
        for one in field:
            one.close()
    check(cell, losses)
    own = np.array(rates["capax"])
    best = np.max([values for name, values in rates.items() if name != "capax"], axis=0)
    return {
        "cell": cell,
        "budget": budget,
        **ready,
        "rounds": rounds,
        "steps_per_second": {name: statistics.median(values) for name, values in rates.items()},
        "losses": losses,
        "ratio_to_nn": quartiles(own / np.array(rates["torch nn"])),
        "ratio_to_best": quartiles(own / best),
    }


def check(cell: str, losses: dict[str, float]) -> None:
    """The competitors compute the same thing, or the comparison is worthless."""
    for name, loss in losses.items():
        comparable = not (name == "torch nn" and cell == "gru")
        if comparable and abs(loss - losses["capax"]) > 1e-4:
            raise SystemExit(
                f"{cell}: after {STEPS_IN_CHECK} steps capax has a loss of {losses['capax']}, {name} of {loss}"
            )


def quartiles(ratios: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {"median": float(median), "low": float(low), "high": float(high)}


def work(cell: str, budget: int, start: Path) -> None:
    """The capax process: writes the starting point for the others, then trains two trials in two lanes on command."""
    from capax.training import backend

    backend.configure()
    from capax import networks, tasks
    from capax.training.population import Population
    from capax.training.program import Program
    from capax.training.trial import NetworkShape, Trial

    task = tasks.get("capacity")
    size = networks.size(cell, budget=budget, inputs=task.inputs, outputs=1)
    shape = NetworkShape(cell, 1, size.units, size.parameters)
    hyperparameters = {
        "nonlinearity": "tanh",
        "samples_per_parameter": samples_of(budget) / size.parameters,
        "learning_rate": LEARNING_RATE,
        "learning_rate_decay": 1.0,
        "gradient_clip": 1e9,
        "l2_decay": 0.0,
    }
    trial = Trial("benchmark", task, shape, hyperparameters, 10**9, 0)
    program = Program.get(*trial.program_key, "mapped")
    _write_start(program, trial, start)
    lanes = [Population(program) for _ in range(2)]
    for lane in lanes:
        lane.add(trial)
    lanes[0].advance(1)
    print(json.dumps({"units": size.units, "parameters": size.parameters, "samples": samples_of(budget)}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["restart"]:
            lanes = [Population(program) for _ in range(2)]
            for lane in lanes:
                lane.add(trial)
        threads = [threading.Thread(target=lane.advance, args=(order["steps"],)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        loss = None
        if order["restart"]:
            slot = lanes[0]._slots[0]
            assert slot is not None
            loss = program.scores(slot.state, slot.settings)[0]["loss"]
        print(json.dumps({"loss": loss}), flush=True)


def _write_start(program: Any, trial: Any, start: Path) -> None:
    """Data and initial parameters, blocks stacked in capax's order."""
    state, settings = program.start(trial)
    network = program.network(state.parameters, settings.constants)
    (layer,) = network.layers
    samples = int(settings.scalars["samples"])
    columns, labels = program.data
    maps = [value for value in vars(layer).values() if hasattr(value, "recurrent")]
    np.savez(
        start,
        x=columns[:, :samples],
        y=labels[:samples],
        steps=trial.task.time_steps,
        learning_rate=LEARNING_RATE,
        forget_bias=getattr(layer, "forget_bias", 0.0),
        initial=np.stack(layer.initial if isinstance(layer.initial, tuple) else (layer.initial,)),
        recurrent=np.concatenate([part.recurrent for part in maps]),
        input=np.concatenate([part.input for part in maps]),
        bias=np.concatenate([part.bias for part in maps]),
        readout=network.readout.weight,
        readout_bias=network.readout.bias,
    )


def show(results: list[dict[str, Any]]) -> str:
    lines = [
        "| cell, parameters, samples | capax | PyTorch nn | PyTorch's best | capax / nn | capax / best |",
        "|---|---|---|---|---|---|",
    ]
    for row in results:
        rates = row["steps_per_second"]
        best = max((rate, name) for name, rate in rates.items() if name != "capax")
        ratios = [
            f"{r['median']:.1f} ({r['low']:.1f} to {r['high']:.1f})" for r in (row["ratio_to_nn"], row["ratio_to_best"])
        ]
        lines.append(
            f"| {row['cell']}, {row['parameters']}, {row['samples']} | {rates['capax']:.1f} | {rates['torch nn']:.1f} "
            f"| {best[0]:.1f} ({best[1].removeprefix('torch ')}) | {ratios[0]} | {ratios[1]} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="rnn,gru,lstm")
    parser.add_argument("--budgets", default="1000,10000")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-python", default=str(HERE.parent / ".venv-torch" / "bin" / "python"))
    parser.add_argument(
        "--compile", action="store_true", help="with torch.compile, which takes minutes and a C++ compiler"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker[0], int(arguments.worker[1]), Path(arguments.worker[2]))
        return
    if not Path(arguments.torch_python).exists():
        raise SystemExit(
            f"{arguments.torch_python} is not there: run `make benchmark`, or name a Python with PyTorch by --torch-python."
        )
    results = []
    for budget in map(int, arguments.budgets.split(",")):
        for cell in arguments.cells.split(","):
            results.append(compare(cell, budget, arguments.rounds, arguments.torch_python, arguments.compile))
            print(show(results[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1) if arguments.json else show(results))


if __name__ == "__main__":
    main()
