"""Calibration, means over known values, and F1, against cases by hand."""

import numpy as np
import pytest

from capax.scoring import labels
from capax.scoring.calibration import calibration_error, reliability

CONFIDENCE = np.array([0.95, 0.85, 0.9, 0.55, 0.6, 0.2])
RIGHT = np.array([True, True, False, True, False, False])


def test_bins_hold_their_upper_ends():
    found = reliability(CONFIDENCE, RIGHT, bins=2)
    np.testing.assert_array_equal(found.items, [1, 5])
    np.testing.assert_allclose(found.accuracy, [0, 0.6])
    np.testing.assert_allclose(found.confidence, [0.2, 0.77])
    assert reliability(np.array([0.0, 0.5, 0.5001]), np.array([True, True, True]), bins=2).items.tolist() == [2, 1]


def test_an_empty_bin_has_no_accuracy():
    found = reliability(np.array([0.9]), np.array([True]), bins=2)
    assert found.items.tolist() == [0, 1] and np.isnan(found.accuracy[0])


def test_the_calibration_error_is_the_mean_distance_of_bins():
    # 5/6 |0.77 - 0.6| + 1/6 |0.2 - 0|
    assert calibration_error(CONFIDENCE, RIGHT, bins=2).value == pytest.approx(5 / 6 * 0.17 + 0.2 / 6)


def test_probabilities_that_are_true_have_a_small_error_and_overconfident_ones_a_large_one():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 4000)
    right = random.random(4000) < confidence
    true, bold = calibration_error(confidence, right), calibration_error(np.full(4000, 0.99), right)
    assert true.value < 0.03 and bold.value == pytest.approx(0.24, abs=0.02)
    assert bold.low < bold.value < bold.high


def test_the_mean_is_over_known_values_and_its_interval_over_sequences():
    values = np.array([1.0, np.nan, 3.0, 5.0])
    assert labels.mean(values).value == 3.0
    alike = np.repeat(np.random.default_rng(0).normal(size=50), 20)
    single, by_sequence = labels.mean(alike), labels.mean(alike, np.repeat(np.arange(50), 20))
    assert by_sequence.high - by_sequence.low > 3 * (single.high - single.low)
    assert np.isnan(labels.mean(np.array([np.nan])).value)


def test_f1_of_a_class_that_is_never_found_is_zero_and_of_one_that_there_is_not_does_not_count():
    truth, found = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 0])
    # class 0: 2 1 / (2 1 + 1 + 1) = 1/2; class 1: 2/3; class 3: 0; class 2 is neither
    assert labels.macro_f1(truth, found, 4).value == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
