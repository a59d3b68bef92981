"""Results of an experiment as tables, read from the store: one row a study, one row a trial."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy  # its parts are loaded when they are first used: they are slow to load

from capax.experiments.record import RunRecord, StudyRecord, TaskRecord, from_json
from capax.search import url as urls
from capax.search.ledger import RERUNS, Entry, TrialRecord
from capax.search.store import EXPERIMENT, Store

CONFIDENCE = 0.95


def read(directory: Path, store: str | None = None) -> tuple[Store, RunRecord]:
    """The store of a run directory and its record. `store`: the URL of its database, where the
    password is not in the environment.

    Raises `CapaxError` where there is none, or one that cannot be read.
    """
    found = Store.read(directory, store)
    return found, from_json(found.frozen, str(directory / EXPERIMENT))


def of_database(url: str, run: str | None = None) -> tuple[Store, RunRecord]:
    """The same of a run in a database, without its directory; `run` is its id or its name."""
    found = Store.of_database(url, run)
    return found, from_json(found.frozen, f"the record of {found.place}")


def at(place: str | Path, run: str | None = None) -> tuple[Store, RunRecord]:
    """The same of a run directory, or of a database's URL, which may have the run behind a #."""
    if not urls.is_url(str(place)):
        return read(Path(place))
    url, named = urls.split_run(str(place))
    return of_database(url, run or named)


def open_trials(store: Store, run: RunRecord) -> dict[str, int | None]:
    """The trials that have not ended, as STUDY/NUMBER, each with the step at which it paused last,
    None where it did not.
    """
    found: dict[str, int | None] = {}
    for study in run.studies:
        ledger = store.ledger(study.name)
        for name, entries in ((study.name, ledger.tuned), (study.name + RERUNS, ledger.reruns)):
            for entry in entries:
                if entry.result is None:
                    found[f"{name}/{entry.number}"] = None if entry.paused is None else entry.paused.steps
    return found


