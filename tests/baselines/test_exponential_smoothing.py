"""Exponential smoothing: its own recursion gives what statsmodels gives, from any origin."""

import warnings

import numpy as np
import pytest

from capax.baselines.exponential_smoothing import ExponentialSmoothing, _fitted, can_have
from capax.errors import CapaxError

RNG = np.random.default_rng(0)
T = np.arange(400)
SERIES = 20 + 0.02 * T + 4 * np.sin(2 * np.pi * T / 12) + np.cumsum(RNG.normal(size=400)) * 0.3


@pytest.mark.parametrize("season", [1, 12])
def test_forecasts_are_those_of_statsmodels(season):
    fitted, peer = ExponentialSmoothing.fit(SERIES[:300], season), _fitted(SERIES[:300], season)
    found = fitted.forecast(SERIES, np.array([300]), 30)
    np.testing.assert_allclose(found[0], peer.forecast(30), rtol=1e-6)
    one_ahead = fitted.forecast(SERIES, np.arange(60, 300), 1)[:, 0]
    np.testing.assert_allclose(one_ahead, peer.fittedvalues[60:], rtol=1e-6)


@pytest.mark.parametrize("season", [1, 12])
def test_later_origins_are_what_statsmodels_says_of_a_longer_series_with_the_same_parameters(season):
    fitted, peer = ExponentialSmoothing.fit(SERIES[:300], season), _fitted(SERIES[:300], season)
    seasonal = {} if season == 1 else {"seasonal": "add", "seasonal_periods": 12, "initial_seasonal": fitted.seasonal}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel

        longer = ETSModel(
            SERIES[:370], trend="add", damped_trend=True, initialization_method="known",
            initial_level=fitted.level, initial_trend=fitted.trend, **seasonal,
        )  # fmt: skip
        smoothed = longer.smooth(peer.params)
    found = fitted.forecast(SERIES, np.array([370, 330, 370]), 5)
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose(found[0], smoothed.forecast(5), rtol=1e-6)


def test_a_forecast_sees_nothing_from_its_origin_on():
    fitted, changed = ExponentialSmoothing.fit(SERIES[:300], 12), SERIES.copy()
    changed[350:] = 1e6
    before = fitted.forecast(SERIES, np.array([340, 350]), 6)
    np.testing.assert_array_equal(before, fitted.forecast(changed, np.array([340, 350]), 6))


def test_a_pure_season_is_continued():
    series = 5 + np.tile([1.0, -2.0, 0.5, 0.5], 40)
    series[1::7] += RNG.normal(size=len(series[1::7])) * 1e-3
    fitted = ExponentialSmoothing.fit(series, 4)
    found = fitted.forecast(np.concatenate([series, series[:8]]), np.array([160]), 8)
    np.testing.assert_allclose(found[0], 5 + np.tile([1.0, -2.0, 0.5, 0.5], 2), atol=0.02)


def test_a_constant_series_stays_and_gaps_are_filled():
    fitted = ExponentialSmoothing.fit(np.full(50, 3.0), 5)
    np.testing.assert_allclose(fitted.forecast(np.full(60, 3.0), np.array([55]), 4), 3.0)
    gaps = SERIES.copy()
    gaps[[10, 11, 200]] = np.nan
    assert np.isfinite(ExponentialSmoothing.fit(gaps[:300], 12).forecast(gaps, np.array([310]), 4)).all()


def test_seasons_that_are_too_long_are_left_out_and_short_series_refused():
    assert ExponentialSmoothing.fit(SERIES[:300], 365).season == 1 and not can_have(365, 10_000)
    assert ExponentialSmoothing.fit(SERIES[:30], 12).season == 1 and can_have(12, 36)
    with pytest.raises(CapaxError, match="11 values are too few"):
        ExponentialSmoothing.fit(SERIES[:11], 1)


def test_of_long_series_the_last_values_are_fitted():
    long = np.tile(SERIES, 12)
    fitted = ExponentialSmoothing.fit(long, 12)
    assert fitted.begin == 800
    with pytest.raises(CapaxError, match="needs 824 values"):
        fitted.forecast(long, np.array([823]), 1)
