"""Tasks by name: the built-in ones, and a user's own as `module.path:Task`."""

import dataclasses
import importlib
import inspect
from typing import Any

from capax import user_code
from capax.errors import CapaxError, closest
from capax.tasks.arithmetic import Arithmetic
from capax.tasks.capacity import Capacity
from capax.tasks.memory import Memory
from capax.tasks.options import read as read_option
from capax.tasks.parentheses import Parentheses
from capax.tasks.rcf import RandomContinuousFunctions
from capax.tasks.task import Task
from capax.tasks.teacher import Teacher
from capax.tasks.text import Text

BUILT_IN: dict[str, type[Task]] = {
    task.name: task for task in (Capacity, Memory, Text, RandomContinuousFunctions, Parentheses, Arithmetic, Teacher)
}

OWN_DATA: dict[str, str] = {
    "forecast": "capax.tasks.forecast:Forecast",
    "classify": "capax.tasks.classify:Classify",
    "label": "capax.tasks.label:Label",
    "translate": "capax.tasks.translate:Translate",
    "language": "capax.tasks.language:LanguageModel",
}
"""Tasks that need a file of the user's: module and class, imported when they are asked for."""


def get(name: str, **options: Any) -> Task:
    """A task by its name, with options: a built-in one, or a user's own as `module.path:Task`.

    Raises `CapaxError` for an unknown name, option, or value; `UserCodeError` where a user's own
    task raises, or says less than a task must.
    """
    task = class_of(name)
    fields = [field.name for field in dataclasses.fields(task)]
    for option in options:
        if option not in fields:
            raise CapaxError(
                f"task {name} has no option '{option}'{closest(option, fields)}; it has {', '.join(fields)}."
            )
    read = {option: read_option(task, option, value) for option, value in options.items()}
    with user_code.explaining(f"task {name}: making it failed"):
        return task(**read)


def class_of(name: str) -> type[Task]:
    """The class of a task by its name. Raises as `get`."""
    if name in OWN_DATA:
        module, _, found = OWN_DATA[name].partition(":")
        return getattr(importlib.import_module(module), found)
    if not user_code.is_path(name):
        if name not in BUILT_IN:
            raise CapaxError(
                f"unknown task '{name}'{closest(name, [*BUILT_IN, *OWN_DATA])}; choose of {', '.join([*BUILT_IN, *OWN_DATA])}, "
                "or name your own as module.path:Task."
            )
        return BUILT_IN[name]
    found = user_code.load(name, "task")
    if not issubclass(found, Task):
        raise CapaxError(f"task '{name}' is no capax.Task; subclass capax.tasks.Generated or capax.tasks.Task.")
    missing = sorted(found.__abstractmethods__) if inspect.isabstract(found) else []
    missing += [] if getattr(found, "reporting", None) is not None else ["reporting"]
    if missing:
        raise CapaxError(f"task '{name}' does not say all that a task must: {', '.join(missing)} is missing.")
    options = {field.name for field in dataclasses.fields(found)}
    annotated = {option: str(kind) for option, kind in inspect.get_annotations(found).items()}
    undeclared = [option for option, kind in annotated.items() if "ClassVar" not in kind and option not in options]
    if undeclared:
        raise CapaxError(
            f"task '{name}' has no option '{undeclared[0]}': write @dataclasses.dataclass(frozen=True) above the class."
        )
    if found.name != name:
        raise CapaxError(f"task '{name}' has a name of its own, {found.name!r}: leave `name` out of the class.")
    return found
