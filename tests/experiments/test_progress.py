"""The time left: the announced one at first, the measured one in the end, compiling apart."""

import math

import pytest

from capax.experiments.cost import Cost, statement
from capax.experiments.design import load
from capax.experiments.plan import plan
from capax.experiments.progress import TRUST_SECONDS, Progress, StudyProgress
from capax.training.engine import Compiled, Compiling, Progressed


@pytest.fixture
def planned():
    return plan(load("capacity", {"budgets": [300], "depths": [1], "cells": ["rnn", "gru"], "trials": 10}))


def begin(planned, training=100.0, compiling=16.0, lanes=2):
    work = sum(study.trials * study.expected_work for study in planned.studies)
    announced = Cost(len(planned.studies), 20, 0, work, training, compiling, lanes)
    return Progress(planned, {study.name: StudyProgress(study) for study in planned.studies}, announced, lanes)


def test_at_first_the_time_left_is_what_was_announced(planned):
    progress = begin(planned)
    assert progress.seconds_left == pytest.approx(116.0)
    assert "roughly 1 min 56 s on this machine" in statement(planned, progress.announced)


def test_compiling_is_no_speed(planned):
    """Minutes of compiling before the first step: the time left stays what is announced, but for
    what is compiled."""
    progress = begin(planned)
    for _ in range(2):
        progress.note(Compiling("gru on capacity"))
    assert progress.compiling == {"gru on capacity": 2}
    progress.seconds = 300.0
    assert progress.seconds_left == pytest.approx(116.0) and math.isnan(progress.steps_per_second)
    for _ in range(2):
        progress.note(Compiled("gru on capacity", 300.0))
    assert not progress.compiling
    # Of what compiling takes a study: the mean of 16 announced lane-seconds and of two times 300.
    assert progress.seconds_left == pytest.approx(100 + (16 + 600) / 3 * 2 / 2)


def test_the_estimate_moves_from_the_announced_to_the_measured_pace(planned):
    """The machine is ten times faster than announced: 200 lane-seconds were announced, 20 are
    needed."""
    progress = begin(planned, compiling=0.0)
    study = progress.studies[planned.studies[0].name]
    work = planned.studies[0].expected_work
    pace = 20 / progress.announced.work
    estimates = [progress.seconds_left]
    for trial in range(10):
        study.done, study.work_done = trial + 1, (trial + 1) * work
        progress.note(Progressed({}, 10, seconds=work * pace, work=work))
        estimates.append(progress.seconds_left)
    assert estimates == sorted(estimates, reverse=True)
    seconds, left = 10 * work * pace, sum(each.work_left for each in progress.studies.values())
    weight = seconds / (seconds + TRUST_SECONDS)
    assert estimates[-1] == pytest.approx(left * (10 * pace) ** (1 - weight) * pace**weight / 2)
    assert (
        estimates[-1] < 3 * left * pace / 2
    )  # measured alone would say left * pace / 2, announced alone ten times that
    progress.note(Progressed({}, 10**6, seconds=10_000.0, work=10_000 / pace))
    assert progress.seconds_left == pytest.approx(left * pace / 2, rel=2e-3)


def test_speed_counts_the_seconds_in_which_lanes_train(planned):
    progress = begin(planned)
    progress.seconds = 100.0  # most of them spent compiling
    for _ in range(2):
        progress.note(Progressed({}, trial_steps=500, seconds=5.0, work=1.0))
    assert progress.steps_per_second == pytest.approx(200.0)
