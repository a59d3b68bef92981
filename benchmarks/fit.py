"""Training on a user's own series: capax against a PyTorch loop of the same network.

    # needs .venv-torch: see population.py
    .venv/bin/python benchmarks/fit.py --rounds 5
    .venv/bin/python benchmarks/fit.py --whole    # how long `capax fit` takes with defaults

An hourly series of 10,000 rows, made up, as task forecast has it. capax trains as `capax fit` does:
one trial on one core, windows drawn as it goes. PyTorch trains an nn.LSTM of the same size with the
same readout, from the same parameters, with Adam and clipped gradients, on windows that were
gathered beforehand, which costs it nothing here. Losses after a few steps must agree; then rounds
alternate, and each ratio is formed within its round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROWS, HORIZON, BUDGET = 10_000, 24, 10_000
CHECKED, GATHERED, TIMED = 10, 64, 100
"""Steps before the losses are compared; batches that PyTorch goes round; steps of a round."""
TOLERANCE = 1e-3
LEARNING_RATE, CLIP = 3e-3, 1.0
HYPERPARAMETERS = {
    "optimiser": "adam",
    "learning_rate": LEARNING_RATE,
    "learning_rate_decay": 1.0,
    "gradient_clip": CLIP,
    "l2_decay": 0.0,
    "forget_bias": 0.0,
}


def series(path: Path) -> None:
    """A daily and a weekly season, and what is left of the hour before."""
    random, hours = np.random.default_rng(0), np.arange(ROWS)
    noise = np.zeros(ROWS)
    for hour in range(1, ROWS):
        noise[hour] = 0.9 * noise[hour - 1] + 0.3 * random.normal()
    values = 3 * np.sin(2 * np.pi * hours / 24) + np.sin(2 * np.pi * hours / 168) + noise
    stamps = np.datetime64("2024-01-01T00") + hours
    lines = [f"{str(stamp).replace('T', ' ')}:00,{value:.4f}" for stamp, value in zip(stamps, values, strict=True)]
    path.write_text("\n".join(["time,load", *lines]) + "\n")


class Capax:
    """One trial of capax; also what PyTorch begins with."""

    def __init__(self, folder: Path):
        import jax
        import jax.numpy as jnp

        from capax import interop, tasks
        from capax.networks.sizing import size
        from capax.training.population import Population
        from capax.training.resident import Resident
        from capax.training.trial import NetworkShape, Trial

        series(folder / "load.csv")
        task = tasks.get("forecast", path=str(folder / "load.csv"), horizon=HORIZON)
        sized = size("lstm", budget=BUDGET, inputs=task.inputs, outputs=task.outputs)
        shape = NetworkShape("lstm", 1, sized.units, sized.parameters)
        trial = Trial("fit", task, shape, HYPERPARAMETERS, 10**9, seed=0)
        resident = Resident("mapped")
        program, self._data = resident.program(trial), resident.data(trial)
        state, settings = program.start(trial)
        self._population = Population(program, self._data, 1)
        self._population.add(trial)
        self._population.compile()
        network = program.template.network(state.parameters, settings.constants)
        key = jax.random.wrap_key_data(settings.data_key)
        draw = jax.jit(lambda step: task.batch_at(self._data, "train", _key(key, step), jnp.asarray(0), {}))
        batches = [draw(jnp.asarray(step)) for step in range(GATHERED)]
        arrays = {
            "inputs": np.stack([np.moveaxis(np.asarray(b.inputs.values), 2, 1) for b in batches]),
            "targets": np.stack([np.asarray(b.targets)[0] for b in batches]),
            "weights": np.stack([np.asarray(b.weights) for b in batches]),
        }
        state_dict = {
            f"state/{name}": np.asarray(value) for name, value in interop.torch.to_state_dict(network).items()
        }
        levels = {"levels": np.asarray(task.levels, np.float32), "first": np.asarray(task.first)}
        np.savez(folder / "start.npz", **arrays, **state_dict, **levels)
        self.units, self.parameters, self.length = sized.units, sized.parameters, task.length
        self.fused = program.fused
        self._program, self._trial = program, trial

    def losses(self, steps: int) -> list[float]:
        """The training loss of each of the first steps."""
        import jax.numpy as jnp

        state, settings = self._program.start(self._trial)
        found = []
        for step in range(steps):
            value, weight, _ = self._program._sums(self._data, settings, jnp.asarray(step), state.parameters)
            found.append(float(value / weight))
            state = self._program._step(self._data, settings, state)
        return found

    def seconds(self, steps: int) -> float:
        """Of so many training steps."""
        began = time.perf_counter()
        self._population.advance(steps)
        return time.perf_counter() - began


def _key(key, step):
    """The key of a training step's only batch, as training/program.py folds it."""
    import jax

    return jax.random.fold_in(jax.random.fold_in(key, step), 0)


