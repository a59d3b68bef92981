"""Scores are those of plain loops, and their intervals cover what they say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capax.scoring import forecasts, labels, sequences
from capax.scoring.resampling import block_length, estimate

RNG = np.random.default_rng(0)
Y, F = RNG.normal(size=(40, 6)), RNG.normal(size=(40, 6))


def test_errors_of_forecasts_are_those_of_a_plain_loop():
    errors = [y - f for row, other in zip(Y, F, strict=True) for y, f in zip(row, other, strict=True)]
    assert forecasts.mae(Y, F).value == pytest.approx(sum(map(abs, errors)) / 240)
    assert forecasts.rmse(Y, F).value == pytest.approx(math.sqrt(sum(e * e for e in errors) / 240))
    assert forecasts.mase(Y, F, 2.5).value == pytest.approx(sum(map(abs, errors)) / 240 / 2.5)


def test_pinball_loss_is_that_of_a_plain_loop():
    levels, q = (0.1, 0.5, 0.9), np.sort(RNG.normal(size=(40, 6, 3)), axis=-1)
    total = 0.0
    for i, j in np.ndindex(40, 6):
        for k, a in enumerate(levels):
            total += a * (Y[i, j] - q[i, j, k]) if Y[i, j] > q[i, j, k] else (1 - a) * (q[i, j, k] - Y[i, j])
    assert forecasts.pinball(Y, q, levels).value == pytest.approx(total / (240 * 3))


def test_the_true_quantiles_have_the_least_pinball_loss_and_cover_their_share():
    y = RNG.normal(size=(400, 5))
    true = np.broadcast_to([-1.2816, 0.0, 1.2816], (400, 5, 3))
    best = forecasts.pinball(y, true, (0.1, 0.5, 0.9)).value
    for other in (true * 0.7, true * 1.4, true + 0.3):
        assert forecasts.pinball(y, other, (0.1, 0.5, 0.9)).value > best
    covered = forecasts.coverage(y, true[..., 0], true[..., 2])
    assert covered.low < 0.8 < covered.high


def test_what_is_not_known_is_not_scored():
    y = Y.copy()
    y[3, 2] = y[7] = np.nan
    known = ~np.isnan(y)
    assert forecasts.mae(y, F).value == pytest.approx(np.abs(Y - F)[known].mean())
    assert forecasts.coverage(y, F - 1, F + 1).value == pytest.approx((np.abs(Y - F) <= 1)[known].mean())
    assert math.isnan(forecasts.mae(np.full((9, 2), np.nan), np.zeros((9, 2))).value)


def test_the_naive_scale_is_the_mean_seasonal_difference():
    series = np.array([1.0, 5.0, 2.0, 9.0, 4.0, 9.0])
    assert forecasts.naive_scale(series, 2) == pytest.approx((1 + 4 + 2 + 0) / 4)
    assert forecasts.naive_scale(np.ones(9), 2) == 1.0 and forecasts.naive_scale(series, 6) == 1.0


@pytest.mark.slow
@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_intervals_cover_the_mean_of_errors_that_hang_together(memory):
    """Of 200 series each: the interval with blocks holds the true mean in about 95%, that of single
    draws does not where errors hang together.
    """
    random, inside, single = np.random.default_rng(1), 0, 0
    for seed in range(200):
        noise = random.normal(size=600)
        errors = np.empty(600)
        errors[0] = noise[0] / math.sqrt(1 - memory**2)
        for t in range(1, 600):
            errors[t] = memory * errors[t - 1] + noise[t]

        def mean(places, errors=errors):
            return float(errors[places].mean())

        found = estimate(mean, 600, block=block_length(errors), seed=seed)
        alone = estimate(mean, 600, seed=seed)
        inside += found.low <= 0 <= found.high
        single += alone.low <= 0 <= alone.high
    assert inside >= 175
    assert single >= 180 if memory == 0 else single <= 130


def test_too_few_units_have_no_interval():
    found = forecasts.mae(Y[:5], F[:5])
    assert math.isnan(found.low) and math.isnan(found.high) and str(found) == f"{found.value:.4g}"


def test_accuracy_and_f1_are_those_of_a_plain_count():
    truth, found = RNG.integers(4, size=300), RNG.integers(4, size=300)
    assert labels.accuracy(truth, found).value == pytest.approx(np.mean(truth == found))
    scores = []
    for kind in range(4):
        right = sum((truth == kind) & (found == kind))
        scores.append(2 * right / (sum(truth == kind) + sum(found == kind)))
    assert labels.macro_f1(truth, found, 4).value == pytest.approx(np.mean(scores))
    assert labels.macro_f1(truth, found, 6).value == pytest.approx(np.mean(scores))  # two classes are nowhere
    table = labels.confusion(truth, found, 4)
    assert table.sum() == 300 and table[1, 2] == sum((truth == 1) & (found == 2))


def test_steps_of_one_sequence_make_no_interval_narrower():
    right = np.repeat(RNG.integers(2, size=50), 40)  # all steps of a sequence are right, or none
    units = np.repeat(np.arange(50), 40)
    by_sequence = labels.accuracy(np.ones(2000, int), right, units)
    by_step = labels.accuracy(np.ones(2000, int), right)
    assert by_sequence.value == by_step.value
    assert by_sequence.high - by_sequence.low > 4 * (by_step.high - by_step.low)


def plain_distance(a, b):
    table = [[max(i, j) if not i or not j else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            same = a[i - 1] == b[j - 1]
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (not same))
    return table[-1][-1]


@settings(max_examples=200, deadline=None)
@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_the_edit_distance_is_that_of_the_table(a, b):
    assert sequences.edit_distance(a, b) == plain_distance(a, b)


def test_error_rate_and_exact_match():
    truth, found = ["kitten", "abc", "xy"] * 5, ["sitting", "abc", "x"] * 5
    assert sequences.error_rate(truth, found).value == pytest.approx((3 + 0 + 1) / (6 + 3 + 2))
    assert sequences.exact_match(truth, found).value == pytest.approx(1 / 3)
