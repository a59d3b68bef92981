import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import capax
from capax.errors import CapaxError

SMALL = {"cells": ("rnn",), "budget": 300, "trials": 1, "steps": 20, "context": 12}
TRAINED, HORIZON = 140, 6
DAYS = pd.date_range("2024-01-01", periods=170, freq="D", name="day")


def sales():
    """A weekly holiday that lifts sales, and a covariate that is known only afterwards."""
    random = np.random.default_rng(0)
    holiday = (np.arange(len(DAYS)) % 7 == 0).astype(float)
    y = pd.Series(3 * holiday + 0.1 * random.normal(size=len(DAYS)), index=DAYS, name="sales")
    return pd.DataFrame({"holiday": holiday, "visitors": random.normal(size=len(DAYS))}, index=DAYS), y


X, Y = sales()


@pytest.fixture(scope="module")
def fitted():
    return capax.Forecaster(HORIZON, future=["holiday"], season=7, **SMALL).fit(X[:TRAINED], Y[:TRAINED])


def test_forecasts_are_those_of_the_model_behind_the_training_data(fitted):
    found = fitted.predict(X[TRAINED : TRAINED + HORIZON])
    assert found.name == "sales" and list(found.index) == list(DAYS[TRAINED : TRAINED + HORIZON])
    table = X.assign(sales=Y)
    table.loc[DAYS[TRAINED] :, ["sales", "visitors"]] = np.nan
    direct = fitted.model_.predict(table[: TRAINED + HORIZON])
    np.testing.assert_array_equal(found, direct["sales q0.5"])


def test_rows_before_and_what_is_not_known_ahead_change_nothing(fitted):
    ahead = X[TRAINED : TRAINED + HORIZON]
    pd.testing.assert_series_equal(fitted.predict(X), fitted.predict(ahead))
    pd.testing.assert_series_equal(fitted.predict(ahead.assign(visitors=1e6)), fitted.predict(ahead))
    pd.testing.assert_series_equal(fitted.predict(ahead[:2]), fitted.predict(ahead)[:2])
    assert (fitted.predict(ahead.assign(holiday=5.0)) != fitted.predict(ahead)).any()


def test_covariates_without_time_stamps_follow_the_history_step_by_step(fitted):
    ahead = X[TRAINED : TRAINED + HORIZON]
    pd.testing.assert_series_equal(fitted.predict(ahead.reset_index(drop=True)), fitted.predict(ahead))


def test_another_history_is_forecast_from_its_end(fitted):
    again = fitted.predict(X[: TRAINED + HORIZON], y=Y[:TRAINED])
    pd.testing.assert_series_equal(again, fitted.predict(X))
    earlier = fitted.predict(X[: 100 + HORIZON], y=Y[:100])
    assert list(earlier.index) == list(DAYS[100 : 100 + HORIZON])


def test_quantiles_are_in_order_and_the_median_is_the_forecast(fitted):
    found = fitted.predict_quantiles(X)
    assert list(found) == [f"sales q{level}" for level in ("0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95")]
    assert (np.diff(found.to_numpy(), axis=1) >= 0).all()
    np.testing.assert_array_equal(found["sales q0.5"], fitted.predict(X))
    assert list(fitted.predict_quantiles(X, quantiles=(0.2, 0.8))) == ["sales q0.2", "sales q0.8"]


def test_the_score_is_that_of_forecasts_from_every_origin(fitted):
    steps = 2 * HORIZON + 3
    errors = []
    for origin in range(TRAINED, TRAINED + steps, HORIZON):
        found = fitted.predict(X[: origin + HORIZON], y=Y[:origin])
        truth = Y[origin : min(origin + HORIZON, TRAINED + steps)]
        errors.extend(np.abs(found[: len(truth)].to_numpy() - truth.to_numpy()))
    part = slice(TRAINED, TRAINED + steps)
    assert len(errors) == steps
    # Windows of one batch against one at a time, in single precision.
    assert fitted.score(X[part], Y[part]) == pytest.approx(-np.mean(errors), rel=1e-5)
    with pytest.raises(ValueError, match="score takes what came later"):
        fitted.score(X[:20], Y[:20])


