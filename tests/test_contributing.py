"""What CONTRIBUTING.md shows works as it stands: its task, its probe, and their tests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import capax
from capax.testing import examine

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def block(words):
    (found,) = [text for text in BLOCKS if words in text]
    return found


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A user's package that holds what the page shows."""
    folder = tmp_path / "my_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "tasks.py").write_text(block("class Delay(Generated)"))
    (folder / "probes.py").write_text(block("def largest(subject"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_its_task_passes_every_check(package):
    found = examine("my_package.tasks:Delay")
    assert [finding.message for finding in found.findings if not finding.passed] == []


def test_its_test_class_runs(package):
    (package / "test_delay.py").write_text(block("class TestDelay"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_delay.py", "-k", "shapes"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_its_probe_gives_a_number_and_a_figure(package):
    name = "my_package.probes:largest"
    report = capax.probe(name, "rnn", out=package / "out", units=3, length=5, batch=2, power=2)
    assert 0 < report.summary["peak"] <= 1 and report.figure is not None


def test_its_tables_name_files_that_there_are():
    files = set(re.findall(r"^\| `(src/[\w/.]+|tests/[\w/.]+)`", TEXT, re.MULTILINE))
    missing = [file for file in files if "NAME" not in file and not (Path(__file__).parents[1] / file).exists()]
    assert len(files) > 8 and missing == []
