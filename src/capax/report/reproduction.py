"""How to have a run again: the command, and the experiment as a file."""

import json
import shlex
from pathlib import Path
from typing import Any

from capax.errors import CapaxError
from capax.experiments import design
from capax.experiments.design import Experiment

_UNSET = object()


def command(experiment: Experiment, directory: Path) -> str:
    """The `capax run` that makes this run: by name and settings where a named experiment leads there, else from a file."""
    settings = _settings(experiment)
    words = [
        "capax",
        "run",
        f"{experiment.name}.toml" if settings is None else experiment.name,
        "--out",
        str(directory),
    ]
    for key, value in (settings or {}).items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join(words)


def toml(experiment: Experiment) -> str:
    """The experiment as a TOML file."""
    table = experiment.model_dump(mode="json")
    tasks, hyperparameters = table.pop("task"), table.pop("hyperparameters")
    lines = [
        f"{key} = {_toml(value)}" for key, value in table.items() if value is not None
    ]  # TOML has no word for nothing
    if hyperparameters:
        lines += ["", "[hyperparameters]", *(f"{key} = {_toml(value)}" for key, value in hyperparameters.items())]
    for name, options in tasks.items():
        plain = {key: value for key, value in options.items() if not isinstance(value, dict)}
        lines += ["", f"[task.{name}]", *(f"{key} = {_toml(value)}" for key, value in plain.items())]
        for key in options.keys() - plain.keys():
            lines += [
                "",
                f"[task.{name}.{key}]",
                *(f"{option} = {_toml(value)}" for option, value in options[key].items()),
            ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Words, numbers, and lists of them are written in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def _settings(experiment: Experiment) -> dict[str, Any] | None:
    """What to set on the named experiment to have this one; None where that does not lead there."""
    if experiment.name not in design.named():
        return None
    wanted, settings = experiment.model_dump(mode="json"), {}
    for tasks_too in (False, True):  # setting a key for all takes it out of the tasks' tables, so those come second
        found = _load(experiment.name, settings)
        if found is None:
            return None
        settings |= _tasks(found["task"], wanted["task"]) if tasks_too else _top(found, wanted)
    return settings if _load(experiment.name, settings) == wanted else None


def _load(name: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return design.load(name, settings).model_dump(mode="json")
    except CapaxError:
        return None


def _top(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wanted.items() if key != "task" and found[key] != value}


def _tasks(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{task}.{key}": value
        for task, options in wanted.items()
        for key, value in options.items()
        if found.get(task, {}).get(key, _UNSET) != value
        and not isinstance(value, dict)  # no table fits on a command line
    }
