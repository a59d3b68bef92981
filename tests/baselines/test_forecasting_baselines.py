"""Forecasts without a network: what they see, what they say, and that they find what is linear."""

import numpy as np
import pytest

from capax.baselines.forecasting import LinearAutoregression, SeasonalNaive, filled, quantiles
from capax.errors import CapaxError

RNG = np.random.default_rng(0)
T = np.arange(400)
SEASONAL = 10 + 3 * np.sin(2 * np.pi * T / 12) + RNG.normal(size=400) * 0.1


def test_missing_values_become_the_last_known_one():
    nan = np.nan
    np.testing.assert_array_equal(filled(np.array([nan, 2, nan, nan, 5, nan])), [2, 2, 2, 2, 5, 5])
    with pytest.raises(CapaxError, match="without any value"):
        filled(np.full(3, nan))


def test_persistence_and_seasonal_naive_repeat_what_was():
    series = np.arange(20.0)
    np.testing.assert_array_equal(SeasonalNaive(1).forecast(series, np.array([5, 9]), 3), [[4] * 3, [8] * 3])
    np.testing.assert_array_equal(SeasonalNaive(4).forecast(series, np.array([8]), 6), [[4, 5, 6, 7, 4, 5]])
    assert SeasonalNaive(1).name == "persistence" and SeasonalNaive(24).name == "seasonal naive (24)"
    with pytest.raises(CapaxError, match="needs 4 values before a forecast; an origin has 3"):
        SeasonalNaive(4).forecast(series, np.array([3, 8]), 2)


@pytest.mark.parametrize("make", [lambda s: SeasonalNaive(12), lambda s: LinearAutoregression.fit(s[:300], 6, 12)])
def test_a_forecast_sees_nothing_from_its_origin_on(make):
    baseline, origins = make(SEASONAL), np.array([320, 350])
    before = baseline.forecast(SEASONAL, origins, 6)
    changed = SEASONAL.copy()
    changed[350:] = RNG.permutation(changed[350:]) + 100
    np.testing.assert_array_equal(before[1], baseline.forecast(changed, origins, 6)[1])


def test_linear_autoregression_finds_a_linear_recurrence_exactly():
    series = np.empty(300)
    series[:2] = 5.0, 7.0
    for t in range(2, 300):
        series[t] = 1.6 * series[t - 1] - 0.7 * series[t - 2] + 0.5
    fitted = LinearAutoregression.fit(series[:60], 4, 1, lags=2)
    found = fitted.forecast(series, np.array([70, 80]), 4)
    np.testing.assert_allclose(found, [series[70:74], series[80:84]], atol=1e-3)


def test_linear_autoregression_is_better_than_naive_forecasts_of_a_seasonal_series_with_memory():
    noise = np.zeros(1200)
    for t in range(1, 1200):
        noise[t] = 0.9 * noise[t - 1] + RNG.normal() * 0.3
    series = 10 + 3 * np.sin(2 * np.pi * np.arange(1200) / 24) + noise
    origins = np.arange(900, 1190)
    truth = np.stack([series[origins + step] for step in range(6)], axis=1)
    error = {
        baseline.name: np.abs(truth - baseline.forecast(series, origins, 6)).mean()
        for baseline in (SeasonalNaive(1), SeasonalNaive(24), LinearAutoregression.fit(series[:900], 6, 24))
    }
    assert error["linear autoregression"] < 0.8 * min(error["persistence"], error["seasonal naive (24)"])


def test_a_constant_series_is_forecast_as_constant():
    fitted = LinearAutoregression.fit(np.full(100, 7.0), 3, 1)
    np.testing.assert_allclose(fitted.forecast(np.full(100, 7.0), np.array([50]), 3), 7.0, atol=1e-6)


def test_short_series_get_fewer_lags_and_the_shortest_are_refused():
    assert LinearAutoregression.fit(RNG.normal(size=40), 2, 1).lags < 8
    with pytest.raises(CapaxError, match="5 values are too few"):
        LinearAutoregression.fit(RNG.normal(size=5), 4, 1)
    with pytest.raises(CapaxError, match="fitted for 2 steps ahead, not 3"):
        LinearAutoregression.fit(SEASONAL, 2, 1).forecast(SEASONAL, np.array([100]), 3)


def errors_of(baseline, origins, horizon):
    truth = np.stack([SEASONAL[origins + step] for step in range(horizon)], axis=1)
    return truth - baseline.forecast(SEASONAL, origins, horizon)


def test_quantiles_of_errors_cover_their_share_of_what_comes():
    baseline = LinearAutoregression.fit(SEASONAL[:200], 3, 12)
    spread = quantiles(errors_of(baseline, np.arange(200, 297), 3), (0.1, 0.5, 0.9))
    later = errors_of(baseline, np.arange(300, 397), 3)
    inside = (spread[:, 0] <= later) & (later <= spread[:, 2])
    assert 0.7 < inside.mean() < 0.9


def test_quantiles_of_few_errors_are_those_of_all_steps_and_of_too_few_unknown():
    errors = RNG.normal(size=(10, 3))
    np.testing.assert_allclose(quantiles(errors, (0.5,))[:, 0], np.median(errors))
    errors[3:] = np.nan
    assert np.isnan(quantiles(errors, (0.5,))).all()
