"""Forecasts of series that go on, a row at a time: what predictions of the whole history are."""

import itertools

import jax
import numpy as np
import pandas as pd
import pytest

from capax import jobs, networks, tasks
from capax.errors import CapaxError, CapaxWarning
from capax.fitting.forecast import ForecastPredictor
from capax.fitting.forecast_history import Steps


def table(hours=260, seed=0, begin="2024-01-01", step="h"):
    random, t = np.random.default_rng(seed), np.arange(hours)
    load = 10 + 5 * np.sin(2 * np.pi * t / 24) + np.cumsum(random.normal(size=hours)) * 0.2
    frame = pd.DataFrame({"time": pd.date_range(begin, periods=hours, freq=step), "load": load})
    frame["wind"], frame["price"] = random.normal(size=hours), 3 + random.normal(size=hours)
    return frame


@pytest.fixture
def predictor(tmp_path):
    def make(frame, **options):
        path = tmp_path / f"data{len(list(tmp_path.iterdir()))}.csv"
        frame.to_csv(path, index=False)
        given = {"target": "load", "horizon": 3, "context": 8, "season": 5, **options}
        task = tasks.get("forecast", path=str(path), **given)
        network = networks.Network.create(
            "gru", inputs=task.inputs, outputs=task.outputs, units=6, key=jax.random.key(0)
        )
        return ForecastPredictor(network, jobs.from_json(task.preprocessing()))

    return make


def answer(ask):
    """A forecast, or the line that says why there is none yet."""
    try:
        return ask()
    except CapaxError as error:
        return str(error)


def assert_alike(found, due):
    if isinstance(due, str):
        assert isinstance(found, str) and due.split(": ", 1)[-1].split(" are due")[0] in found
        return
    assert list(found.columns) == list(due.columns)
    exact = [name for name in due if " q" not in name]
    pd.testing.assert_frame_equal(found[exact], due[exact], check_dtype=False)
    values, known = (part.drop(columns=exact).to_numpy() for part in (found, due))
    np.testing.assert_allclose(values, known, rtol=1e-6, atol=1e-6)


def check(predictor, rows, places, **options):
    """Push rows, and compare the answers at some places with predictions of all rows so far."""
    stream = predictor.stream(**options)
    for number, row in enumerate(rows.to_dict("records")):
        if number not in places:
            stream.take(row)
            continue
        found = answer(lambda row=row: stream.push(row))
        assert_alike(found, answer(lambda number=number: predictor.predict(rows.iloc[: number + 1], **options)))


def test_each_push_says_what_a_prediction_of_the_whole_history_says(predictor):
    check(predictor(table()), table(60, seed=3, begin="2024-03-05"), (3, 6, 7, 8, 9, 20, 21, 40, 59))


def test_gaps_missing_values_and_rows_of_one_time_are_as_in_a_prediction(predictor):
    trained = table()
    trained.loc[[50, 51, 90], "load"] = np.nan
    trained.loc[[7, 30], "wind"] = np.nan
    made = predictor(trained, covariates="wind", reference="autoregression")
    rows = table(70, seed=4, begin="2024-03-01")
    rows.loc[[0, 1, 20, 33, 34, 35, 36, 37, 38, 39, 40], "load"] = np.nan
    rows.loc[[5, 6, 20, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52], "wind"] = np.nan
    rows = rows.drop(index=[12, 13, 25, 54, 55, 56, 57, 58, 59])
    again = rows.loc[[15, 30, 36]].assign(load=[1.0, 2.0, np.nan], wind=[np.nan, 4.0, 5.0])
    rows = pd.concat([rows, again]).sort_values("time", kind="stable", ignore_index=True)
    check(made, rows, (9, 11, 12, 20, 21, 25, 29, 30, 34, 35, 50, len(rows) - 1))


def test_a_pause_longer_than_what_is_kept_keeps_the_last_known_value(predictor):
    made = predictor(table(), covariates="wind")
    rows = table(150, seed=5, begin="2024-03-01")
    rows.loc[40:80, "wind"] = np.nan
    rows = rows.drop(index=range(84, 140)).reset_index(drop=True)
    check(made, rows, (45, 79, 83, 84, 88, 93))


@pytest.mark.slow
def test_days_of_months_weekdays_counts_and_rows_without_stamps(predictor):
    months = table(200, begin="1990-01-31", step="ME")
    check(predictor(months, context=12), table(40, seed=2, begin="2010-01-31", step="ME"), (12, 39))
    weekdays = table(200, begin="2020-01-01", step="B")
    check(predictor(weekdays, context=12), table(40, seed=2, begin="2022-01-03", step="B"), (12, 39))
    counted = table().assign(time=lambda f: 10.0 * f.index)
    check(predictor(counted, time="time"), counted.iloc[:40].assign(time=lambda f: f["time"] + 50), (12, 39))
    without = table()[["load", "wind"]]
    check(predictor(without, covariates="wind"), without.iloc[:40].reset_index(drop=True), (12, 39))


def test_series_go_on_beside_each_other(predictor):
    frame = pd.concat([table(seed=1).assign(site="A"), table(seed=2).assign(site="B", load=lambda f: 50 * f["load"])])
    made = predictor(frame, series="site", quantiles=".1,.5,.9")
    stream, seen = made.stream(quantiles=[0.3, 0.5], horizon=2), []
    one, other = (frame[frame["site"] == site].iloc[:30].to_dict("records") for site in "AB")
    for row in itertools.chain.from_iterable(zip(one, other, strict=True)):
        seen.append(row)
        found = answer(lambda row=row: stream.push(row))
        if isinstance(found, str):
            assert stream.due(row["site"]) > 0 and "are due before a forecast" in found
            continue
        if len(seen) not in (20, 35, 60):
            continue
        whole = made.predict(pd.DataFrame(seen), quantiles=[0.3, 0.5], horizon=2)
        assert_alike(found, whole[whole["site"] == row["site"]].reset_index(drop=True))
    assert stream.due("A") == stream.due("B") == 0
    with pytest.raises(CapaxError, match="'C' was not among them"):
        stream.push({**one[0], "site": "C"})


