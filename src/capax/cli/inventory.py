"""What there is, by name, in a line each; nothing is imported but what the list is of."""

import ast
import inspect
import tomllib
from importlib import resources
from typing import Any

from capax.errors import CapaxError, closest

KINDS = ("cells", "tasks", "experiments", "probes", "hyperparameters")


def inventory(what: str) -> dict[str, str]:
    """Names with one line each. Raises `CapaxError` for a kind of thing there is not."""
    lists = {"cells": _cells, "tasks": _tasks, "experiments": _experiments, "probes": _probes}
    if what not in lists:
        raise CapaxError(f"there is no list of '{what}'{closest(what, list(KINDS))}; choose of {', '.join(KINDS)}.")
    return lists[what]()


def _cells() -> dict[str, str]:
    from capax.cells.registry import BUILT_IN, MADE

    return {**{name: _said_of(cell) for name, cell in BUILT_IN.items()}, **MADE}


def _tasks() -> dict[str, str]:
    from capax.tasks import BUILT_IN

    return {name: _said_of(task) for name, task in BUILT_IN.items()}


def _experiments() -> dict[str, str]:
    """Each design's question, from its file: checking designs would import what runs them."""
    folder = resources.files("capax.experiments") / "designs"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    tables = {entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text(encoding="utf-8")) for entry in files}
    return {name: table.get("question", "") for name, table in tables.items()}


def _probes() -> dict[str, str]:
    """What the function `measure` of each probe says of itself, from its file: importing it would
    import JAX."""
    from capax.probes.names import OF_A_TASK, PROBES

    needs = {name: " Needs a task (--task), or a trained network." for name in OF_A_TASK}
    return {name: _first_paragraph(_docstring_of_measure(name)) + needs.get(name, "") for name in PROBES}


def _docstring_of_measure(probe: str) -> str:
    source = (resources.files("capax") / "probes" / f"{probe}.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return next(ast.get_docstring(node) or "" for node in functions if node.name == "measure")


def _said_of(thing: Any) -> str:
    """The first paragraph of a class's docstring, or of its module's, which says what it is."""
    module = inspect.getmodule(thing)
    return _first_paragraph(thing.__doc__ or (module.__doc__ if module else "") or "")


def _first_paragraph(docstring: str) -> str:
    return " ".join(docstring.strip().split("\n\n")[0].split())
