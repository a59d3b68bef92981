"""The expected work of a study follows what the design fixes."""

from capax.experiments.design import load
from capax.experiments.plan import plan


def work(**hyperparameters):
    found = plan(
        load(
            "capacity",
            {
                "cells": ["rnn"],
                "depths": [1],
                "budgets": [400],
                "steps": [100, 100],
                "hyperparameters": hyperparameters,
            },
        )
    )
    (study,) = found.studies
    return study.expected_work, study.shape.parameters


def test_a_fixed_batch_size_is_what_a_step_goes_through():
    found, parameters = work(batch_size=256)
    assert found == 100 * 256 * 5 * parameters


def test_listed_batch_sizes_count_by_their_mean():
    found, parameters = work(batch_size=[128, 512])
    mean = found / (100 * 5 * parameters)
    assert 128 < mean < 512 and abs(mean - 320) < 60  # 100 draws


def test_without_minibatches_a_step_goes_through_the_whole_set():
    found, parameters = work(samples_per_parameter=3.5)
    assert found == 100 * 1440 * 5 * parameters  # 3.5 samples for each of 375 parameters, in draws of 720
