"""A task of a user's own, from outside the package: it runs wherever a built-in one does."""

import json
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capax
from capax import tasks
from capax.errors import CapaxError, UserCodeError

DELAY = '''
    import dataclasses
    from typing import ClassVar

    import jax
    import jax.numpy as jnp
    from capax.cells.sequence import Dense
    from capax.hyperparameters import Interval
    from capax.tasks import Facts, Generated, Reporting, SequenceBatch, Sizes, mean_loss, option, squared_error


    @dataclasses.dataclass(frozen=True)
    class Delay(Generated):
        """Say again what was shown `delay` steps ago."""

        reporting: ClassVar[Reporting] = Reporting("squared error")
        delay: int = option(1, Interval(1, 100))

        @property
        def sizes(self):
            return Sizes(inputs=1, outputs=1, length=6 + self.delay, first=self.delay)

        @property
        def facts(self):
            return Facts(chance=1.0, chance_loss=1.0, perfect=0.0)

        def generate(self, key, size, scalars):
            x = jax.random.normal(key, (self.length, 1, size))
            return SequenceBatch(Dense(x), x[: -self.delay, 0], jnp.ones((6, size)))

        def measure(self, outputs, batch):
            return squared_error(outputs, batch)

        def scores(self, sums):
            return mean_loss(sums)
'''
FAULTY = '''
    import dataclasses
    from capax.tasks import Facts, Generated, Reporting, Sizes


    class NoTask:
        pass


    @dataclasses.dataclass(frozen=True)
    class Half(Generated):
        """Says nothing but its sizes."""

        @property
        def sizes(self):
            return Sizes(1, 1, 5)


    class Named(Half):
        name = "mine"
        reporting = Reporting("score")
        facts = generate = measure = scores = None


    @dataclasses.dataclass(frozen=True)
    class Raising(Named):
        name = "own_tasks:Raising"

        def __post_init__(self):
            raise RuntimeError("too lazy")
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's modules, where the user stands."""
    import sys

    for name, text in {"own_delay": DELAY, "own_tasks": FAULTY}.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_it_is_found_by_its_path_with_its_options_checked(own):
    task = tasks.get("own_delay:Delay", delay=2, batch_size=4)
    assert (task.name, task.length, task.first) == ("own_delay:Delay", 8, 2)
    batch = task.batch(jax.random.key(0), 3)
    shown, due = np.asarray(batch.inputs)[:, :, 0], np.asarray(batch.targets)
    np.testing.assert_array_equal(due[:, 2:], shown[:, :-2])
    assert task.score(jnp.roll(batch.inputs, 2, axis=1), batch) == 0.0
    with pytest.raises(
        CapaxError, match="task own_delay:Delay: option delay must be a whole number from 1 to 100, not 0"
    ):
        tasks.get("own_delay:Delay", delay=0)
    with pytest.raises(CapaxError, match="has no option 'dely'"):
        tasks.get("own_delay:Delay", dely=1)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("own_tasks:Hlaf", r"has no class 'Hlaf' \(did you mean 'Half'\?\)"),
        ("own_nothing:Task", "there is no module 'own_nothing'"),
        ("own_tasks:NoTask", r"is no capax.Task; subclass"),
        ("own_tasks:Half", "does not say all that a task must: facts, generate, measure, scores, reporting is missing"),
        ("own_tasks:Named", "has a name of its own, 'mine': leave `name` out"),
    ],
)
def test_what_is_no_task_is_refused_in_one_line(own, name, line):
    with pytest.raises(CapaxError, match=line) as caught:
        tasks.get(name)
    assert "\n" not in str(caught.value)


def test_an_error_in_it_is_told_with_the_user_s_own_lines(own):
    with pytest.raises(UserCodeError, match="RuntimeError: too lazy") as caught:
        tasks.get("own_tasks:Raising")
    assert "own_tasks.py" in caught.value.user_traceback


def test_it_runs_end_to_end(own):
    report = capax.run(
        "quickstart",
        out=own / "run",
        tasks=["own_delay:Delay"],
        cells=["rnn"],
        depths=[1],
        budgets=[60],
        trials=2,
        reruns=2,
        steps=[400, 400],
        stopping="none",
        **{"own_delay:Delay.delay": 2, "own_delay:Delay.batch_size": 64},
    )
    (row,) = report.frame.to_dict("records")
    assert row["task"] == "own_delay:Delay" and row["reruns"] == 2
    assert 0 < row["best"] < 0.7  # a guess has 1
    assert report.plan.tasks["own_delay:Delay"].options["delay"] == 2
    (model,) = (own / "run" / "models").glob("*.safetensors")
    measured = capax.probe("gradients", model, out=own / "probe", batch=4)
    assert measured.frame.shape[0] > 0


def test_a_probe_is_driven_by_it(own, capsys, monkeypatch):
    import sys

    from capax.cli.main import main

    words = ["capax", "probe", "gradients", "rnn", "--task", "own_delay:Delay", "--set", "own_delay:Delay.delay=3"]
    monkeypatch.setattr(sys, "argv", [*words, "--units", "4", "--batch", "2", "--out", "out", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["subject"]["task"] == "own_delay:Delay"


def test_a_run_does_not_go_on_with_another_code_of_it(own):
    given = {"tasks": ["own_delay:Delay"], "cells": ["rnn"], "budgets": [60], "trials": 1, "reruns": 0, "steps": [5, 5]}
    first = capax.run("quickstart", out=own / "run", **given)
    assert [content.name for content in first.plan.tasks["own_delay:Delay"].code] == ["own_delay.py"]
    path = own / "own_delay.py"
    path.write_text(path.read_text().replace("length=6 +", "length=6  +  # a remark\n            "))
    capax.run("quickstart", out=own / "run", **given)
    path.write_text(path.read_text().replace("squared_error(outputs, batch)", "squared_error(2 * outputs, batch)"))
    with pytest.raises(CapaxError, match=r"task own_delay:Delay: .*own_delay.py is not what this run was begun with"):
        capax.run("quickstart", out=own / "run", **given)
    assert "code of your own" in first.path.read_text()
