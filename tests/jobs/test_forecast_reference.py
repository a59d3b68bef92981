"""The linear autoregression on top of which networks forecast."""

import json

import numpy as np
import pytest

from capax.errors import CapaxError
from capax.jobs import forecast_fitting_reference as fitting
from capax.jobs import forecast_reference as reference
from capax.jobs.forecast_fitting_reference import BLOCKS, Problem, block_of, possible
from capax.jobs.forecast_reference import Autoregression

LEVELS = (0.1, 0.5, 0.9)
RNG = np.random.default_rng(0)


def arrays(steps=400, begins=(0,), series=None):
    steps = steps if series is None else len(series)
    values = RNG.normal(size=(steps, 1)) if series is None else series[:, None]
    return {
        "targets": values, "last": values, "covariates": RNG.normal(size=(steps, 2)), "begins": np.array(begins),
        "phases": RNG.uniform(size=(steps, 2)), "ratio": np.full((len(begins), 1), 0.5),
    }  # fmt: skip


def test_terms_are_those_of_a_plain_loop():
    given, origins = arrays(begins=(0, 200)), np.array([3, 30, 203, 390])
    series = np.array([0, 0, 1, 1])
    found = reference.terms(np, given, series, origins, (5, 4, 3, 1), [1])
    last = given["last"][:, 0]
    for window, step in np.ndindex(4, 5):
        origin, begin = origins[window], given["begins"][series[window]]
        anchor = last[origin - 1]

        def relative(at, anchor=anchor, begin=begin):
            return last[at] - anchor if at >= begin else 0.0

        due = [1.0, anchor * 0.5, relative(origin + step % 3 - 3), relative(origin + step % 3 - 6)]
        due += [given["covariates"][origin - 1, 0], given["covariates"][origin + step, 1]]
        angle = 2 * np.pi * given["phases"][origin + step, 1]
        due += [np.sin(angle), np.cos(angle), *(relative(origin - lag) for lag in (2, 3, 4))]
        np.testing.assert_allclose(found[window, step, 0], due)
    assert found.shape[-1] == reference.count(4, 3, 1, 2)


def problem(steps, horizon, least=2):
    origins = np.arange(least, steps - horizon + 1)
    return Problem.of(np.array([0]), np.array([steps]), np.zeros_like(origins), origins, horizon)


def fitted(given, horizon=2, season=1, calendar=()):
    steps = len(given["last"])
    given = {**given, "phases": given["phases"][:, : len(calendar)], "covariates": given["covariates"][:, :0]}
    return fitting.fit(given, problem(steps, horizon), (horizon, season, 0), LEVELS, calendar, steps)


def autoregressive(steps, *weights):
    values = list(RNG.normal(size=len(weights)))
    for _ in range(steps - len(weights)):
        values.append(sum(w * values[-lag - 1] for lag, w in enumerate(weights)) + RNG.normal())
    return np.array(values)


def test_it_finds_the_weights_of_an_autoregressive_process_and_the_quantiles_of_its_noise():
    found = fitted(arrays(series=autoregressive(6000, 0.5, -0.3, 0.2))).reference
    assert found.lags == 3
    constant, level, second, third = found.arrays[0][0, 0]
    # In differences to the anchor y: 0.5 y - 0.3 (y + d2) + 0.2 (y + d3) - y; the level is y / 2.
    np.testing.assert_allclose([constant, level / 2, second, third], [0, -0.6, -0.3, 0.2], atol=0.05)
    np.testing.assert_allclose(found.arrays[1][0, 0], [-1.28, 0, 1.28], atol=0.08)
    assert found.arrays[2][0, 0] == pytest.approx(1, abs=0.03)


def test_weights_of_a_block_are_fitted_without_what_is_forecast_there():
    given = arrays(series=autoregressive(1000, 0.9))
    before, origins = fitted(given, horizon=3), np.arange(2, 998)
    where = block_of(origins, np.full(len(origins), 1000))
    assert set(where) == set(range(BLOCKS))
    for block in range(BLOCKS):
        targets = given["targets"].copy()
        inside = np.unique([origins[where == block] + step for step in range(3)])
        targets[inside] += 0.3  # inputs stay, what is to be forecast changes, and too little for another choice
        after = fitted({**given, "targets": targets}, horizon=3)
        assert after.reference.lags == before.reference.lags
        changes = np.abs(after.of_blocks - before.of_blocks).max(axis=(1, 2, 3))
        assert changes[block] == 0 and (np.delete(changes, block) > 1e-3).all()


def test_a_calendar_is_used_where_it_says_something_and_the_day_of_the_week_only_then():
    hours = np.arange(2400)
    phases = np.stack([hours / 24 % 1, hours / 168 % 1], axis=1)
    daily = 3 * np.sin(2 * np.pi * hours / 24) + RNG.normal(size=2400)
    names = ("time of day", "day of week")
    found = fitted({**arrays(series=daily), "phases": phases}, calendar=names).reference
    assert found.calendar == ("time of day",)
    weekly = daily + 3 * np.sin(2 * np.pi * hours / 168)
    found = fitted({**arrays(series=weekly), "phases": phases}, calendar=names).reference
    assert found.calendar == names


def test_values_that_are_missing_are_no_targets():
    series = autoregressive(2000, 0.8)
    given = arrays(series=series)
    targets = given["targets"].copy()
    targets[RNG.integers(0, 2000, 300)] = np.nan
    whole, found = fitted(given).reference, fitted({**given, "targets": targets}).reference
    assert found.lags == whole.lags
    np.testing.assert_allclose(found.arrays[0], whole.arrays[0], atol=0.08)


def test_a_training_part_may_be_too_short_for_one():
    assert [possible(longest, horizon=4) for longest in (70, 79, 80, 300)] == [False, False, True, True]


def made(**changes):
    given = {"weights": np.ones((1, 2, 3)), "quantiles": np.zeros((1, 2, 3)), "spread": np.ones((1, 2)), **changes}
    return Autoregression.of(2, (), given["weights"], given["quantiles"], given["spread"])


def test_it_comes_back_from_json_as_it_was():
    found = fitted(arrays(series=autoregressive(500, 0.5))).reference
    assert Autoregression.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert hash(found) == hash(Autoregression.from_json(found.to_json()))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"lags": "2"}, "'lags' must be a whole number"),
        ({"lags": 0}, "weights, quantiles, and a spread"),
        ({"calendar": 3}, "'calendar' must be texts"),
        ({"weights": [[1.0]]}, "weights, quantiles, and a spread"),
        ({"weights": [[[1.0, "x"]]]}, "this is no autoregression"),
        ({"spread": [[0.0, 1.0]]}, "above 0"),
        ({"spread": [[float("nan"), 1.0]]}, "finite"),
        ({"more": 1}, "nothing else"),
    ],
)
def test_one_that_was_changed_by_hand_is_refused_in_one_line(change, line):
    given = json.loads(json.dumps(made().to_json()))
    with pytest.raises(CapaxError) as caught:
        Autoregression.from_json({**given, **change})
    assert line in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(CapaxError, match="this is no autoregression"):
        Autoregression.from_json(3)
