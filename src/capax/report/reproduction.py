"""How to have a run again: the command, and the experiment as a file."""

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from capax.errors import CapaxError
from capax.experiments import design
from capax.experiments.design import WORDS, Experiment
from capax.experiments.record import RunRecord
from capax.report import formatting

_UNSET = object()


def command(experiment: Experiment, directory: Path) -> str:
    """The `capax run` that makes this run.

    By name and settings where a named experiment leads there, else from the file that `toml`
    writes.
    """
    settings = _settings(experiment)
    source = f"{experiment.name}.toml" if settings is None else experiment.name
    words = ["capax", "run", source, "--out", str(directory)]
    for key, value in (settings or {}).items():
        words += ["--set", f"{key}={_toml(value)}"]
    return shlex.join(words)


def facts(run: RunRecord, trials: pd.DataFrame) -> dict[str, str]:
    """What the numbers depend on to the bit: versions, machine, kernels, seed, data, and how the
    search went.
    """
    where, experiment = run.environment, run.experiment
    return {
        "capax": where.capax,
        "begun": run.created,
        "versions": f"Python {where.python}, JAX {where.jax} (jaxlib {where.jaxlib}), NumPy {where.numpy}, "
        f"Optuna {where.optuna}",
        "machine": f"{where.system}, {where.machine}; {where.processor}, {formatting.number(where.cores, 'core')}, "
        f"{where.instructions}; JAX on {where.device}",
        **(
            {"settings": ", ".join(f"{key}={value}" for key, value in where.settings.items())} if where.settings else {}
        ),
        **_elsewhere(trials),
        **_kernels(trials),
        **_data(run),
        "seed": str(experiment.seed),
        "search": f"{experiment.sampler}, {_by_task(run, 'batch')} trials a batch",
        "stopping": _by_task(run, "stopping"),
    }


def _by_task(run: RunRecord, key: str) -> str:
    """The value of a key, for each task where tasks differ."""
    values = {label: str(getattr(run.of(label), key)) for label in run.tasks}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{value} ({label})" for label, value in values.items())


def _elsewhere(trials: pd.DataFrame) -> dict[str, str]:
    """Where more than one processor trained: how many trials each."""
    if "processor" not in trials or len(set(trials["processor"].dropna())) < 2:
        return {}
    counts = trials["processor"].value_counts()
    return {
        "processors": "; ".join(f"{name}: {formatting.number(int(count), 'trial')}" for name, count in counts.items())
    }


def _data(run: RunRecord) -> dict[str, str]:
    """The files and texts that data were made from, with the beginning of their hashes."""
    contents = {content.name: content.sha256 for task in run.tasks.values() for content in task.contents}
    owners = (*run.cells.values(), *run.tasks.values())
    code = {content.name: content.sha256 for owner in owners for content in owner.code}
    found = {"data": contents, "code of your own": code}
    return {
        what: "; ".join(f"{name} (SHA-256 {sha[:12]}…)" for name, sha in of.items()) for what, of in found.items() if of
    }


def _kernels(trials: pd.DataFrame) -> dict[str, str]:
    """Where gradients came from: fused kernels or the compiled program."""
    if "kernel" not in trials:
        return {}
    counts = trials["kernel"].dropna().value_counts()
    said = [f"{kind} in {formatting.number(int(count), 'trial')}" for kind, count in counts.items()]
    return {"gradients from": "; ".join(said)} if said else {}


def toml(experiment: Experiment) -> str:
    """The experiment as a TOML file."""
    table = experiment.model_dump(mode="json")
    tasks, hyperparameters = table.pop("task"), table.pop("hyperparameters")
    lines = _lines(table)
    if hyperparameters:
        lines += ["", "[hyperparameters]", *_lines(hyperparameters)]
    for name, options in tasks.items():
        plain = {key: value for key, value in options.items() if not isinstance(value, dict)}
        lines += ["", f"[task.{name}]", *_lines(plain)]
        for key in [key for key in options if key not in plain]:
            lines += ["", f"[task.{name}.{_key(key)}]", *_lines(options[key])]
    return "\n".join(lines) + "\n"


def _lines(table: dict[str, Any]) -> list[str]:
    """A line a key; TOML has no word for nothing, so what has no value is left out."""
    return [f"{_key(key)} = {_toml(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _toml(value: Any) -> str:
    """A value as TOML has it: like JSON, but for tables and for numbers that JSON does not have."""
    if isinstance(value, dict):
        return "{" + ", ".join(_lines(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return json.dumps(value, ensure_ascii=False)


def _settings(experiment: Experiment) -> dict[str, Any] | None:
    """What to set on the named experiment to have this one; None where that does not lead there."""
    if experiment.name not in design.named():
        return None
    wanted, settings = _table(experiment), {}
    for tasks_too in (False, True):  # setting a key for all takes it out of the tasks' tables, so those come second
        found = _load(experiment.name, settings)
        if found is None:
            return None
        settings |= _tasks(found["task"], wanted["task"]) if tasks_too else _top(found, wanted)
    return settings if _load(experiment.name, settings) == wanted else None


def _load(name: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return _table(design.load(name, settings))
    except CapaxError:
        return None


def _table(experiment: Experiment) -> dict[str, Any]:
    """The keys of an experiment that say what is run."""
    return experiment.model_dump(mode="json", exclude=set(WORDS))


def _top(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wanted.items() if key != "task" and found[key] != value}


def _tasks(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{task}.{key}": value
        for task, options in wanted.items()
        for key, value in options.items()
        if found.get(task, {}).get(key, _UNSET) != value
    }
