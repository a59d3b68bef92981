"""Whether a run may go on in its directory: what must be the same, what may have grown, and what is
only said.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capax.contents import Content
from capax.errors import CapaxError
from capax.experiments.design import LISTS, WORDS
from capax.experiments.record import RunRecord, from_json
from capax.training.environment import Environment

REWORDED = ("name", "workers", *WORDS)
"""Keys of an experiment that change nothing in its results: a run goes on when they are
reworded.
"""
REPEATS = ("reruns", "searches")
"""Keys that may grow: the seeds of a rerun and of a search follow from its number."""
ELSEWHERE = "put it back as it was, or begin anew in another directory with --out"


def begun(directory: Path, found: dict[str, Any]) -> RunRecord | None:
    """The record of what a directory holds, None where an older capax kept the experiment alone."""
    return from_json(found, str(directory)) if "format" in found else None


def join(directory: Path, old: RunRecord, new: RunRecord, say: Callable[[str], None]) -> RunRecord:
    """The record of a run that goes on. `say` is told where only the last bits of results may
    differ.

    Raises `CapaxError` where results would be mixed: another experiment, text, or code of a
    cell or task.
    """
    _check_contents(old, new)
    _check_code(old, new)
    check_extends(directory, _comparable(old, new), _comparable(new, old))
    environments = old.environments
    differences = _differences(environments[-1], new.environment)
    if differences:
        say(
            f"{directory} goes on elsewhere: {'; '.join(differences)}. The last bits of results may differ from those of one "
            "machine; each trial says where it was trained."
        )
        environments = (*environments, new.environment)
    return dataclasses.replace(new, created=old.created, environments=environments, tasks={**new.tasks, **old.tasks})


def _check_contents(old: RunRecord, new: RunRecord) -> None:
    for label in old.tasks.keys() & new.tasks.keys():
        _same(f"task {label}", old.tasks[label].contents, new.tasks[label].contents)


def _check_code(old: RunRecord, new: RunRecord) -> None:
    for name in old.cells.keys() & new.cells.keys():
        _same(f"cell {name}", old.cells[name].code, new.cells[name].code)
    for label in old.tasks.keys() & new.tasks.keys():
        _same(f"task {label}", old.tasks[label].code, new.tasks[label].code)


def _same(whose: str, before: tuple[Content, ...], now: tuple[Content, ...]) -> None:
    for was, is_ in zip(before, now, strict=False):
        if was.sha256 != is_.sha256:
            moved = f" (then {was.path or was.name})" if (was.path or was.name) != (is_.path or is_.name) else ""
            raise CapaxError(
                f"{whose}: {is_.path or is_.name} is not what this run was begun with{moved}: "
                f"it has {is_.size:,} bytes, then {was.size:,}, and another content; {ELSEWHERE}."
            )
    if len(before) != len(now):
        names = " and ".join(content.name for content in before) or "no file"
        raise CapaxError(f"{whose}: it was made from {names} when this run was begun; {ELSEWHERE}.")


def _comparable(record: RunRecord, other: RunRecord) -> dict[str, Any]:
    """The experiment without the options that name files, where both runs read files of the same
    content.
    """
    table = record.experiment.model_dump(mode="json")
    for label in record.tasks.keys() & other.tasks.keys():
        for content in record.tasks[label].contents:
            table["task"].get(record.tasks[label].name, {}).pop(content.option, None)
    return table


def _differences(old: Environment, new: Environment) -> list[str]:
    """What can change the last bits of a result."""
    names = ("jax", "jaxlib", "settings", "machine", "processor", "instructions", "device")
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
    return [f"{name} {_shown(now)}, before {_shown(was)}" for name, was, now in pairs if was != now]


def _shown(value: str | dict[str, str]) -> str:
    if isinstance(value, str):
        return value
    return " ".join(f"{key}={text}" for key, text in value.items()) or "none"


def check_extends(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise `CapaxError` unless the new experiment is the old one, or has more of what may be had
    more of.
    """
    known = {name: table for name, table in new.get("task", {}).items() if name in old.get("tasks", ())}
    key = _difference(_without_empty(old), _without_empty({**new, "task": known}))
    if key is None:
        return
    before, after = (json.dumps(_value_at(table, key)) for table in (old, new))
    raise CapaxError(
        f"{directory} holds another experiment: it has {'.'.join(key)} = {before}, this one {after}; choose another "
        f"directory with --out, or run the same experiment, with more {', '.join((*LISTS, *REPEATS))} if you like."
    )


def _without_empty(table: dict[str, Any]) -> dict[str, Any]:
    """Without the tables of tasks in which nothing is said."""
    return {**table, "task": {name: options for name, options in table.get("task", {}).items() if options}}


def _difference(old: dict[str, Any], new: dict[str, Any], inside: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """The first key, as a path, at which the new experiment does not extend the old one."""
    for key in {**old, **new}:
        was, now = old.get(key), new.get(key)
        path = (*inside, key)
        if (
            was == now or (not inside and key in REWORDED) or (key not in old and not now)
        ):  # an older run knew fewer keys
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            found = _difference(was, now, path)
        elif isinstance(was, list) and isinstance(now, list) and (key in LISTS or "sweep" in inside):
            found = path if [value for value in was if value not in now] else None
        else:
            grows = key in REPEATS and isinstance(was, int) and isinstance(now, int) and now > was
            found = None if grows else path
        if found is not None:
            return found
    return None


def _value_at(table: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        table = table.get(key) if isinstance(table, dict) else None
    return table
