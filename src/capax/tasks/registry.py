"""Tasks by name, with their options checked."""

import dataclasses
import types
import typing
from typing import Any

from capax.errors import CapaxError, closest
from capax.tasks.arithmetic import Arithmetic
from capax.tasks.capacity import Capacity
from capax.tasks.memory import Memory
from capax.tasks.parentheses import Parentheses
from capax.tasks.rcf import RandomContinuousFunctions
from capax.tasks.task import Task
from capax.tasks.teacher import Teacher
from capax.tasks.text import Text

BUILT_IN: dict[str, type[Task]] = {
    task.name: task for task in (Capacity, Memory, Text, RandomContinuousFunctions, Parentheses, Arithmetic, Teacher)
}


def get(name: str, **options: Any) -> Task:
    """A task by its name, with options. Raises `CapaxError` for an unknown name, option, or value."""
    if name not in BUILT_IN:
        raise CapaxError(f"unknown task '{name}'{closest(name, list(BUILT_IN))}; choose of {', '.join(BUILT_IN)}.")
    task = BUILT_IN[name]
    types_of = typing.get_type_hints(task)
    fields = [field.name for field in dataclasses.fields(task)]
    for option, value in options.items():
        if option not in fields:
            raise CapaxError(
                f"task {name} has no option '{option}'{closest(option, fields)}; it has {', '.join(fields)}."
            )
        if not _fits(value, types_of[option]):
            raise CapaxError(f"task {name}: option {option} must be {_named(types_of[option])}, not {value!r}.")
        if types_of[option] is float:
            options[option] = float(value)
    return task(**options)


def _allowed(kind: Any) -> tuple[type, ...]:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _fits(value: Any, kind: Any) -> bool:
    allowed = _allowed(kind)
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, allowed) or (float in allowed and isinstance(value, int))


def _named(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return " or ".join(names[k] for k in _allowed(kind) if k in names)
