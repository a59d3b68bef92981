"""The tuner against random search at equal trials, and how long it takes to ask: python
benchmarks/tuner.py [--json].

Two functions of the literature, one trial at a time (Branin) and four at a time (Hartmann-6), and a
made-up training run: 15 hyperparameters such as those of Collins et al. 2017 (floats, integers,
categories), 16 at a time, a fifth of them diverging. Each cell of the table is a median over seeds;
p is a one-sided Mann-Whitney test that the bandit's best is the lower one. Seconds are processor
seconds; set OPENBLAS_NUM_THREADS=1 to have them mean one core.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from scipy.stats import mannwhitneyu

from capax.search.bandit import GaussianProcessBandit

BRANIN = {"x": FloatDistribution(-5.0, 10.0), "y": FloatDistribution(0.0, 15.0)}


def branin(params: Mapping[str, Any]) -> float:
    """Least value .39789, at three points."""
    x, y = params["x"], params["y"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


HARTMANN = {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(6)}
_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_WIDTHS = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(params: Mapping[str, Any]) -> float:
    """Least value -3.32237."""
    x = np.array([params[name] for name in HARTMANN])
    return -float(_HEIGHTS @ np.exp(-(_WIDTHS * (x - _CENTRES) ** 2).sum(axis=1)))


TRAINING: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "optimiser": CategoricalDistribution(["sgd", "momentum", "rmsprop", "adam"]),
    "momentum": FloatDistribution(1.0, 7.0),
    "decay": FloatDistribution(1e-3, 1.0, log=True),
    "clip": FloatDistribution(1.0, 100.0, log=True),
    "l2": FloatDistribution(1e-8, 1e-3, log=True),
    "steps": IntDistribution(50, 5000, log=True),
    "nonlinearity": CategoricalDistribution(["relu", "tanh"]),
    "recurrent_init": CategoricalDistribution(["identity", "orthogonal", "normal"]),
    "recurrent_scale": FloatDistribution(0.01, 2.0, log=True),
    "input_scale": FloatDistribution(0.001, 2.0, log=True),
    "bias": CategoricalDistribution(["constant", "normal"]),
    "bias_scale": FloatDistribution(-2.0, 2.0),
    "forget_bias": FloatDistribution(0.0, 6.0),
    "compute_steps": IntDistribution(1, 6),
}
_OPTIMISERS = {
    "sgd": (0.5, -1.3, 0.6),
    "momentum": (1.3, -2.0, 1.0),
    "rmsprop": (2.0, -2.8, 1.0),
    "adam": (1.6, -2.5, 1.0),
}
_INITS = {"identity": (0.7, -0.3), "orthogonal": (1.0, -0.05), "normal": (0.6, -0.3)}


def training(params: Mapping[str, Any]) -> float:
    """A loss between about .002 and 15; infinite where steps or recurrent gains are too large
    together.
    """
    eagerness, best_rate, power = _OPTIMISERS[params["optimiser"]]
    share, best_scale = _INITS[params["recurrent_init"]]
    log = {name: math.log10(params[name]) for name in TRAINING if getattr(TRAINING[name], "log", False)}
    relu = params["nonlinearity"] == "relu"
    scale = 0.0 if params["recurrent_init"] == "identity" else log["recurrent_scale"]
    push = 0.35 * (eagerness - 1) + 1.2 * max(scale + 0.25 * relu, -0.3) + 0.3 * log["clip"]
    if log["learning_rate"] + push > -1.3:
        return math.inf
    gains = (
        1.1 * power * math.exp(-2.0 * (log["learning_rate"] - best_rate) ** 2)
        + 0.6 * share * math.exp(-10.0 * (scale - best_scale) ** 2)
        + 0.4 * math.exp(-((log["input_scale"] + 0.7) ** 2) / 0.6)
        + 0.25 * (log["steps"] - math.log10(50))
        + 0.25 * (params["optimiser"] in ("momentum", "adam")) * math.exp(-0.5 * (params["momentum"] - 3.5) ** 2)
        + 0.1 * params["compute_steps"] / 6
        - 0.1 * relu
    )
    losses = (
        0.0375 * (params["forget_bias"] - 2.5) ** 2
        + (0.15 if params["bias"] == "normal" else 0.1) * params["bias_scale"] ** 2
        + 0.2 * max(0.0, log["l2"] + 5.0)
        + 0.075 * (log["decay"] + 1.2) ** 2
    )
    return 10 ** (0.5 - gains + losses)


# name: space, objective, trials, trials asked for before any is told
PROBLEMS: dict[str, tuple[Mapping[str, BaseDistribution], Callable[[Mapping[str, Any]], float], int, int]] = {
    "branin": (BRANIN, branin, 50, 1),
    "hartmann6": (HARTMANN, hartmann, 80, 4),
    "training15": (TRAINING, training, 192, 16),
}
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "bandit": lambda seed: GaussianProcessBandit(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed, constant_liar=True),
}


def ask_and_tell(
    study: optuna.Study,
    space: Mapping[str, BaseDistribution],
    objective: Callable[[Mapping[str, Any]], float],
    trials: int,
    batch: int,
) -> list[float]:
    """Values of `trials` more trials, asked for in batches; those not finite are told as failed."""
    values: list[float] = []
    while len(values) < trials:
        asked = [study.ask(dict(space)) for _ in range(min(batch, trials - len(values)))]
        for trial in asked:
            value = objective(trial.params)
            values.append(value)
            if math.isfinite(value):
                study.tell(trial, value)
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return values


def compare(problem: str, seeds: int) -> dict[str, Any]:
    """One row of the table: each sampler's median best value and seconds a run, and the bandit's
    p.
    """
    space, objective, trials, batch = PROBLEMS[problem]
    row: dict[str, Any] = {"problem": problem, "trials": trials, "batch": batch, "seeds": seeds}
    best: dict[str, list[float]] = {}
    for name, sampler in SAMPLERS.items():
        begin = time.process_time()
        runs = [
            ask_and_tell(optuna.create_study(sampler=sampler(seed)), space, objective, trials, batch)
            for seed in range(seeds)
        ]
        best[name] = [min(values) for values in runs]
        row[name] = {
            "median": statistics.median(best[name]),
            "median_halfway": statistics.median(min(values[: trials // 2]) for values in runs),
            "infeasible": float(np.mean([np.isinf(values).mean() for values in runs])),
            "seconds": (time.process_time() - begin) / seeds,
        }
        if name != "bandit":
            row[name]["p"] = float(mannwhitneyu(best["bandit"], best[name], alternative="less").pvalue)
    return row


def seconds_to_ask(trials: int, asks: int) -> float:
    """Processor seconds for `asks` proposals in a row after `trials` finished ones in 15
    dimensions, fit included.
    """
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    ask_and_tell(study, TRAINING, training, trials, trials)
    study.sampler = GaussianProcessBandit(seed=0)
    begin = time.process_time()
    for _ in range(asks):
        study.ask(TRAINING)
    return time.process_time() - begin


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'problem':12}{'sampler':9}{'halfway':>10}{'best':>10}{'p':>10}{'infeasible':>12}{'s a run':>9}"]
    for row in rows:
        for name in SAMPLERS:
            cell = row[name]
            p = f"{cell['p']:.1e}" if "p" in cell else ""
            line = f"{row['problem']:12}{name:9}{cell['median_halfway']:10.4f}{cell['median']:10.4f}{p:>10}"
            lines.append(f"{line}{cell['infeasible']:12.0%}{cell['seconds']:9.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    timings = {f"ask({asks})@{trials}": seconds_to_ask(trials, asks) for trials, asks in ((200, 16), (1000, 64))}
    rows = [compare(problem, arguments.seeds) for problem in PROBLEMS]
    if arguments.json:
        print(json.dumps({"problems": rows, "seconds": timings}))
        return
    print(table(rows))
    for name, seconds in timings.items():
        print(f"{name}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
