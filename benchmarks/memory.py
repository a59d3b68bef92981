"""The memory that a population needs: 64 trials of 10,000-parameter GRUs on 50,000 samples, under 4
GiB?

    .venv/bin/python benchmarks/memory.py [--trials 64] [--budget 10000] [--cell gru]

Mapped (a CPU): the trials train for a step each in a process of their own, two lanes of 32 slots,
and that process's peak resident memory is read. Vectorised (an accelerator): what the compiler says
it would allocate for the whole population at once.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
from typing import Any

LIMIT = 4 * 2**30


def program_of(cell: str, budget: int, batching: Any) -> tuple[Any, Any, Any]:
    """A program for the capacity task with five samples per parameter, its data, and a trial of
    it.
    """
    from capax.training import backend

    backend.configure()
    from capax import networks, tasks
    from capax.training.program import Program
    from capax.training.trial import NetworkShape, Trial

    task = tasks.get("capacity")
    size = networks.size(cell, budget=budget, inputs=task.inputs, outputs=1)
    shape = NetworkShape(cell, 1, size.units, size.parameters)
    hyperparameters = {"nonlinearity": "tanh", "samples_per_parameter": 5 * budget / size.parameters}
    trial = Trial("benchmark", task, shape, hyperparameters, 10, 0)
    data = task.data(shape.parameters)
    return Program(trial.program_key, batching, data), data, trial


def mapped(cell: str, budget: int, trials: int) -> dict[str, float]:
    """Peak resident memory of this process, in which the whole population trains for one step."""
    from capax.training.population import Population

    program, data, trial = program_of(cell, budget, "mapped")
    lanes = [Population(program, data, slots=trials // 2) for _ in range(2)]
    for lane in lanes:
        for _ in range(trials // 2):
            lane.add(trial)
    threads = [threading.Thread(target=lane.advance, args=(1,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"mapped_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def vectorised(cell: str, budget: int, trials: int) -> dict[str, float]:
    """What the compiler plans for the vectorised population: arguments, results, and
    temporaries.
    """
    import jax
    import jax.numpy as jnp

    program, data, trial = program_of(cell, budget, "vectorised")
    pair = program.start(trial)
    states, settings = jax.tree.map(lambda leaf: jnp.stack([leaf] * trials), pair)
    advance = jax.jit(program._advance)
    plan = advance.lower(states, settings, data, jnp.asarray(1, jnp.int32)).compile().memory_analysis()
    assert plan is not None
    return {
        "vectorised_planned_bytes": float(
            plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
        )
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--only", choices=["mapped", "vectorised"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    chosen = (arguments.cell, arguments.budget, arguments.trials)
    if arguments.only:
        print(json.dumps((mapped if arguments.only == "mapped" else vectorised)(*chosen)))
        return
    found: dict[str, Any] = {"cell": chosen[0], "budget": chosen[1], "trials": chosen[2], "limit_bytes": LIMIT}
    for only in ("mapped", "vectorised"):
        command = [sys.executable, *sys.argv, "--only", only]
        found |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found["within_limit"] = all(found[k] <= LIMIT for k in ("mapped_resident_bytes", "vectorised_planned_bytes"))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