def test_what_is_known_ahead_is_given_beside_the_row_or_as_rows_without_a_target(predictor):
    made = predictor(table(), future="price", covariates="wind")
    rows, stream = table(60, seed=6, begin="2024-03-01"), made.stream()
    for number in range(40):
        behind = rows.iloc[number + 1 : number + 4]
        row = rows.iloc[number].to_dict()
        form = behind if number % 2 else behind[["time", "price"]].to_dict("records")
        found = answer(lambda row=row, form=form: stream.push(row, form))
        whole = rows.iloc[: number + 4].copy()
        whole.loc[number + 1 :, ["load", "wind"]] = np.nan
        if number in (12, 13, 39):
            assert_alike(found, made.predict(whole))
    assert "'price' is known for 0 of the 3 steps" in answer(lambda: stream.push(rows.iloc[40].to_dict()))
    later = rows.iloc[41:44].assign(load=np.nan)
    for row in later.iloc[:2].to_dict("records"):
        stream.take(row)
    found = stream.push(later.iloc[2].to_dict())
    assert_alike(found, made.predict(pd.concat([rows.iloc[:41], later])))
    with pytest.raises(CapaxError, match="must lie behind the last one"):
        stream.push(rows.iloc[44].to_dict(), rows.iloc[40:43])


def test_several_targets_of_which_some_are_missing(predictor):
    made = predictor(table(), target="load,wind")
    rows = table(50, seed=7, begin="2024-03-01")
    rows.loc[[20, 21, 30], "wind"] = np.nan
    rows.loc[[21, 40, 41], "load"] = np.nan
    check(made, rows, (15, 20, 21, 22, 30, 40, 42, 49))


def test_what_is_kept_does_not_grow(predictor):
    made = predictor(table())
    stream = made.stream()
    for row in table(200, begin="2024-03-01").to_dict("records"):
        stream.take(row)
    (history,) = stream._series.values()
    assert len(history.table()) == made.preparation.reach + 1
    for row in table(200, begin="2024-05-01").assign(load=np.nan).to_dict("records"):
        stream.take(row)
    assert len(history.table()) == made.preparation.reach + 1 and len(history.behind) == 3


def test_rows_that_do_not_fit_are_refused_in_one_line(predictor):
    stream = predictor(table(), covariates="wind").stream()
    row = {"time": "2024-03-01 05:00", "load": 1.0, "wind": None}
    stream.take(row)
    for change, line in (
        ({"time": "2024-03-01 04:00"}, "takes rows in the order of time"),
        ({"time": "soon"}, "takes time stamps such as"),
        ({"time": None}, "takes time stamps such as"),
        ({"load": "much"}, "'load' is 'much', and no number"),
        ({"load": np.inf}, "infinite"),
    ):
        with pytest.raises(CapaxError, match=line) as caught:
            stream.take({**row, **change})
        assert "\n" not in str(caught.value)
    with pytest.raises(CapaxError, match="no column 'wind'"):
        stream.take({"time": "2024-03-01 06:00", "load": 1.0})
    assert stream.due() == 5 - 1


def test_stamps_with_a_zone_are_taken_in_utc_and_forecasts_are_in_that_zone(predictor):
    made, rows = predictor(table()), table(30, begin="2024-03-01")
    here, there = made.stream(), made.stream()
    for row in rows.to_dict("records"):
        one = answer(lambda row=row: here.push(row))
        stamp = row["time"].tz_localize("UTC").tz_convert("Europe/Berlin")
        other = answer(lambda row=row, stamp=stamp: there.push({**row, "time": stamp}))
        if isinstance(one, pd.DataFrame):
            assert one["time"].dt.tz is None and str(other["time"].dt.tz) == "Europe/Berlin"
            assert_alike(other.assign(time=other["time"].dt.tz_convert("UTC").dt.tz_localize(None)), one)
    assert isinstance(one, pd.DataFrame)


@pytest.mark.parametrize("written", [lambda stamp: stamp, str, lambda stamp: stamp.isoformat()])
def test_a_stream_answers_in_the_zone_in_which_a_prediction_answers(predictor, written):
    """In winter and in summer, as stamps and as texts."""
    rows = table(60, begin="2024-03-30")
    stamps = rows["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    check(predictor(table()), rows.assign(time=stamps.map(written)), (20, 59))


def test_stamps_without_a_zone_where_the_training_has_one_are_said_once(predictor):
    frame = table()
    made = predictor(frame.assign(time=frame["time"].dt.tz_localize("UTC")))
    made.reading = {"zone": True}
    stream = made.stream()
    first, second, third = frame.head(3).to_dict("records")
    with pytest.warns(CapaxWarning, match="have no zone, though those of the training have one"):
        stream.take(first)
    stream.take(second)  # warnings are errors here
    stream.take({**third, "time": third["time"].tz_localize("UTC")})


def test_steps_keep_the_last_ones_and_what_was_known_before():
    steps = Steps(2, 2)
    for row in ([1.0, 5.0], [2.0, np.nan], [np.nan, np.nan], [4.0, np.nan]):
        steps.append(np.array(row))
    np.testing.assert_array_equal(steps.table(), [[2, 5], [np.nan, np.nan], [4, np.nan]])
    steps.skip(1000)
    np.testing.assert_array_equal(steps.table(), [[4, 5], [np.nan, np.nan], [np.nan, np.nan]])
