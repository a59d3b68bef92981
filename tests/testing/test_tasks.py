"""Faulty tasks are told their fault; healthy ones, all built-in ones among them, pass every
check.
"""

import json

import pytest

from capax import tasks
from capax.testing import TaskConformance, examine
from capax.testing.tasks import CHECKS
from tests.testing import faulty_tasks as faulty
from tests.testing.command import check

FOUND = [
    (faulty.WrongSizes, "shapes", r"inputs has the shape \(32, 7, 1\) where the task's sizes say \(32, 7, 3\)"),
    (
        faulty.TargetsWithoutTime,
        "shapes",
        r"targets have the shape \(32,\) where \(5 scored steps, batch\) = \(5, 32\)",
    ),
    (faulty.WeightsOfAllSteps, "shapes", r"weights have the shape \(7, 32\) where \(5 scored steps, batch\)"),
    (faulty.NanInputs, "values", "inputs of a batch are not finite"),
    (faulty.NothingCounts, "values", "no step counts"),
    (faulty.NumpyNoise, "keys", "two batches of one key differ"),
    (faulty.IgnoresKey, "keys", "the key is not used"),
    (faulty.NanLoss, "loss", "loss of random outputs is nan"),
    (faulty.IgnoresOutputs, "loss", "outputs do not matter"),
    (faulty.PythonIf, "loss", "control flow cannot be traced"),
    (faulty.IgnoresMask, "mask", "where the mask is 0 change the loss"),
    (faulty.Averages, "sums", "not the sum over its parts"),
    (faulty.NoScore, "results", "scores gives no score"),
    (faulty.MissingColumn, "results", "scores gives no share"),
    (faulty.WrongDirection, "best_score", "is the direction 'maximise' right"),
    (faulty.WrongPerfect, "best_score", "where 0.5 is said to be perfect"),
    (faulty.WrongChance, "chance", "stated as 2, but"),
    (faulty.WrongChanceLoss, "chance_loss", "stated as 0.2, but"),
    (faulty.HeldOutIsTraining, "held_out", "100% of the sequences of 'train' and 'validation' are the same"),
    (faulty.HeldOutChanges, "held_out", "validation set changes with the trial's key"),
    (faulty.TakesNan, "options", "option factor takes NaN"),
    (faulty.UnusedOption, "options", "change nothing and are not documented: unused"),
    (faulty.Raises, "shapes", "raised: RuntimeError: not today"),
]

SMALL: dict[str, dict] = {
    "memory": {"numbers": 6, "batch_size": 16},
    "rcf": {"samples": 2000, "dimensions": 5},
    "parentheses": {"time_steps": 20},
    "teacher": {"time_steps": 20},
}
"""Options with which the checks are quick; the others have their defaults."""


@pytest.mark.parametrize(("task", "check", "message"), FOUND, ids=lambda part: getattr(part, "__name__", None))
def test_a_faulty_task_is_told_its_fault_by_one_check(task, check, message):
    with pytest.raises(AssertionError, match=message) as caught:
        getattr(type("TestIt", (TaskConformance,), {"task": task})(), f"test_{check}")()
    *own, line = str(caught.value).splitlines()
    assert line.startswith(check.replace("_", " ")) or own == []


class TestHealthy(TaskConformance):
    """What an author writes: a class."""

    task = faulty.Healthy


class TestWithOptions(TaskConformance):
    """Or a task with its options."""

    task = faulty.DocumentedOption(delay=1)


def test_a_task_with_few_sequences_is_not_blamed_for_meeting_them_again():
    assert [finding.message for finding in examine(faulty.FewSequences).findings if finding.message] == []


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("name", tasks.BUILT_IN)
def test_built_in_tasks_pass_every_check(name):
    found = examine(tasks.get(name, **SMALL.get(name, {})))
    assert [(finding.name, finding.message) for finding in found.findings if finding.message] == []
    assert (found.kind, len(found.findings)) == ("task", len(CHECKS))


def test_the_command_tells_a_task_from_a_cell(monkeypatch, capsys):
    code, out, _ = check([f"{faulty.__name__}:WrongSizes", "--json"], monkeypatch, capsys)
    answer = json.loads(out)
    assert (code, answer["kind"], answer["passed"]) == (2, "task", False)
    assert answer["checks"][-1]["name"] == "shapes"


def test_a_task_that_cannot_be_made_is_a_finding_with_the_users_own_line(monkeypatch, capsys):
    code, out, _ = check([f"{faulty.__name__}:RaisesWhenMade"], monkeypatch, capsys)
    assert code == 2 and 'raise RuntimeError("not at all")' in out
    assert out.splitlines()[-1].startswith("FAULT   loading") and "RuntimeError: not at all" in out
