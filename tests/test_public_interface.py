"""The names that scripts rely on, and the README's own code."""

import re
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

import capax

README = (Path(__file__).parent.parent / "README.md").read_text()
SCRIPT, OWN_DATA, CELL = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(EXPERIMENT,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("name", capax.__all__)
def test_every_public_name_is_there(name):
    assert getattr(capax, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        capax.nonsense  # noqa: B018


def test_the_readmes_script_runs_made_smaller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = SCRIPT
    for long, brief in (
        ("budgets=[900], trials=16", "budgets=[300], trials=2, steps=20"),
        ("length=1000", "length=20"),
    ):
        assert long in short
        short = short.replace(long, brief)
    names: dict = {}
    exec(short, names)
    assert names["net"](names["x"]).shape == (20, 27)
    results = names["results"]
    assert list(results.frame["cell"]) == ["rnn"] and len(results.trials) == 2
    assert results.path == Path("runs/c/report.html") and results.path.exists()
    assert all(hasattr(figure, "savefig") for figure in results.figures.values()) and results.figures


def test_the_readmes_fit_runs_made_smaller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2024-01-01", periods=300, name="date")
    pd.DataFrame({"temp_max": np.sin(np.arange(300) / 9) * 10}, days).to_csv("weather.csv")
    assert OWN_DATA.count("minutes=3") == 2
    names: dict = {}
    exec(OWN_DATA.replace("minutes=3", 'steps=20, trials=1, cells=["rnn"], budget=300'), names)
    fitted = names["fitted"]
    assert len(fitted.predict("weather.csv")) == 7 and fitted.report.exists()
    assert fitted.scores["kind"].iloc[0] == "network" and len(names["model"].predict()) == 7


def test_the_readmes_cell_is_a_ugrnn_and_can_be_sized(tmp_path, monkeypatch):
    (tmp_path / "readme_cell.py").write_text(CELL)
    monkeypatch.syspath_prepend(tmp_path)
    mine = capax.size("readme_cell:MyCell", budget=5000, inputs=27, outputs=27, depth=2)
    assert (mine.units, mine.parameters) == (
        (theirs := capax.size("ugrnn", budget=5000, inputs=27, outputs=27, depth=2)).units,
        theirs.parameters,
    )
    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), (9, 27))
    outputs = [
        capax.Network.create(cell, inputs=27, outputs=27, units=5, key=key, candidate_scale=0.5)(x)
        for cell in ("readme_cell:MyCell", "ugrnn")
    ]
    assert (outputs[0] == outputs[1]).all()


def test_the_readmes_experiment_is_valid(tmp_path, monkeypatch):
    from capax.experiments.design import load
    from capax.experiments.plan import plan

    (tmp_path / "my_text.txt").write_text("all work and no play makes jack a dull boy " * 100)
    (tmp_path / "mine.toml").write_text(EXPERIMENT.replace("my_package.cells:MyCell", "rnn"))
    monkeypatch.chdir(tmp_path)
    variants, searches = 3 + 1, 3  # time steps of capacity; text
    assert len(plan(load("mine.toml")).studies) == variants * searches * 3 * 3 * 2


def test_a_task_gives_batches_and_scores_outputs():
    task = capax.tasks.get("text", window=20, warm_up=4)
    batch = task.batch(jax.random.key(0), 3)
    assert batch.inputs.shape == (3, 20, 27) and batch.targets.shape == batch.mask.shape == (3, 20)
    outputs = jax.numpy.zeros((3, 20, 27))
    assert task.loss(outputs, batch) == pytest.approx(task.facts.chance_loss, rel=1e-5)
    assert task.score(outputs, batch) == pytest.approx(task.facts.chance, rel=1e-5)
