"""Options of tasks: fields of a frozen dataclass, each with what it may be, checked in one
place.
"""

import dataclasses
import functools
import types
import typing
from typing import Any

from capax.errors import CapaxError
from capax.hyperparameters import FINITE, Interval

WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
STEPS = Interval(1, 10_000)
"""Time steps of a sequence."""


def option(default: Any, allowed: Interval = FINITE, meaning: str = "") -> Any:
    """An option of a task that is a number: its default, what it may be, and a sentence on it."""
    return dataclasses.field(default=default, metadata={"allowed": allowed, "meaning": meaning})


def check(task: Any) -> None:
    """Bring the options of a task into their types. Raises `CapaxError` as `read` does."""
    for field in dataclasses.fields(task):
        object.__setattr__(task, field.name, read(type(task), field.name, getattr(task, field.name)))


def read(task: type, name: str, value: Any) -> Any:
    """The value of an option of a class of tasks, in the option's type.

    Raises `CapaxError` for a value of another type, one that is no number, or one out of range.
    """
    (field,) = (field for field in dataclasses.fields(task) if field.name == name)
    allowed = _allowed(_kinds(task)[name])
    what = f"task {task.name}: option {name} must be"  # pyright: ignore[reportAttributeAccessIssue]
    if not _fits(value, allowed):
        raise CapaxError(f"{what} {' or '.join(WORDS[k] for k in allowed if k in WORDS)}, not {value!r}.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    interval = field.metadata.get("allowed", FINITE)
    if value not in interval:
        raise CapaxError(f"{what} a {'' if float in allowed else 'whole '}number {interval}, not {value!r}.")
    return value if int in allowed else float(value)


@functools.cache
def _kinds(task: type) -> dict[str, Any]:
    return typing.get_type_hints(task)


def _allowed(kind: Any) -> tuple[type, ...]:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _fits(value: Any, allowed: tuple[type, ...]) -> bool:
    if not any(kind in WORDS for kind in allowed):  # a kind of a user's own
        return True
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, allowed) or (float in allowed and isinstance(value, int))
