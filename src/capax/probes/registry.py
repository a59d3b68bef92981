"""Probes by name, and the one call for all of them: the built-in ones, and a user's own as
`module.path:function`.
"""

import contextlib
import dataclasses
import importlib
import inspect
import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from capax import user_code
from capax.errors import CapaxError, closest
from capax.probes.measurement import Measurement
from capax.probes.names import RECURRENT, check, check_task
from capax.probes.subject import Subject


def get(name: str) -> Callable[..., Measurement]:
    """A probe's function. Raises `CapaxError` for an unknown name, `UserCodeError` where a user's
    module raises.
    """
    check(name)
    if user_code.is_path(name):
        return user_code.load_function(name, "probe")
    return importlib.import_module(f"capax.probes.{name}").measure


def options(name: str) -> dict[str, inspect.Parameter]:
    """The options of a probe beside its subject, by name. Raises `CapaxError` for a function that
    takes no subject.
    """
    parameters = dict(inspect.signature(get(name)).parameters)
    if "subject" not in parameters:
        raise CapaxError(f"probe {name} must take a `subject`, the network that it measures, as its first argument.")
    return {key: value for key, value in parameters.items() if key != "subject"}


def probe(name: str, subject: Subject, **given: Any) -> Measurement:
    """One measurement on a network, by the probe's name and its own options.

    Raises `CapaxError` for an unknown probe or option, or an option of the wrong kind;
    `UserCodeError` where a user's own probe raises.
    """
    known = options(name)
    check_task(name, subject.task is not None)
    if name in RECURRENT and not subject.network.recurrent:
        raise CapaxError(f"probe {name} needs a recurrence, which {subject.name} has not.")
    for option, value in given.items():
        if option not in known:
            raise CapaxError(
                f"probe {name} has no option '{option}'{closest(option, list(known))}; it has {', '.join(known) or 'none'}."
            )
        default = known[option].default
        if not _fits(value, default):
            raise CapaxError(f"probe {name}: option {option} must be {_due(default)}, not {value!r}.")
    own = user_code.is_path(name)
    with user_code.explaining(f"probe {name} failed") if own else contextlib.nullcontext():
        measured = get(name)(subject, **given)
    if not isinstance(measured, Measurement):
        raise CapaxError(f"probe {name} must return a capax.probes.Measurement, not {type(measured).__name__}.")
    _check(name, measured)
    return dataclasses.replace(measured, probe=name)


def _check(name: str, measured: Measurement) -> None:
    """Raise `CapaxError` where a measurement cannot be written down."""
    if not isinstance(measured.frame, pd.DataFrame):
        raise CapaxError(f"probe {name}: its frame must be a pandas.DataFrame, not a {type(measured.frame).__name__}.")
    for what in ("subject", "summary"):
        for key, value in dict(getattr(measured, what)).items():
            try:
                json.dumps(value)
            except (TypeError, ValueError):
                raise CapaxError(
                    f"probe {name}: '{key}' of its {what} is a {type(value).__name__}; write numbers, texts, or lists "
                    "of them (float(x) of an array's only number, x.tolist() of an array)."
                ) from None


def _due(default: Any) -> str:
    """What an option must be, by its default."""
    kinds: dict[type, str] = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    kind = next((words for kind, words in kinds.items() if isinstance(default, kind)), "a value")
    return f"{kind}, as its default {default!r} is"


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return default is None or isinstance(value, type(default))