def test_the_attributes_say_what_was_fitted(fitted):
    assert fitted.horizon_ == HORIZON and fitted.n_features_in_ == 2
    assert list(fitted.feature_names_in_) == ["holiday", "visitors"]
    assert fitted.scores_["name"][0] == "rnn" and len(fitted.scores_) > 2
    assert "MAE" in fitted.verdict_[0]


@pytest.mark.parametrize("keep", ["pickle", "joblib"])
def test_a_kept_estimator_gives_the_same_bits(fitted, keep, tmp_path):
    if keep == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
    pd.testing.assert_frame_equal(again.predict_quantiles(X), fitted.predict_quantiles(X))
    pd.testing.assert_frame_equal(again.scores_, fitted.scores_)


def test_a_pickle_holds_the_model_as_the_bytes_of_its_file(fitted, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(fitted.__getstate__()["model_"])
    assert capax.load(tmp_path / "model.safetensors").card == fitted.model_.card
    with pytest.raises(CapaxError, match="its model is not the bytes of a model file"):
        capax.Forecaster().__setstate__({"model_": "code"})


@pytest.mark.slow
def test_a_pipeline_is_cross_validated_over_time():
    chain = make_pipeline(StandardScaler(), capax.Forecaster(HORIZON, future=["x0"], season=7, **SMALL))
    scores = cross_val_score(chain, X[:120], Y[:120], cv=TimeSeriesSplit(n_splits=2, test_size=2 * HORIZON))
    assert scores.shape == (2,) and (scores < 0).all() and np.isfinite(scores).all()


@pytest.mark.slow
def test_several_targets_without_time_stamps():
    y = np.stack([np.arange(120) % 7, np.arange(120) % 5], axis=1)
    model = capax.Forecaster(4, season=1, **SMALL).fit(None, y)
    assert model.predict().shape == (4, 2) and model.predict(np.zeros((3, 1))).shape == (3, 2)
    quantiles = model.predict_quantiles(y=y[:60], quantiles=[0.5])
    assert list(quantiles) == ["y0 q0.5", "y1 q0.5"] and list(quantiles.index) == [60, 61, 62, 63]
    assert model.score(None, y[:8]) < 0


def test_before_fit_there_is_no_forecast():
    with pytest.raises(NotFittedError):
        capax.Forecaster().predict()
    with pytest.raises(NotFittedError):
        capax.Forecaster().score(None, Y)


@pytest.mark.parametrize(
    ("X", "y", "line"),
    [
        (None, None, "y is missing"),
        (X[:9], Y[:10], "X has 9 rows and y has 10"),
        (X.set_axis(DAYS + pd.Timedelta("1h")), Y, "different time stamps"),
        (X.assign(sales=1.0), Y, "column 'sales' stands in X and in y"),
        (X.assign(town="Ulm"), Y, "column 'town' holds no numbers"),
        (X.drop(columns="holiday"), Y, "future: X has no column 'holiday'"),
        (X.rename(columns={"visitors": "a,b"}), Y, "has a comma in its name"),
        (X.rename(columns={"visitors": "day"}), Y, "both named 'day'"),
        (X[:3], Y[:3], "too short|too few|steps"),
    ],
)
def test_data_that_do_not_fit_are_one_line_and_a_value_error(X, y, line):
    with pytest.raises(ValueError, match=line) as found:
        capax.Forecaster(HORIZON, future=["holiday"], **SMALL).fit(X, y)
    assert isinstance(found.value, CapaxError) and "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("X", "y", "line"),
    [
        (None, None, "in which holiday is known"),
        (X[:TRAINED], None, "X has no row behind 2024-05-19"),
        (X[TRAINED:].reset_index(drop=True), None, "30 rows, and 6 steps are forecast"),
        (X[["holiday"]][TRAINED:], None, "'visitors' is missing"),
        (X[:50], Y[:60], "X has 50 rows for a history of 60"),
        (X.reset_index(drop=True)[:60], Y.reset_index(drop=True)[:50], "must have a DatetimeIndex"),
        (X[:60], pd.DataFrame({"a": Y[:50], "b": Y[:50]}), "y has 2 columns; the model was trained on 1"),
    ],
)
def test_new_data_of_another_kind_are_one_line(fitted, X, y, line):
    with pytest.raises(ValueError, match=line):
        fitted.predict(X, y)
