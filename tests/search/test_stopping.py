"""The stopping rule: who goes on from a rung."""

import math

import pytest

from capax.search.stopping import FRACTIONS, KEEP, SAYS, converged, kept, rungs


def test_rungs_are_the_same_fractions_of_every_trial():
    assert rungs("halving", 3200) == (100, 400, 1600)
    assert rungs("halving", 6400) == (200, 800, 3200)
    assert rungs("none", 3200) == ()


@pytest.mark.parametrize("steps", [1, 2, 3, 17, 33])
def test_a_short_trial_has_as_many_rungs_and_never_one_past_its_end(steps):
    found = rungs("halving", steps)
    assert len(found) == len(FRACTIONS)
    assert list(found) == sorted(found) and found[0] >= 1 and found[-1] <= steps


def test_the_best_third_goes_on():
    assert kept({1: 0.1, 2: 0.9, 3: 0.5, 4: 0.4, 5: 0.8, 6: 0.3}, []) == {2, 5}
    assert math.isclose(KEEP, 1 / 3)


def test_the_first_trial_goes_on_whatever_it_scores():
    assert kept({0: -5.0}, []) == {0}


def test_earlier_trials_count_and_are_not_decided_again():
    assert kept({7: 0.5, 8: 0.1}, [0.9, 0.8, 0.2, 0.3]) == set()
    assert kept({7: 0.85, 8: 0.1}, [0.9, 0.8, 0.2, 0.3]) == {7}


def test_equal_scores_share_a_fate():
    assert kept({1: 1.0, 2: 1.0, 3: 1.0}, []) == {1, 2, 3}


@pytest.mark.parametrize("bad", [-math.inf, math.nan])
def test_what_diverged_counts_as_the_worst_and_never_goes_on(bad):
    assert kept({1: bad, 2: 0.1, 3: bad, 4: bad}, []) == {2}
    assert kept({1: bad, 2: bad}, []) == set()


def test_no_trials_no_decision():
    assert kept({}, []) == set()


def test_a_trial_has_converged_when_no_answer_can_be_wrong():
    # A wrong answer costs at least ln 2 = .693 nats.
    right = {"fraction_correct": 1.0, "samples": 100.0}
    assert converged({**right, "loss": 0.0069})
    assert not converged({**right, "loss": 0.0070})
    assert not converged({"fraction_correct": 0.99, "samples": 100.0, "loss": 0.001})
    assert not converged({"score": 1.5, "loss": 1e-9})  # a task that does not memorise


def test_the_rules_are_stated():
    assert "1/32, 1/8, and 1/2" in SAYS["halving"] and FRACTIONS == (1 / 32, 1 / 8, 1 / 2)
    assert "best third" in SAYS["halving"]
    assert SAYS["none"].startswith("Stopping: none")
