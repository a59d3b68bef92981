"""Scores where a question has several right answers."""

import numpy as np
import pytest

from capax.scoring import references

REFERENCES = [(tuple("abc"), tuple("abd")), (tuple("x"),), (tuple("long"), ())]


def test_any_reference_is_right():
    answers = [tuple("abd"), tuple("y"), ()]
    np.testing.assert_array_equal(references.right(REFERENCES, answers), [1, 0, 1])
    assert references.exact_match(REFERENCES, answers).value == pytest.approx(2 / 3)


def test_errors_are_those_to_the_nearest_reference():
    answers = [tuple("abx"), tuple("xyz"), tuple("lo")]
    np.testing.assert_array_equal(references.errors(REFERENCES, answers), [[1, 3], [2, 1], [2, 0]])
    assert references.error_rate(REFERENCES, answers).value == pytest.approx(5 / 4)


def test_intervals_resample_questions_not_rows():
    """Rows of one question are alike: intervals are as wide as those of its mean alone."""
    random = np.random.default_rng(0)
    values = random.normal(size=200)
    one = references.mean(values, np.ones(200), np.arange(200))
    repeated = references.mean(np.repeat(values, 5), np.ones(1000), np.repeat(np.arange(200), 5))
    assert repeated.value == pytest.approx(one.value) and repeated.low == pytest.approx(one.low)
    assert one.low < one.value < one.high
