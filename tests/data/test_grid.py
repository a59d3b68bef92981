"""Steps of time that stamps have in common, and rows put on their grid."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capax.data.grid import Step, find, put
from capax.errors import CapaxError

NAN = np.nan


def stamps(*texts):
    return np.array(texts, "datetime64[us]")


def every(begin, count, **step):
    return pd.date_range(begin, periods=count, **step).to_numpy().astype("datetime64[us]")


def one(count):
    return np.zeros(count, int)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (every("2024-01-01", 50, freq="h"), "1 hour"),
        (every("2024-01-01", 50, freq="15min"), "15 minutes"),
        (every("2024-01-01", 50, freq="D"), "1 day"),
        (every("2024-01-01", 50, freq="7D"), "1 week"),
        (every("2024-01-01", 50, freq="MS"), "1 month"),
        (every("2024-01-31", 50, freq="ME"), "1 month"),
        (every("2024-01-01", 50, freq="QS"), "3 months"),
        (every("2000-01-01", 20, freq="YS"), "1 year"),
        (every("2024-01-01", 50, freq="B"), "1 weekday"),
        (np.arange(50) * 2.0, "2"),
        (stamps("2024-01-01"), "1 row"),
    ],
)
def test_the_common_step_is_found_and_named(values, said):
    found = find(values, one(len(values)))
    assert str(found) == said
    if len(values) > 1:
        np.testing.assert_array_equal(found.stamps(values[0], np.arange(len(values))), values)
        np.testing.assert_array_equal(np.round(found.positions(values[0], values)), np.arange(len(values)))
    assert Step.from_json(found.to_json()) == found


def test_gaps_leave_the_step_as_it_is_and_uneven_stamps_have_none():
    hourly = every("2024-01-01", 200, freq="h")
    random = np.random.default_rng(0)
    kept = np.sort(random.choice(200, 150, replace=False))
    assert str(find(hourly[kept], one(150))) == "1 hour"
    uneven = hourly[0] + np.cumsum(random.integers(1, 10**9, 200)).astype("timedelta64[us]")
    assert find(uneven, one(200)).kind == "rows"
    events = hourly[0] + (np.cumsum(random.integers(1, 3600, 300)) * 1_000_000).astype("timedelta64[us]")
    assert find(events, one(300)).kind == "rows"


def test_steps_are_those_within_series():
    hourly = every("2024-01-01", 20, freq="h")
    both = np.concatenate([hourly, hourly[3:] + np.timedelta64(5, "D")])
    series = np.repeat([0, 1], [20, 17])
    found = find(both, series)
    assert str(found) == "1 hour"
    gridded = put(np.arange(37.0)[:, None], both, series, found)
    np.testing.assert_array_equal(gridded.offsets, [0, 20, 37])
    np.testing.assert_array_equal(gridded.firsts, both[[0, 20]])
    assert gridded.notes == ()


def test_gaps_become_missing_rows_and_doubles_their_mean():
    when = stamps("2024-01-01T00", "2024-01-01T01", "2024-01-01T01", "2024-01-01T04", "2024-01-01T05:20")
    values = np.array([[1.0, 1], [2, NAN], [4, 8], [5, 5], [6, 6]])
    gridded = put(values, when, one(5), Step("seconds", 3600.0))
    np.testing.assert_array_equal(gridded.values, [[1, 1], [3, 8], [NAN, NAN], [NAN, NAN], [5, 5], [6, 6]])
    doubles, gaps, beside = gridded.notes
    assert doubles == "1 row shares its time with a row before (first: 2024-01-01 01:00): their mean is taken"
    assert gaps.startswith("2 steps are missing on a grid of 1 hour, the first after 2024-01-01 01:00")
    assert beside.startswith("1 time stamp stands beside the grid")


def test_clocks_that_are_set_forward_and_back_leave_a_gap_and_a_double():
    utc = pd.date_range("2024-03-30", periods=24 * 250, freq="h", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").tz_localize(None).to_numpy().astype("datetime64[us]")
    order = np.argsort(local, kind="stable")
    found = find(local[order], one(len(local)))
    assert str(found) == "1 hour"
    gridded = put(np.arange(float(len(local)))[order][:, None], local[order], one(len(local)), found)
    assert len(gridded.values) == len(local) and np.isnan(gridded.values).sum() == 1
    autumn = int(np.flatnonzero(found.stamps(local[0], np.arange(len(local))) == np.datetime64("2024-10-27T02"))[0])
    assert gridded.values[autumn, 0] % 1 == 0.5


def test_local_midnights_in_universal_time_are_days():
    days = pd.date_range("2024-01-01", periods=300, freq="D", tz="Europe/Berlin")
    utc = days.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    found = find(utc, one(300))
    assert str(found) == "1 day" and len(put(np.zeros((300, 1)), utc, one(300), found).values) == 300


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.sampled_from(["h", "D", "MS", "B", "17min"]))
def test_every_known_value_comes_back_at_its_own_time(seed, count, freq):
    random = np.random.default_rng(seed)
    full = every("2023-02-01", 60, freq=freq)
    step = find(full, one(60))
    kept = np.sort(random.choice(60, count, replace=False))
    values = random.normal(size=(count, 2))
    gridded = put(values, full[kept], one(count), step)
    assert len(gridded.values) == kept[-1] - kept[0] + 1
    np.testing.assert_array_equal(gridded.values[kept - kept[0]], values)
    assert np.isnan(gridded.values[:, 0]).sum() == len(gridded.values) - count
    np.testing.assert_array_equal(step.stamps(gridded.firsts[0], kept - kept[0]), full[kept])


def test_what_is_no_step_is_refused():
    for given_ in ({"kind": "fortnights", "size": 1}, {"kind": "seconds"}, {"kind": "months", "size": 1.5}):
        with pytest.raises(CapaxError, match="step"):
            Step.from_json(given_)
    with pytest.raises(CapaxError, match="no grid"):
        Step("rows").positions(stamps("2024-01-01")[0], stamps("2024-01-01"))
