"""What making a batch costs beside training on it: the share of a training step, for each task that
draws its batches.

    .venv/bin/python benchmarks/tasks.py                              # every task at several sizes
    .venv/bin/python benchmarks/tasks.py --tasks parentheses --units 100 --rounds 9 --json

A training step is one of capax's own compiled program: making the batch, the network forward and
backward, the optimiser. Making a batch is timed alone, in a compiled loop in which every number
that is made is used. Both are timed in turns, in CPU time of this process (on one thread, so that
other processes do not count); the share is formed within a round, its median and quartiles
reported.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from capax.training import backend

backend.configure()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from capax import tasks  # noqa: E402
from capax.networks.network import Network  # noqa: E402
from capax.networks.parts import count_parameters  # noqa: E402
from capax.tasks.task import Task  # noqa: E402
from capax.training.population import Population  # noqa: E402
from capax.training.program import Program  # noqa: E402
from capax.training.trial import NetworkShape, Trial  # noqa: E402

UNITS = {
    "memory": (32, 64, 96),
    "text": (32, 100),
    "rcf": (10, 32),
    "parentheses": (10, 32, 100),
    "arithmetic": (32, 100),
    "teacher": (16, 64),
}
"""Units of a network of one layer: from the smallest of a study on two cores to the largest."""
SECONDS_PER_TIMING = 0.5


def measure(name: str, cell: str, units: int, rounds: int) -> dict[str, Any]:
    task = tasks.get(name)
    network = Network.create(cell, inputs=task.inputs, outputs=task.outputs, units=units, key=jax.random.key(0))
    parameters = count_parameters(network)
    shape = NetworkShape(cell, 1, units, parameters)
    trial = Trial("benchmark", task, shape, {"learning_rate": 1e-4, "nonlinearity": "tanh"}, 10**9, 0)
    data = task.data(parameters)
    program = Program(trial.program_key, "mapped", data)
    lane = Population(program, data)
    lane.add(trial)
    making = maker(task, data, trial)
    timed = {"train": timer(lane.advance), "make": timer(making)}
    found: dict[str, list[float]] = {part: [] for part in timed}
    for _ in range(rounds):
        for part, time_one in timed.items():
            found[part].append(time_one())
    shares = sorted(made / trained for made, trained in zip(found["make"], found["train"], strict=True))
    quarter = len(shares) // 4
    return {
        "task": name,
        "cell": cell,
        "units": units,
        "parameters": parameters,
        "batch_size": task.batch_size,  # pyright: ignore[reportAttributeAccessIssue]
        "seconds_per_batch": statistics.median(found["make"]),
        "seconds_per_step": statistics.median(found["train"]),
        "share": {"median": statistics.median(shares), "low": shares[quarter], "high": shares[-1 - quarter]},
    }


def maker(task: Task, data: Any, trial: Trial) -> Callable[[int], Any]:
    """A function that makes a number of batches."""
    scalars = task.scalars(trial.hyperparameters, trial.shape.parameters)

    @jax.jit
    def make(data: Any, steps: jax.Array) -> jax.Array:
        def add(step: jax.Array, total: jax.Array) -> jax.Array:
            key = jax.random.fold_in(jax.random.key(0), step)
            draw = task.batch_at(data, "train", jax.random.fold_in(key, 0), jnp.asarray(0), scalars)
            return total + sum(jnp.sum(leaf.astype(jnp.float32)) for leaf in jax.tree.leaves(draw))

        return jax.lax.fori_loop(0, steps, add, jnp.zeros(()))

    return lambda steps: make(data, jnp.asarray(steps)).block_until_ready()


def timer(work: Callable[[int], Any]) -> Callable[[], float]:
    """A function that times `work` and returns seconds per step, with as many steps as fill the
    time.
    """
    work(1)
    steps = 1
    while (seconds := clock(work, steps)) < SECONDS_PER_TIMING / 4:
        steps *= 2
    steps = max(1, round(steps * SECONDS_PER_TIMING / seconds))
    return lambda: clock(work, steps) / steps


def clock(work: Callable[[int], Any], steps: int) -> float:
    started = time.process_time()
    work(steps)
    return time.process_time() - started


def show(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| task, batch | cell, units, parameters | making a batch (ms) | training step (ms) | share (%) |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        share = row["share"]
        lines.append(
            f"| {row['task']}, {row['batch_size']} | {row['cell']}, {row['units']}, {row['parameters']} "
            f"| {1e3 * row['seconds_per_batch']:.3f} | {1e3 * row['seconds_per_step']:.3f} "
            f"| {100 * share['median']:.1f} ({100 * share['low']:.1f} to {100 * share['high']:.1f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(UNITS))
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--units", help="one size for all tasks (default: several for each)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.tasks.split(","):
        for units in [int(arguments.units)] if arguments.units else UNITS[name]:
            rows.append(measure(name, arguments.cell, units, arguments.rounds))
    print(json.dumps(rows, indent=1) if arguments.json else show(rows))


if __name__ == "__main__":
    main()
