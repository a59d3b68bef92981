"""The capax side of population.py: writes the starting point for the others, then trains two trials
in two lanes on command.

    python capax_worker.py WORKLOAD CELL START.npz

Reads {"restart": bool, "steps": int} lines, answers {"loss": float or null, "memory": bytes}.
"""

import dataclasses
import json
import resource
import sys
import threading
import time
from typing import Any, ClassVar

from capax.training import backend

backend.configure()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from workloads import WORKLOADS, Workload  # noqa: E402

from capax import networks, tasks  # noqa: E402
from capax.cells import registry  # noqa: E402
from capax.cells.sequence import Dense, MultiHot, OneHot  # noqa: E402
from capax.networks.sizing import parameters  # noqa: E402
from capax.reporting import Facts, Reporting, Sizes  # noqa: E402
from capax.tasks import shuffling  # noqa: E402
from capax.tasks.batch import SequenceBatch  # noqa: E402
from capax.tasks.task import Task, cross_entropy  # noqa: E402
from capax.training.population import Population  # noqa: E402
from capax.training.program import Program  # noqa: E402
from capax.training.trial import NetworkShape, Trial  # noqa: E402

LEARNING_RATE = 1e-3
ORDERS = 64
"""Training steps whose samples are written down for peers, which take them again and again."""
HYPERPARAMETERS = {
    "learning_rate": LEARNING_RATE,
    "learning_rate_decay": 1.0,
    "gradient_clip": 1e9,
    "l2_decay": 0.0,
}


@dataclasses.dataclass(frozen=True)
class Fixed(Task):
    """One batch of a workload, at every step the same: what is timed is training, not drawing."""

    name: ClassVar[str] = "fixed"
    reporting: ClassVar[Reporting] = Reporting("loss", splits=("train",), reruns=False)
    workload: str = ""

    @property
    def _of(self) -> Workload:
        return WORKLOADS[self.workload]

    @property
    def sizes(self) -> Sizes:
        return Sizes(self._of.inputs, self._of.outputs, self._of.steps, self._of.first)

    @property
    def facts(self) -> Facts:
        return Facts(chance=100.0, chance_loss=100.0)

    def data(self, parameters: int) -> Any:
        return tuple(jnp.asarray(part) for part in self._of.data())

    def batches(self, split: Any, scalars: Any) -> Any:
        return jnp.asarray(1)

    def batch_at(self, data: Any, split: Any, key: Any, index: Any, scalars: Any) -> SequenceBatch:
        x, y = data
        weights = jnp.ones((y.shape[0], y.shape[-1]))
        if self._of.kind == "dense":
            return SequenceBatch(Dense(x), y, weights)
        if self._of.streams == 1:
            return SequenceBatch(OneHot(x[:, 0], self.inputs), y, weights)
        return SequenceBatch(MultiHot(x, self.inputs // self._of.streams), y, weights)

    def sample(self, key: Any, size: int) -> SequenceBatch:
        return self.batch_at(self.data(0), "train", key, 0, {})

    def work(self, hyperparameters: Any, parameters: int) -> float:
        return float(self._of.steps)

    def measure(self, outputs: Any, batch: SequenceBatch) -> dict[str, Any]:
        weight = jnp.sum(batch.weights)
        if self._of.kind == "dense":
            return {"loss": jnp.sum((jnp.moveaxis(outputs, 0, 1) - batch.targets) ** 2), "weight": weight}
        parts = jnp.split(outputs, self._of.targets)
        losses = [cross_entropy(part, batch.targets[:, i], batch.weights) for i, part in enumerate(parts)]
        return {"loss": sum(losses), "weight": weight}

    def scores(self, sums: Any) -> dict[str, float]:
        return {"score": sums["loss"], "loss": sums["loss"] / sums["weight"]}


def trial_of(workload: Workload, cell: str, task: Task) -> Trial:
    """A trial of a workload, sized as it says."""
    sizes = {"inputs": workload.inputs, "outputs": workload.outputs, "depth": workload.depth}
    if workload.units is None:
        assert workload.budget is not None
        units = networks.size(cell, budget=workload.budget, **sizes).units
    else:
        units = workload.units
    number = parameters(cell, units=units, **sizes)
    hyperparameters: dict[str, Any] = {**HYPERPARAMETERS}
    if registry.get(cell).nonlinearities:
        hyperparameters["nonlinearity"] = "tanh"
    if workload.kind == "held":
        hyperparameters["samples_per_parameter"] = workload.batch / number
        hyperparameters["batch_size"] = workload.minibatch or 0
    return Trial("benchmark", task, NetworkShape(cell, workload.depth, units, number), hyperparameters, 10**9, 0)


def write_start(program: Program, data: Any, trial: Trial, workload: Workload, path: str) -> None:
    """Data and initial parameters, blocks stacked in capax's order, layers numbered."""
    state, settings = program.start(trial)
    network = program.template.network(state.parameters, settings.constants)
    arrays: dict[str, Any] = {"readout": network.readout.weight, "readout_bias": network.readout.bias}
    for l, layer in enumerate(network.layers):
        initial = layer.initial if isinstance(layer.initial, tuple) else (layer.initial,)
        arrays[f"initial{l}"] = np.stack(initial)
        if trial.shape.cell == "lru":
            names = ("w_nu", "w_theta", "w_gamma", "B_real", "B_imaginary", "C_real", "C_imaginary", "D")
            arrays |= {f"{name}{l}": getattr(layer, name) for name in names}
            continue
        maps = [value for value in vars(layer).values() if hasattr(value, "recurrent")]
        for name in ("recurrent", "input", "bias"):
            arrays[f"{name}{l}"] = np.concatenate([getattr(part, name) for part in maps])
        arrays["forget_bias"] = getattr(layer, "forget_bias", 0.0)
    if workload.kind == "held":  # the task's own draw
        samples = int(settings.scalars["samples"])
        arrays["x"], arrays["y"] = data[0][:, :samples], data[1][:samples]
        if workload.minibatch is not None:
            key, prime = jax.random.wrap_key_data(settings.data_key), settings.scalars["prime"]
            steps = [shuffling.places(key, jnp.asarray(step), workload.minibatch, prime) for step in range(ORDERS)]
            arrays["order"] = np.stack(steps)
    else:
        arrays["x"], arrays["y"] = workload.data()
    np.savez(path, learning_rate=LEARNING_RATE, **arrays)


def main() -> None:
    name, cell, start = sys.argv[1:]
    workload = WORKLOADS[name]
    task = tasks.get("capacity") if workload.kind == "held" else Fixed(workload=name)
    trial = trial_of(workload, cell, task)
    began = time.perf_counter()
    data = task.data(trial.shape.parameters)
    program = Program(trial.program_key, "mapped", data)
    write_start(program, data, trial, workload, start)

    def fresh() -> list[Population]:
        found = [Population(program, data) for _ in range(2)]
        for lane in found:
            lane.add(trial)
        return found

    lanes = fresh()
    lanes[0].advance(1)
    ready = {"units": trial.shape.units, "parameters": trial.shape.parameters}
    print(json.dumps({**ready, "compile_seconds": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["restart"]:
            lanes = fresh()
        threads = [threading.Thread(target=lane.advance, args=(order["steps"],)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        loss = None
        if order["restart"]:
            slot = lanes[0]._slots[0]
            assert slot is not None
            loss = program.scores(slot.state, slot.settings, data)[0]["loss"]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"loss": loss, "memory": memory}), flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_compilation_cache", False)
    main()
