"""A run directory stands alone: it is read on a machine without the text, the user's module, JAX,
and a compiler.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from capax.engines.local import LocalEngine
from capax.errors import CapaxError
from capax.experiments import results
from capax.experiments.design import Experiment
from capax.experiments.models import task_of
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.training import model

CELL = """
from typing import ClassVar
from capax import Affine, Cell, affine
import jax.numpy as jnp

class Mine(Cell):
    \"\"\"A cell of a user: h' = tanh(W h + U x + b).\"\"\"
    hidden: Affine = affine("hidden")
    nonlinearities: ClassVar[tuple[str, ...]] = ()

    def project(self, x):
        return self.hidden.project(x)

    def step(self, h, projected):
        c = self.hidden.recur(h, projected)
        return jnp.tanh(c), jnp.tanh(c)
"""
TABLE = {
    "name": "moved",
    "tasks": ["text"],
    "cells": ["rnn", "own_cell_of_a_test:Mine"],
    "budgets": [500],
    "trials": 2,
    "steps": [5, 10],
    "reruns": 1,
}
WITHOUT_JAX = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "jaxlib", "own_cell_of_a_test"):
            raise ImportError(f"{name} is not on this machine")
sys.meta_path.insert(0, Missing())
from capax.cli.main import main
sys.argv = ["capax", *sys.argv[1:]]
main()
"""


def capax(*words, code=WITHOUT_JAX, cwd=None):
    """The command line in a process of its own, without a C++ compiler."""
    environment = {**os.environ, "PATH": "", "CXX": "nothing", "CAPAX_TRUST": "own_cell_of_a_test"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=cwd, env=environment
    )


def run(directory, cells=None, path="text.txt"):
    table = {**TABLE, "cells": cells or TABLE["cells"], "task": {"text": {"path": str(path)}}}
    notes = []
    display = type("Notes", (), {"note": lambda _, text: notes.append(text), "update": lambda _, progress: None})()
    execute(plan(Experiment.model_validate(table, strict=False)), directory, LocalEngine, display)
    return notes


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where the run was made: with a text and a user's cell."""
    home, before = tmp_path_factory.mktemp("home"), Path.cwd()
    (home / "own_cell_of_a_test.py").write_text(CELL)
    (home / "text.txt").write_text("what is read is kept and what is kept is read again. " * 200)
    os.chdir(home)
    try:
        run(home / "run")
    finally:
        os.chdir(before)
    return home


