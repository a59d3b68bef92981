"""Which network is kept: by the loss among networks of one task, by answers between tasks."""

import math
from types import SimpleNamespace

import pytest

from capax.fitting.choosing import choose
from capax.fitting.contract import Fitting, Score
from capax.scoring import Estimate


class Judge(Fitting):
    """A fitting whose answers are the networks; networks are their scores by name."""

    difference_found = Estimate(0.0, -1.0, 1.0)

    def __init__(self, task, less_is_better):
        self.task, self.columns = task, (Score("error", less_is_better),)

    def on_validation(self):
        return self

    def answers(self, network):
        return network

    def difference(self, one, other):
        return self.difference_found

    def scores(self, answers):
        return {"error": Estimate(answers, answers - 1, answers + 1)}

    def baselines(self):
        raise AssertionError("they have no say")

    examples = baselines


def kept(selection, scores, difference=None, less=True):
    tasks = {adds: SimpleNamespace(simpler=bool(adds)) for adds in ("", " + regression")}
    judges = {name: Judge(HashedTask(tasks, name), less) for name in selection}
    for judge in judges.values():
        judge.difference_found = difference
    return choose(scores, judges, selection)


class HashedTask(SimpleNamespace):
    """Equal for networks of one task."""

    def __init__(self, tasks, name):
        super().__init__(adds=" + regression" if "+" in name else "", simpler="+" in name)

    def __hash__(self):
        return hash(self.adds)


SELECTION = {"gru": 0.3, "lstm": 0.1, "gru + regression": 0.2, "lstm + regression": 0.4}
SCORES = {"gru": 1.0, "lstm": 5.0, "gru + regression": 5.2, "lstm + regression": 0.1}


def test_networks_of_one_task_are_chosen_by_the_loss_that_the_tuner_saw():
    assert kept({"gru": 0.3, "lstm": 0.2}, {"gru": 1.0, "lstm": 9.0}) == ("lstm", None)


@pytest.mark.parametrize(("less", "due"), [(True, "lstm"), (False, "gru + regression")])
def test_the_best_of_each_task_are_compared_by_their_answers(less, due):
    name, said = kept(SELECTION, SCORES, Estimate(0.2, 0.19, 0.21), less)
    assert name == due
    assert said == f"{due} is chosen. On the validation part, error: lstm 5 [4, 6]; gru + regression 5.2 [4.2, 6.2]"


@pytest.mark.parametrize(
    ("difference", "due"),
    [
        (Estimate(0.1, 0.1 - 0.196, 0.1 + 0.196), "gru + regression"),  # the standard error is .1
        (Estimate(0.101, 0.101 - 0.196, 0.101 + 0.196), "lstm"),
        (Estimate(5.0, math.nan, math.nan), "gru + regression"),  # too short a part to tell
    ],
)
def test_the_simpler_is_kept_if_it_is_at_most_a_standard_error_worse(difference, due):
    assert kept(SELECTION, SCORES, difference)[0] == due


def test_where_more_is_better_a_simpler_one_with_less_is_worse():
    scores = {**SCORES, "lstm": 6.0}
    assert kept(SELECTION, scores, Estimate(-0.8, -0.9, -0.7), less=False)[0] == "lstm"
    assert kept(SELECTION, scores, Estimate(-0.8, -3.0, 1.4), less=False)[0] == "gru + regression"
