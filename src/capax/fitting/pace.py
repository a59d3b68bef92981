"""How long a training step takes, measured, and how many steps fit into a time."""

import math
import time
from collections.abc import Sequence

from capax.experiments.plan import Plan, StudyPlan
from capax.search.stopping import FRACTIONS, KEEP
from capax.training import processor
from capax.training.population import Population, default_batching
from capax.training.resident import Resident
from capax.training.trial import Trial

MEASURED = 20
"""Training steps that are timed, after as many that are not."""
SHARE = 0.7
"""Of the time that is left for training: the rest is for compiling, scoring, and what is slower
later on."""
LEAST_STEPS = 100


def seconds_per_step(study: StudyPlan) -> float:
    """Of one trial alone on a core."""
    trial = Trial(f"{study.name}/pace", study.task, study.shape, study.defaults, 10**6, 0, study="pace")
    resident = Resident(default_batching())
    population = Population(resident.program(trial), resident.data(trial), 1)
    population.add(trial)
    population.advance(MEASURED)
    began = time.monotonic()
    population.advance(MEASURED)
    return (time.monotonic() - began) / MEASURED


def trainings(trials: int, reruns: int) -> float:
    """How many whole trainings a study takes, with successive halving: its trials to the first
    rung, the best part of them to the next, and so on.
    """
    ends, going, total = (*FRACTIONS, 1.0), 1.0, 0.0
    for begin, end in zip((0.0, *FRACTIONS), ends, strict=True):
        total += max(going, 1 / trials) * (end - begin)
        going *= KEEP
    return trials * total + reruns


def steps_within(plan: Plan, seconds: float) -> int:
    """Training steps of each trial so that all studies end in about so many seconds."""
    lanes = processor.cores()
    measured = [seconds_per_step(study) for study in plan.studies]
    return _steps(plan.studies, measured, seconds, lanes)


def _steps(studies: Sequence[StudyPlan], measured: Sequence[float], seconds: float, lanes: int) -> int:
    whole = sum(pace * trainings(study.trials, study.reruns) for pace, study in zip(measured, studies, strict=True))
    steps = SHARE * seconds * lanes / whole
    if steps < LEAST_STEPS:
        return LEAST_STEPS
    return int(float(f"{steps:.2g}")) if math.isfinite(steps) else LEAST_STEPS