@pytest.fixture
def moved(home, tmp_path):
    """The run directory alone, elsewhere."""
    shutil.copytree(home / "run", tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def test_status_and_report_need_neither_text_nor_module_nor_jax_nor_compiler(home, moved):
    hidden = home.with_name("hidden")
    home.rename(hidden)
    try:
        status = capax("status", str(moved), "--json", cwd=moved)
        report = capax("report", str(moved), cwd=moved)
    finally:
        hidden.rename(home)
    assert status.returncode == 0, status.stderr
    answer = json.loads(status.stdout)
    assert answer["done"] and not answer["running"] and answer["fault"] is None
    assert [study["trials"] for study in answer["studies"]] == [2, 2]
    assert report.returncode == 0, report.stderr
    html = (moved / "report.html").read_text()
    assert "order-2 Markov" in html and "Mine" in html


def test_a_baseline_is_of_the_text_that_was_trained_on(home, moved):
    (moved.parent / "text.txt").write_text("zzz " * 3000)
    _, before = results.read(home / "run")
    assert capax("report", str(moved), cwd=moved.parent).returncode == 0
    _, after = results.read(moved)
    assert after.tasks["text"].baselines == before.tasks["text"].baselines
    assert after.tasks["text"].contents[0].path == str(home / "text.txt")


@pytest.fixture
def at(home, moved, monkeypatch):
    """Copies of text and module beside a copy of the run, in the working directory."""
    for name in ("text.txt", "own_cell_of_a_test.py"):
        shutil.copy(home / name, moved.parent / name)
    monkeypatch.chdir(moved.parent)
    return moved


def test_the_same_text_elsewhere_goes_on(at):
    before = (at / "optuna.journal").read_bytes()
    run(at)
    assert (at / "optuna.journal").read_bytes() == before


def test_another_text_under_the_same_name_is_refused(at):
    (at.parent / "text.txt").write_text("zzz yyy " * 3000)
    with pytest.raises(CapaxError, match=r"task text: .*text.txt is not what this run was begun with .*24,000 bytes"):
        run(at)


def test_another_code_of_a_cell_is_refused_and_another_comment_is_not(at, monkeypatch):
    module = sys.modules["own_cell_of_a_test"]
    monkeypatch.setattr(module, "__file__", str(at.parent / "own_cell_of_a_test.py"))
    path = at.parent / "own_cell_of_a_test.py"
    path.write_text(CELL.replace("c = ", "# the sum\n        c = "))
    run(at)
    path.write_text(CELL.replace("jnp.tanh(c), jnp.tanh(c)", "jnp.tanh(c), 0.0 * c"))
    with pytest.raises(
        CapaxError, match=r"cell own_cell_of_a_test:Mine: .*own_cell_of_a_test.py is not what this run was"
    ):
        run(at)


def test_another_machine_is_said_and_written_down(at, monkeypatch):
    assert run(at) == ["resuming: 4 finished trials are kept"]
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"] + " --xla_cpu_enable_fast_math=false")
    said = run(at)[0]
    assert "goes on elsewhere: settings XLA_FLAGS=" in said and "The last bits of results may differ" in said
    _, record = results.read(at)
    assert len(record.environments) == 2


def test_a_renamed_experiment_is_the_same_experiment(at, monkeypatch):
    monkeypatch.setitem(TABLE, "name", "renamed")
    run(at)
    monkeypatch.setitem(TABLE, "trials", 3)
    with pytest.raises(CapaxError, match="it has trials = 2, this one 3"):
        run(at)


def test_an_older_directory_is_gone_on_with_and_gets_its_record(at):
    record = json.loads((at / "experiment.json").read_text())
    older = {
        "capax": "0.1.0",
        "created": "2025-01-02T03:04:05+00:00",
        "platform": {},
        "experiment": record["experiment"],
    }
    (at / "experiment.json").write_text(json.dumps(older))
    with pytest.raises(CapaxError, match=r"was written by capax 0.1.0, which kept no record .*; run the same command"):
        results.read(at)
    assert "begun by an older capax" in run(at)[0]
    _, found = results.read(at)
    assert found.created == older["created"] and len(found.studies) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda record: {**record, "format": 3}, "has format 3; this capax reads format 2: use a newer capax"),
        (lambda record: {**record, "studies": "none"}, "is damaged: studies"),
        (lambda record: {key: value for key, value in record.items() if key != "experiment"}, "is damaged: the key"),
    ],
)
def test_a_record_that_cannot_be_read_is_one_line(moved, change, says):
    path = moved / "experiment.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(CapaxError, match=says):
        results.read(moved)


PROBE = "from capax.cli.main import main; import sys; sys.argv = ['capax', *sys.argv[1:]]; main()"


def test_models_of_built_in_cells_are_probed_without_text_and_compiler(home, moved):
    hidden = home.with_name("hidden")
    home.rename(hidden)
    try:
        words = ["probe", "sensitivity", str(moved / "models" / "text-rnn-depth1-500.safetensors"), "--length", "20"]
        probed = capax(*words, "--json", code=PROBE, cwd=moved)
        user = capax(*[word.replace("rnn", "own_cell_of_a_test_Mine") for word in words], code=PROBE, cwd=moved)
    finally:
        hidden.rename(home)
    assert probed.returncode == 0, probed.stderr
    assert "white noise of 20 steps, since what" in probed.stderr
    assert user.returncode == 2 and "no module 'own_cell_of_a_test'" in user.stderr and user.stderr.count("\n") == 1


def test_a_model_is_probed_on_the_very_text_where_that_is_still_there(home):
    path = home / "run" / "models" / "text-rnn-depth1-500.safetensors"
    card, _ = model.read(path)
    task = task_of(path, card)
    assert task is not None and task.contents()[0].path == str(home / "text.txt")
