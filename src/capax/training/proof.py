"""What results follow from on a machine: versions, settings, code, and data. A worker elsewhere
proves with it, before it trains, that it has what the run was begun with.
"""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from capax import cells, contents
from capax.tasks.task import Task
from capax.training.environment import SETTINGS, version_of

VERSIONS = ("jax", "jaxlib", "numpy", "equinox", "optax")
SHOWN = 12
"""Letters of a hash that a message has."""

Proof = Mapping[str, str]
"""What there is, by name: a version, a setting, or a SHA-256."""


def of_installation() -> Proof:
    """Of capax itself, of what it computes with, and of settings that change results."""
    versions = {name: version_of(name) for name in VERSIONS}
    settings = {name: os.environ.get(name, "") for name in SETTINGS}
    return {"capax": _own_code(), **versions, **settings}


def of_trial(cell: str, task: Task) -> Proof:
    """Of the code of a cell and a task, and of the task's data as they are on this machine.

    Raises `CapaxError` where the code or the data cannot be had here.
    """
    cells.get(cell)
    of_code = [(cell, content) for content in contents.of_code(cell)]
    of_code += [(task.name, content) for content in contents.of_code(task.name)]
    found = {f"{name} ({content.name})": content.sha256 for name, content in of_code}
    return found | {f"data of {task.name} ({content.name})": content.sha256 for content in task.contents()}


def differences(due: Proof, found: Proof) -> list[str]:
    """In what two proofs differ, in words, `found` first."""
    names = [name for name in {**due, **found} if due.get(name) != found.get(name)]
    return [f"{name} {_shown(found.get(name))}, not {_shown(due.get(name))}" for name in names]


def _shown(value: str | None) -> str:
    if not value:
        return "none"
    return f"{value[:SHOWN]}.." if len(value) == 64 else value


@functools.cache
def _own_code() -> str:
    """The hash of all files of the package."""
    root, digest = Path(__file__).parent.parent, hashlib.sha256()
    for path in sorted(each for each in root.rglob("*") if each.is_file() and "__pycache__" not in each.parts):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
