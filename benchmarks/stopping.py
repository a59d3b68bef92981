"""What stopping trials early saves, and what it costs in the score: python benchmarks/stopping.py
[--seeds N] [--json].

Studies of the quickstart (capacity; text with 12 trials) and a longer one of text (24 trials), each
with `stopping = "none"` and with `"halving"`, in turn, for each seed. All in one process, programs
compiled before each run: compiling takes as long either way. Columns, means over the seeds:

- best score, as the report gives it, and the gain by stopping, with Student's 95% interval over the
  seeds (positive: the study with stopping found the better one);
- "within": in how many seeds the score with stopping is no worse than the 95% interval of the score
  without;
- core-seconds: processor time of the whole run, the tuner, the scores at the rungs, and the reruns
  included;
- ratio: of those; of tuning: the same for the work (sequences x time steps x training steps, which
  no noise of the machine touches) without the reruns, which are trained to their end either way; of
  work: with them.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from capax.training import backend

backend.configure()

from scipy import stats  # noqa: E402

from capax.engines.local import LocalEngine  # noqa: E402
from capax.experiments import results  # noqa: E402
from capax.experiments.design import load  # noqa: E402
from capax.experiments.plan import Plan, plan  # noqa: E402
from capax.experiments.runner import execute  # noqa: E402
from capax.training.population import Population, default_batching  # noqa: E402
from capax.training.resident import Resident  # noqa: E402
from capax.training.trial import Trial  # noqa: E402

STUDIES: dict[str, dict[str, Any]] = {
    "quickstart, capacity, rnn 250": {"tasks": ["capacity"], "cells": ["rnn"], "budgets": [250]},
    "quickstart, capacity, gru 250": {"tasks": ["capacity"], "cells": ["gru"], "budgets": [250]},
    "quickstart, capacity, lstm 500": {"tasks": ["capacity"], "cells": ["lstm"], "budgets": [500]},
    "quickstart, text, gru 2000": {"tasks": ["text"], "cells": ["gru"], "budgets": [2000]},
    "text, rnn 2000, 24 trials": {"tasks": ["text"], "cells": ["rnn"], "budgets": [2000], "trials": 24},
}
"""Settings of the quickstart."""
RULES = ("none", "halving")


def compile_programs(planned: Plan, resident: Resident) -> None:
    """Compile all that a plan's trials can need; `resident` keeps it for the runs, which hold it
    under other names.
    """
    for study in planned.studies:
        kinds = getattr(study.space.get("nonlinearity"), "choices", [None])
        for kind in kinds:
            hyperparameters = {**study.defaults, **({} if kind is None else {"nonlinearity": kind})}
            trial = Trial("warm", study.task, study.shape, hyperparameters, steps=1, seed=0)
            population = Population(resident.program(trial), resident.data(trial))
            population.add(trial)
            population.advance(1)


def measure(settings: dict[str, Any], rule: str, seed: int) -> dict[str, Any]:
    """One run of one study."""
    planned = plan(load("quickstart", {**settings, "seed": seed, "stopping": rule}))
    (study,) = planned.studies
    resident = Resident(default_batching())
    compile_programs(planned, resident)
    with tempfile.TemporaryDirectory() as directory:
        before, started = time.process_time(), time.perf_counter()
        execute(planned, Path(directory) / "run", lambda: LocalEngine(resident=resident))
        core_seconds, seconds = time.process_time() - before, time.perf_counter() - started
        store, run = results.read(Path(directory) / "run")
        row = results.studies(store, run).iloc[0].to_dict()
        ledger = store.ledger(study.name)
    work = [
        entry.ended.steps * study.task.work(entry.hyperparameters, study.shape.parameters)
        for entry in (*ledger.tuned, *ledger.reruns)
    ]
    return {
        "sign": 1 if study.task.reporting.direction == "maximise" else -1,
        **{key: row[key] for key in ("best", "low", "high", "stopped", "converged", "infeasible", "trials")},
        "core_seconds": core_seconds,
        "seconds": seconds,
        "work": sum(work),
        "tuning_work": sum(work[: len(ledger.tuned)]),
    }


def compare(name: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One study's runs by rule, in the order of the seeds."""
    off, on = runs["none"], runs["halving"]
    sign = off[0]["sign"]
    gains = [sign * (b["best"] - a["best"]) for a, b in zip(off, on, strict=True)]
    half = float("nan")
    if len(gains) > 1:
        half = float(stats.t.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / len(gains) ** 0.5
    worst = "low" if sign > 0 else "high"

    def ratio(key: str) -> float:
        return sum(row[key] for row in on) / sum(row[key] for row in off)

    return {
        "study": name,
        "best_without": statistics.mean(row["best"] for row in off),
        "best_with": statistics.mean(row["best"] for row in on),
        "gain": statistics.mean(gains),
        "gain_interval": [statistics.mean(gains) - half, statistics.mean(gains) + half],
        "within": sum(sign * b["best"] >= sign * a[worst] for a, b in zip(off, on, strict=True)),
        "seeds": len(gains),
        "core_seconds_without": statistics.mean(row["core_seconds"] for row in off),
        "core_seconds_with": statistics.mean(row["core_seconds"] for row in on),
        "ratio": ratio("core_seconds"),
        "ratio_of_tuning_work": ratio("tuning_work"),
        "ratio_of_work": ratio("work"),
        "stopped": statistics.mean(row["stopped"] for row in on),
        "trials": on[0]["trials"],
        "runs": runs,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    print("| study | best without | with | gain [95%] | within | core-s without | with | ratio | of tuning | of work |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        low, high = row["gain_interval"]
        print(
            f"| {row['study']} | {row['best_without']:.4g} | {row['best_with']:.4g} | {row['gain']:.3g} [{low:.3g}, {high:.3g}] "
            f"| {row['within']}/{row['seeds']} | {row['core_seconds_without']:.1f} | {row['core_seconds_with']:.1f} "
            f"| {row['ratio']:.2f} | {row['ratio_of_tuning_work']:.2f} | {row['ratio_of_work']:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.studies:
        runs: dict[str, list[dict[str, Any]]] = {rule: [] for rule in RULES}
        for seed in range(arguments.seeds):
            for rule in RULES if seed % 2 == 0 else RULES[::-1]:
                runs[rule].append(measure(STUDIES[name], rule, seed))
                last = runs[rule][-1]
                print(f"{name}, seed {seed}, {rule}: {last['best']:.4g}, {last['core_seconds']:.1f} s", file=sys.stderr)
        rows.append(compare(name, runs))
    if arguments.json:
        print(json.dumps({"studies": rows}))
    else:
        show(rows)


if __name__ == "__main__":
    main()