def trials(store: Store, run: RunRecord) -> pd.DataFrame:
    """One row a trial, reruns included.

    Columns: study, task, cell, depth, budget, units, parameters, search; rerun (bool); number;
    state (complete, infeasible, running, or stopped: by the experiment's rule, with the scores it
    had then); converged (bool: complete before its last step, since nothing was left to gain);
    proposed_by (default; random: before the tuner has a model, or by random search; model; grid;
    best: a rerun); divergence (why and when it diverged); seed; kernel and refusal (why there was
    no fused kernel); processor, instructions (its widest vectors), and jaxlib; steps (done);
    seconds; validation and evaluation (scores); loss (validation, nats or squared units); the
    task's further scores as `score_NAME`; the hyperparameters as `hp_NAME`.
    """
    rows = [
        _trial_row(study, trial, rerun)
        for study in run.studies
        for ledger in [store.ledger(study.name)]
        for rerun, entries in ((False, ledger.tuned), (True, ledger.reruns))
        for trial in entries
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


def _trial_row(study: StudyRecord, trial: Entry, rerun: bool) -> dict[str, Any]:
    record = trial.result
    validation = record.validation if record is not None else {}
    evaluation = record.evaluation if record is not None else {}
    further = {name: value for name, value in evaluation.items() if name not in ("score", "loss")}
    return {
        "study": study.name,
        **_what(study),
        "rerun": rerun,
        "number": trial.number,
        "state": "running" if record is None else record.state,
        "converged": record is not None and record.converged,
        "proposed_by": trial.proposed_by,
        "divergence": None if record is None or record.divergence is None else str(record.divergence),
        **_facts(record),
        "validation": validation.get("score", math.nan),
        "evaluation": evaluation.get("score", math.nan),
        "loss": validation.get("loss", math.nan),
        **{f"score_{name.removeprefix('score_')}": value for name, value in further.items()},
        **{f"hp_{name}": value for name, value in trial.hyperparameters.items()},
    }


def _facts(record: TrialRecord | None) -> dict[str, Any]:
    """What is the same column by column in the record; None while the trial runs."""
    names = ("seed", "kernel", "refusal", "processor", "instructions", "jaxlib", "steps", "seconds")
    known = {} if record is None else dataclasses.asdict(record)
    return {name: known.get(name) for name in names}


def _what(study: StudyRecord) -> dict[str, Any]:
    return {
        "task": study.label,
        "cell": study.cell,
        "depth": study.depth,
        "budget": study.budget,
        "units": study.units,
        "parameters": study.parameters,
        "search": study.search,
    }


def studies(store: Store, run: RunRecord) -> pd.DataFrame:
    """One row a study: what it measured, with its uncertainty.

    Columns: study, task (with its swept options), cell, depth, budget, units, parameters, search
    (which of those that are alike but for their seeds); stopping, the rule; trials (done) of
    planned, infeasible, stopped, converged, reruns (done) of reruns_due, infeasible_reruns;
    `best`, the reported score, with `low` and `high`, its 95% interval, and `interval`, which says
    what kind; of reruns also their median, least, and most; best_trial and best_hyperparameters
    (JSON); `selection`, the score the tuner saw for them; seconds, core-seconds of training; and
    what the task's reporting names, as for capacity `samples`, `fraction_correct`,
    `compression_bits`, `bits_per_parameter` with `_low` and `_high`,
    `compression_bits_per_parameter`.

    A memorised number of bits is a maximum over trials by definition, and its interval is Wilson's
    for the fraction of labels correct. Any other score is the mean over reruns of the best
    hyperparameters on fresh seeds, on the evaluation set, with Student's interval for that mean.
    """
    return pd.DataFrame([_study_row(store, study, run.tasks[study.label]) for study in run.studies])


def _study_row(store: Store, study: StudyRecord, task: TaskRecord) -> dict[str, Any]:
    ledger = store.ledger(study.name)
    ended = [trial for trial in ledger.tuned if trial.result is not None]
    reran = [trial.result for trial in ledger.reruns if trial.result is not None]
    records = [trial.ended for trial in ended]
    row = {
        "study": study.name,
        **_what(study),
        "trials": len(ended),
        "planned": study.trials,
        "stopping": study.stopping,
        "infeasible": sum(record.state == "infeasible" for record in records),
        "stopped": sum(record.state == "stopped" for record in records),
        "converged": sum(record.converged for record in records),
        "reruns": len(reran),
        "reruns_due": study.reruns,
        "infeasible_reruns": sum(record.state == "infeasible" for record in reran),
        "seconds": sum(record.seconds for record in records + reran),
        "best": math.nan,
        "low": math.nan,
        "high": math.nan,
        "interval": "none yet",
    }
    best = _best(study, ended)
    if best is None:
        if row["infeasible"] + row["stopped"] == study.trials:
            row["reruns_due"] = 0  # there is nothing to rerun
        nothing = "every trial diverged" if row["infeasible"] == study.trials else "every trial diverged or was stopped"
        return row | ({"interval": nothing} if len(ended) == study.trials else {})
    row |= {
        "best_trial": best.number,
        "best_hyperparameters": json.dumps(best.hyperparameters),
        "selection": best.ended.score,
    }
    return row | (_rerun(reran) if task.reporting.reruns else _best_trial(task, study, best.ended, records))


def _best(study: StudyRecord, ended: list[Entry]) -> Entry | None:
    complete = [trial for trial in ended if trial.ended.state == "complete"]
    sign = 1 if study.direction == "maximise" else -1
    return max(complete, key=lambda trial: sign * trial.ended.score, default=None)


def _best_trial(task: TaskRecord, study: StudyRecord, best: TrialRecord, records: list[TrialRecord]) -> dict[str, Any]:
    """The result of a task that is not rerun: its best trial's, with what its reporting asks
    for.
    """
    reporting, scores = task.reporting, best.evaluation
    ends = {end: scores.get(f"score_{end}", math.nan) for end in ("low", "high")}
    result = {"best": scores["score"], **ends}
    complete = [record.evaluation for record in records if record.state == "complete"]
    maxima = {name: max(of_trial[name] for of_trial in complete) for name in reporting.maxima}
    row = {**result, "interval": f"{reporting.interval}, of the best trial alone: it does not cover seeds or searches"}
    row |= {name: scores[name] for name in reporting.columns} | maxima
    if reporting.stored is None:
        return row
    stored = f"{reporting.stored}_per_parameter"
    names = {"best": stored, "low": f"{stored}_low", "high": f"{stored}_high"}
    row |= {names[name]: value / study.parameters for name, value in result.items()}
    return row | {f"{name}_per_parameter": value / study.parameters for name, value in maxima.items()}


def _rerun(reran: list[TrialRecord]) -> dict[str, Any]:
    values = [record.evaluation["score"] for record in reran if record.state == "complete"]
    if not values:
        return {"interval": "no rerun yet" if not reran else "every rerun diverged"}
    mean, half = float(np.mean(values)), math.nan
    if len(values) > 1:
        half = float(
            scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
        )
    return {
        "best": mean,
        "low": mean - half,
        "high": mean + half,
        "median": float(np.median(values)),
        "least": min(values),
        "most": max(values),
        "interval": "none, 1 fresh seed" if len(values) == 1 else f"95%, Student, {len(values)} fresh seeds",
    }