def torch_worker(start: str, threads: int) -> None:
    """The PyTorch side: orders come in as lines of JSON, answers go out."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    given = {name: torch.from_numpy(array) for name, array in np.load(start).items()}
    state = {name.removeprefix("state/"): value for name, value in given.items() if name.startswith("state/")}
    first, levels = int(given["first"]), given["levels"]
    weights, heads = (
        {name.removeprefix(part): value for name, value in state.items() if name.startswith(part)}
        for part in ("rnn.", "readout.")
    )
    inputs, units = given["inputs"].shape[3], weights["weight_hh_l0"].shape[1]
    module = nn.LSTM(inputs, units)
    module.load_state_dict(weights)
    out = nn.Linear(units, len(levels))
    out.load_state_dict(heads)
    module.bias_hh_l0.requires_grad_(False)  # one bias, as in capax
    initial = [nn.Parameter(torch.zeros(units)) for _ in range(2)]
    trained = [p for p in [*module.parameters(), *out.parameters(), *initial] if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=LEARNING_RATE)

    def step(number: int) -> torch.Tensor:
        x, y, w = (given[name][number % GATHERED] for name in ("inputs", "targets", "weights"))
        states = tuple(part[None, None].expand(1, x.shape[1], -1).contiguous() for part in initial)
        above = y[..., None] - out(module(x, states)[0][first:])
        loss = (w * torch.maximum(levels * above, (levels - 1) * above).mean(-1)).sum() / w.sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, CLIP)
        optimiser.step()
        return loss.detach()

    done = 0
    for line in sys.stdin:
        steps = int(line)
        began, found = time.perf_counter(), []
        for _ in range(steps):
            found.append(step(done))
            done += 1
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "losses": [float(loss) for loss in found]}), flush=True)


class Torch:
    """The PyTorch side in a process of its own."""

    def __init__(self, python: str, start: Path, threads: int):
        command = [python, __file__, "--worker", str(start), "--threads", str(threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, **pipes)

    def train(self, steps: int) -> dict:
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the PyTorch process ended")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def whole() -> None:
    """From the file to model, figures, and report, in a process of its own, with defaults."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "load.csv", Path(folder) / "run"
        series(data)
        command = [sys.executable, "-c", "from capax.cli.main import main; main()", "fit", str(data), "--out", str(out)]
        began = time.perf_counter()
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds = time.perf_counter() - began
        assert (out / "model.safetensors").exists() and (out / "report.html").exists()
    print(f"{said}\n{ROWS:,} rows, defaults: {seconds:.0f} s from the command to model and report")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-python", default=str(HERE.parent / ".venv-torch" / "bin" / "python"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument(
        "--whole", action="store_true", help="time `capax fit` of the series with defaults, by the clock"
    )
    given = parser.parse_args()
    if given.whole:
        whole()
        return
    if given.worker:
        torch_worker(given.worker, given.threads)
        return
    with tempfile.TemporaryDirectory() as folder:
        capax = Capax(Path(folder))
        peers = {
            f"PyTorch, {threads} thread{'s' * (threads > 1)}": Torch(
                given.torch_python, Path(folder) / "start.npz", threads
            )
            for threads in (1, 2)
        }
        ours = capax.losses(CHECKED)
        for name, peer in peers.items():
            theirs = peer.train(CHECKED)["losses"]
            if not np.allclose(ours, theirs, rtol=TOLERANCE):
                raise SystemExit(f"{name}: losses differ: {theirs}, capax {ours}")
        print(
            f"LSTM of {capax.units} units, {capax.parameters:,} parameters, windows of {capax.length} steps, batch 32; kernels: "
            f"{capax.fused}\nlosses of step {CHECKED}: capax {ours[-1]:.5f}, PyTorch {theirs[-1]:.5f}"
        )
        capax.seconds(TIMED)
        seconds: dict[str, list[float]] = {"capax": [], **{name: [] for name in peers}}
        for _ in range(given.rounds):
            seconds["capax"].append(capax.seconds(TIMED) / TIMED)
            for name, peer in peers.items():
                seconds[name].append(peer.train(TIMED)["seconds"] / TIMED)
        for peer in peers.values():
            peer.close()
    print("| | ms a step | times as long as capax, median (least to most) |\n|---|---|---|")
    for name, found in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(found, seconds["capax"], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {1000 * statistics.median(found):.2f} | {spread} |")


if __name__ == "__main__":
    main()
