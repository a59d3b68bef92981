"""Results of an experiment as tables, read from the store: one row a study, one row a trial."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from scipy import stats

from capax.experiments.design import Experiment
from capax.experiments.plan import Plan, StudyPlan, plan
from capax.experiments.runner import RERUNS
from capax.search.store import Store

CONFIDENCE = 0.95


def read(directory: Path) -> tuple[Store, Plan]:
    """The store of a run directory and the plan it was made from."""
    store = Store.read(directory)
    return store, plan(Experiment.model_validate(store.frozen["experiment"], strict=False))


def trials(store: Store, plan: Plan) -> pd.DataFrame:
    """One row a trial, reruns included.

    Columns: study, task, cell, depth, budget, units, parameters, rerun (bool), number, state (complete, infeasible,
    stopped: by the experiment's rule, with the scores it had then; running), converged (bool: complete before its last
    step, since nothing was left to gain), seed, steps (done), seconds, validation and evaluation (scores), loss
    (validation, nats or squared units), the task's further scores as `score_NAME`, and the hyperparameters as `hp_NAME`.
    """
    rows = [
        _trial_row(study, trial, rerun)
        for study in plan.studies
        for rerun in (False, True)
        for trial in store.trials(study.name + (RERUNS if rerun else ""))
        if trial.state != TrialState.WAITING
    ]
    columns = [
        "study",
        "task",
        "cell",
        "depth",
        "budget",
        "rerun",
        "number",
        "state",
        "steps",
        "seconds",
        "validation",
        "evaluation",
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def state(trial: FrozenTrial) -> str:
    """How a trial stands: complete, infeasible, stopped, or running; the tuner may not have been told yet."""
    result = trial.user_attrs.get("result")
    if result is None:
        return "running"
    return "infeasible" if not result["feasible"] else "stopped" if result.get("stopped") else "complete"


def _trial_row(study: StudyPlan, trial: FrozenTrial, rerun: bool) -> dict[str, Any]:
    result = trial.user_attrs.get("result", {})
    validation, evaluation = result.get("validation", {}), result.get("evaluation", {})
    return {
        "study": study.name,
        **_what(study),
        "rerun": rerun,
        "number": trial.number,
        "state": state(trial),
        "converged": bool(result.get("converged")),
        "seed": result.get("seed"),
        "kernel": result.get("kernel"),
        "steps": result.get("steps"),
        "seconds": result.get("seconds"),
        "validation": validation.get("score", math.nan),
        "evaluation": evaluation.get("score", math.nan),
        "loss": validation.get("loss", math.nan),
        **{
            f"score_{name.removeprefix('score_')}": value
            for name, value in evaluation.items()
            if name not in ("score", "loss")
        },
        **{f"hp_{name}": value for name, value in trial.params.items()},
    }


def _what(study: StudyPlan) -> dict[str, Any]:
    shape = study.shape
    return {
        "task": study.label,
        "cell": shape.cell,
        "depth": shape.depth,
        "budget": study.budget,
        "units": shape.units,
        "parameters": shape.parameters,
    }


def studies(store: Store, plan: Plan) -> pd.DataFrame:
    """One row a study: what it measured, with its uncertainty.

    Columns: study, task (with its swept options), cell, depth, budget, units, parameters; stopping, the rule; trials (done) of planned,
    infeasible, stopped, converged, reruns, infeasible_reruns; `best`, the reported score, with `low` and `high`, its 95%
    interval, and `interval`, which says what kind; best_trial and best_hyperparameters (JSON); `selection`, the score the
    tuner saw for them; seconds, core-seconds of training; and for memorisation tasks `samples`, `fraction_correct`,
    `compression_bits`, and `bits_per_parameter` with `_low` and `_high` and `compression_bits_per_parameter`.

    A memorised number of bits is a maximum over trials by definition, and its interval is Wilson's for the fraction of
    labels correct. Any other score is the mean over reruns of the best hyperparameters on fresh seeds, on the
    evaluation set, with Student's interval for that mean.
    """
    rows = [_study_row(store, study) for study in plan.studies]
    return pd.DataFrame([{**row, "stopping": plan.experiment.stopping} for row in rows])


def _study_row(store: Store, study: StudyPlan) -> dict[str, Any]:
    tuned, reruns = store.trials(study.name), store.trials(study.name + RERUNS)
    ended = [trial for trial in tuned if state(trial) != "running"]
    reran = [trial for trial in reruns if state(trial) != "running"]
    row = {
        "study": study.name,
        **_what(study),
        "trials": len(ended),
        "planned": study.trials,
        "infeasible": sum(state(trial) == "infeasible" for trial in ended),
        "stopped": sum(state(trial) == "stopped" for trial in ended),
        "converged": sum(bool(trial.user_attrs["result"].get("converged")) for trial in ended),
        "reruns": len(reran),
        "infeasible_reruns": sum(state(trial) == "infeasible" for trial in reran),
        "seconds": sum(trial.user_attrs["result"]["seconds"] for trial in ended + reran),
        "best": math.nan,
        "low": math.nan,
        "high": math.nan,
        "interval": "none yet",
    }
    best = _best(study, ended)
    if best is None:
        nothing = "every trial diverged" if row["infeasible"] == study.trials else "every trial diverged or was stopped"
        return row | ({"interval": nothing} if len(ended) == study.trials else {})
    row |= {
        "best_trial": best.number,
        "best_hyperparameters": json.dumps(best.params),
        "selection": _score(best),
    }
    return row | (_memorised(study, best, ended) if study.task.memorisation else _rerun(reran))


def _best(study: StudyPlan, ended: list[FrozenTrial]) -> FrozenTrial | None:
    complete = [trial for trial in ended if state(trial) == "complete"]
    sign = 1 if study.task.direction == "maximise" else -1
    return max(complete, key=lambda trial: sign * _score(trial), default=None)


def _score(trial: FrozenTrial) -> float:
    """The score that the tuner sees."""
    return trial.user_attrs["result"]["validation"]["score"]


def _memorised(study: StudyPlan, best: FrozenTrial, ended: list[FrozenTrial]) -> dict[str, Any]:
    scores = best.user_attrs["result"]["evaluation"]
    parameters = study.shape.parameters
    compression = max(
        trial.user_attrs["result"]["evaluation"]["compression_bits"] for trial in ended if state(trial) == "complete"
    )
    return {
        "best": scores["score"],
        "low": scores["score_low"],
        "high": scores["score_high"],
        "interval": "95%, Wilson, of the best trial",
        "samples": scores["samples"],
        "fraction_correct": scores["fraction_correct"],
        "compression_bits": compression,
        "bits_per_parameter": scores["score"] / parameters,
        "bits_per_parameter_low": scores["score_low"] / parameters,
        "bits_per_parameter_high": scores["score_high"] / parameters,
        "compression_bits_per_parameter": compression / parameters,
    }


def _rerun(reran: list[FrozenTrial]) -> dict[str, Any]:
    values = [t.user_attrs["result"]["evaluation"]["score"] for t in reran if state(t) == "complete"]
    if not values:
        return {"interval": "no rerun yet" if not reran else "every rerun diverged"}
    mean, half = float(np.mean(values)), math.nan
    if len(values) > 1:
        half = float(
            stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
        )
    return {
        "best": mean,
        "low": mean - half,
        "high": mean + half,
        "interval": f"95%, Student, {len(values)} fresh seeds",
    }
