"""Statistics of comparisons against SciPy and counting."""

import itertools

import numpy as np
import pytest
from scipy import stats

from capax.report.statistics import expected_best, expected_best_band, holm, line, mean_ratio, share, welch


@pytest.mark.parametrize("sign", [1, -1])
def test_expected_best_is_the_mean_over_all_subsets(sign):
    scores = [3.0, -1.0, 2.5, 0.0, 7.0]
    best = max if sign == 1 else min
    for n, found in enumerate(expected_best(scores, sign), 1):
        subsets = [best(subset) for subset in itertools.combinations(scores, n)]
        assert found == pytest.approx(np.mean(subsets))


def test_the_band_holds_the_expected_best():
    best, low, high = expected_best_band(np.random.default_rng(0).normal(size=40), -1)
    assert np.all(low <= best + 1e-9)
    assert np.all(best[:20] <= high[:20])
    assert np.all(np.diff(best) <= 1e-12)


def test_welch_agrees_with_scipy_and_is_corrected_over_all_pairs():
    random = np.random.default_rng(1)
    samples = {
        "a": random.normal(0, 1, 20),
        "b": random.normal(1, 3, 15),
        "c": random.normal(0.2, 1, 30),
        "alone": [1.0],
    }
    found = welch(samples)
    assert [(pair.first, pair.second) for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in found:
        expected = stats.ttest_ind(samples[pair.first], samples[pair.second], equal_var=False)
        assert pair.t == pytest.approx(expected.statistic)
        assert pair.p == pytest.approx(expected.pvalue)
        assert pair.df == pytest.approx(expected.df)
        assert pair.holm >= pair.p
        assert np.sign(pair.effect) == np.sign(pair.t)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_a_line_is_found_with_its_slope_within_the_interval():
    x = np.arange(1.0, 9.0)
    noisy = 5 * x - 2 + np.random.default_rng(0).normal(0, 0.1, 8)
    fit = line(list(x), list(noisy))
    assert fit is not None
    assert fit.low < 5 < fit.high
    assert fit.r_squared > 0.999
    assert line([1.0, 2.0], [1.0, 2.0]) is None
    assert line([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


def test_ratios_and_shares_have_intervals_around_them():
    ratio, low, high = mean_ratio([2.0, 2.2, 1.8, 2.1], [1.0, 1.0, 1.1, 0.9])
    assert low < ratio < high
    assert ratio == pytest.approx(8.1 / 4.0)
    assert np.isnan(mean_ratio([2.0, 2.2], [1.0, 1.0])[1])
    assert share(0, 10)[1] == pytest.approx(0.0, abs=1e-12)
    assert share(0, 10)[2] > 0.2
