"""Optuna stays behind one room: search/. And what is private to Optuna stays there."""

import ast
import re
from pathlib import Path

import capax

SOURCE = Path(capax.__file__).parent


def imported(path):
    """The packages that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_only_search_imports_optuna():
    users = {path.relative_to(SOURCE).parts[0] for path in SOURCE.rglob("*.py") if "optuna" in imported(path)}
    assert users == {"search"}


def test_nothing_private_of_optuna_is_used():
    private = re.compile(
        r"\b(?:study|trial|frozen|tuned|reruns)\._(?:storage|trial_id|study_id)\b|\._trial_id\b|optuna\._"
    )
    found = [path for path in SOURCE.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))]
    assert found == []
