"""From a file to a prepared forecast: what the file is taken for, how it is cut, what is learned;
and what cannot be forecast is said in one line.
"""

import numpy as np
import pandas as pd
import pytest

from capax.errors import CapaxError
from capax.jobs import forecast_calendar as calendar
from capax.jobs.forecast import LEVELS
from capax.jobs.forecast_preparing import Wishes, prepare

RNG = np.random.default_rng(0)


def hourly(days=30, name="temp", seed=0, begin="2024-03-01"):
    random, hours = np.random.default_rng(seed), np.arange(24 * days)
    values = 10 + 5 * np.sin(2 * np.pi * hours / 24) + random.normal(size=len(hours))
    return pd.DataFrame({"time": pd.date_range(begin, periods=len(hours), freq="h"), name: values.round(3)})


def prepared(frame, **wishes):
    return prepare(frame, Wishes(levels=LEVELS, **wishes))


@pytest.fixture
def of_text(tmp_path):
    def call(text, **wishes):
        path = tmp_path / "data.csv"
        path.write_bytes(text.encode())
        return prepare(path, Wishes(levels=LEVELS, **wishes))

    return call


def said(found, text):
    return any(text in note for note in found.notes)


def refused(call, *given, **wishes):
    with pytest.raises(CapaxError) as caught:
        call(*given, **wishes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What a file is taken for


def test_a_target_that_looks_like_the_number_of_a_shop_is_said():
    frame = hourly(name="sales")
    shops = frame.assign(Filiale=RNG.choice([101, 102, 107], len(frame)))
    found = prepared(shops, target="Filiale")
    assert found.preparation.targets == ("Filiale",)
    line = "'Filiale' holds 3 whole numbers again and again (101, 102, 107), as the number of a shop or a station"
    assert said(found, line) and said(found, "say --series Filiale and another --target, of sales")
    assert not said(prepared(shops, target="sales"), "again and again")
    assert not said(
        prepared(shops[["time", "Filiale"]], target="Filiale"), "again and again"
    )  # nothing else to forecast
    counts = frame.assign(sold=RNG.poisson(0.7, len(frame)))
    assert not said(prepared(counts, target="sold"), "again and again")  # none sold is no number of a shop


def test_an_hourly_series_has_a_day_for_season_and_horizon_and_the_calendar_that_it_supports():
    found = prepared(hourly())
    preparation = found.preparation
    assert preparation.targets == ("temp",) and str(preparation.step) == "1 hour"
    assert (preparation.season, preparation.horizon, preparation.context) == (24, 24, 72)
    assert preparation.calendar == ("time of day", "day of week") and preparation.gaps == ()
    assert said(found, "forecast: 'temp', 24 steps of 1 hour ahead; otherwise: --horizon STEPS")
    assert said(found, "season: 24 steps; otherwise: --set season=STEPS, 1 for none")


def test_columns_that_nothing_reads_are_named():
    frame = hourly().assign(holiday=0.0, wind=np.arange(720.0) % 5)
    found = prepared(frame, target="temp", future="holiday")
    assert said(found, "not used: wind; otherwise: --covariates COLUMN, or --future COLUMN if it is known ahead")
    assert not said(prepared(frame, target="temp", future="holiday", covariates="wind"), "not used")


@pytest.mark.parametrize(
    ("step", "rows", "seasons", "horizon", "features"),
    [
        ("D", 2000, [7, 365], 7, ("day of week", "day of year")),
        ("D", 200, [7, 365], 7, ("day of week",)),
        ("MS", 200, [12], 12, ("day of year",)),
        ("QS", 80, [4], 4, ("day of year",)),
        ("YS", 60, [], 4, ()),
        ("B", 1500, [5, 261], 5, ("day of week", "day of year")),
        ("15min", 3000, [4, 96, 672, 35063], 4, ("time of day", "day of week")),
        ("7D", 300, [52], 4, ("day of year",)),
    ],
)
def test_the_calendar_of_a_step(step, rows, seasons, horizon, features):
    frame = pd.DataFrame({"time": pd.date_range("2010-01-01", periods=rows, freq=step), "x": RNG.normal(size=rows)})
    preparation = prepared(frame).preparation
    assert calendar.seasons(preparation.step) == seasons
    assert preparation.horizon == horizon and preparation.calendar == features


def test_several_targets_are_named_with_commas_and_the_only_number_is_taken():
    frame = hourly().assign(load=RNG.normal(size=720), note="x")
    found = prepared(frame, target="temp, load")
    assert found.preparation.targets == ("temp", "load") and found.panel.columns == ("temp", "load")
    line = refused(prepared, frame)
    assert "which column is to be forecast? Name it with --target COLUMN: choose of temp, load" in line
    assert prepared(frame, future="load").preparation.targets == ("temp",)
    assert "no column 'tmp' (did you mean 'temp'?)" in refused(prepared, frame, target="tmp")
    assert "'temp' is named twice" in refused(prepared, frame, target="temp", covariates="temp")
    assert "column 'note' (--target) holds text, not numbers (such as 'x')" in refused(prepared, frame, target="note")


def of_shops():
    days = pd.date_range("2024-01-01", periods=60).repeat(2)
    return pd.DataFrame({"day": days, "shop": [1.0, 2.0] * 60, "sold": np.arange(120.0) + 1000})


def test_a_column_with_another_role_tells_no_series_apart():
    found = prepared(of_shops(), target="sold")
    assert found.preparation.series == "shop" and found.preparation.targets == ("sold",)


@pytest.mark.parametrize("option", ["target", "covariates", "future"])
def test_a_column_of_text_is_called_one_where_it_tells_series_apart_too(option):
    frame = of_shops().assign(shop=["A", "B"] * 60)
    line = refused(prepared, frame, **{"target": "sold", option: "shop"})
    assert f"column 'shop' (--{option}) holds text, not numbers (such as 'A'), and tells series apart" in line


def test_numbers_with_a_sign_are_named(of_text):
    line = refused(of_text, "day;y\n" + "".join(f"{day:02}.01.2024;5.{day:03} €\n" for day in range(1, 32)), target="y")
    assert "column 'y' (--target) holds '5.001 €', which is no number; take the sign away" in line


def test_the_steps_of_several_series_are_said_to_be_those_of_all_together():
    assert said(
        prepared(of_shops(), target="sold", horizon=2),
        "split by time, in each series first training, then validation, last evaluation: 96, 12, and 12 steps of 2 series "
        "together",
    )


def test_a_column_whose_name_has_a_comma_is_found_whole():
    frame = hourly(name="load, north").assign(other=1.0)
    assert prepared(frame, target="load, north").preparation.targets == ("load, north",)


def test_series_in_long_form_are_told_apart_and_scaled_each_by_itself():
    one, other = hourly(seed=1).assign(station="A"), hourly(seed=2).assign(station="B")
    other["temp"] = 1000 + 100 * other["temp"]
    found = prepared(pd.concat([one, other]).sample(frac=1, random_state=0), target="temp")
    assert set(found.panel.names) == {"A", "B"} and found.preparation.series == "station"
    a, b = (found.preparation.scales[name] for name in "AB")
    assert 9 < a.mean[0] < 11 and 1900 < b.mean[0] < 2100 and b.change[0] > 50 * a.change[0]


def test_without_stamps_a_row_is_a_step_and_a_season_is_found_all_the_same(of_text):
    values = np.tile([5.0, 1, 2, 9, 4, 4, 7], 60) + RNG.normal(size=420) * 0.1
    found = of_text("\n".join(f"{value:.3f}" for value in values))
    preparation = found.preparation
    assert preparation.season == 7 and preparation.step.kind == "rows" and preparation.calendar == ()
    assert preparation.targets == ("column 1",) and said(found, "each row is the next time step")


@pytest.mark.parametrize("make", [lambda r, n: r.normal(size=n), lambda r, n: np.cumsum(r.normal(size=n))])
def test_noise_and_random_walks_have_no_season(make):
    found = [prepared(pd.DataFrame({"x": make(np.random.default_rng(seed), 600)})).preparation for seed in range(10)]
    assert sum(preparation.season == 1 for preparation in found) >= 9


def test_uneven_stamps_are_taken_one_after_the_other_and_it_is_said():
    stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(RNG.integers(1, 10**6, 300)), unit="s")
    found = prepared(pd.DataFrame({"time": stamps, "x": RNG.normal(size=300)}))
    assert found.preparation.step.kind == "rows" and said(
        found, "no step in common: rows are taken one after the other"
    )


# Parts


def test_parts_are_cut_by_time_and_windows_forecast_their_own_part_alone():
    frame = pd.concat([hourly(30, seed=1).assign(s="A"), hourly(50, seed=2, begin="2024-02-01").assign(s="B")])
    found = prepared(frame, target="temp", horizon=12)
    parts, panel = found.parts, found.panel
    np.testing.assert_array_equal(parts.ends - parts.evaluation, [72, 120])
    np.testing.assert_array_equal(parts.evaluation - parts.validation, [72, 120])
    for part, begins, ends in (
        ("train", parts.begins, parts.validation),
        ("validation", parts.validation, parts.evaluation),
        ("evaluation", parts.evaluation, parts.ends),
    ):
        windows = found.windows(part)
        assert (windows.origins >= begins[windows.series]).all()
        assert (windows.origins + 12 <= ends[windows.series]).all()
        if part != "train":  # every origin of the part, in the order of time
            assert len(windows.origins) == (ends - begins - 11).sum()
        times = [
            panel.stamps(int(s), np.array([o - panel.offsets[s]]))[0]
            for s, o in zip(windows.series, windows.origins, strict=True)
        ]
        assert (np.diff(times) >= np.timedelta64(0)).all()


def test_windows_are_at_most_4096_evenly_spaced():
    found = prepared(pd.DataFrame({"x": RNG.normal(size=100_000)}), horizon=5)
    origins = found.windows("evaluation").origins
    assert len(origins) == 4096 and origins[0] == 90_000 and origins[-1] == 99_995
    assert set(np.diff(origins)) <= {2, 3}


def test_short_series_are_left_out_or_refused_with_what_is_due():
    long, short = hourly(20).assign(s="A"), hourly(2).assign(s="B")
    found = prepared(pd.concat([long, short]), target="temp")
    assert found.panel.names == ("A",) and said(found, "1 series with fewer than 74 known steps left out: B")
    line = refused(prepared, short.drop(columns="s"), horizon=24)
    assert "the series has 48 steps" in line and "24 steps ahead need 74 or more" in line
    assert "1 step from its first" in refused(prepared, hourly().head(1))


# Oddities


def test_gaps_doubles_and_disorder_are_mended_and_said():
    frame = hourly()
    frame = frame.drop(index=[100, 101, 300])
    frame = pd.concat([frame, frame.iloc[[50]].assign(temp=99.0)]).sample(frac=1, random_state=1)
    found = prepared(frame)
    values = found.panel.values[:, 0]
    assert len(values) == 720 and np.flatnonzero(np.isnan(values)).tolist() == [100, 101, 300]
    assert values[50] == pytest.approx((hourly()["temp"][50] + 99) / 2)
    assert said(found, "3 steps are missing on a grid of 1 hour") and said(found, "their mean is taken")
    assert said(found, "not in the order of time") and said(found, "missing values of 'temp' are no targets")
    assert found.preparation.gaps == ("temp",)
    assert not said(found, "kept, in the order of the file")


def test_clocks_that_are_set_back_and_forward_are_one_double_and_one_gap():
    utc = pd.date_range("2024-02-01", periods=24 * 300, freq="h", tz="UTC")
    frame = pd.DataFrame({"time": utc.tz_convert("Europe/Berlin").tz_localize(None), "x": RNG.normal(size=len(utc))})
    found = prepared(frame)
    assert len(found.panel.values) == len(utc) and np.isnan(found.panel.values).sum() == 1
    assert said(found, "1 row shares its time") and said(found, "1 step is missing")


def test_missing_ends_are_no_part_of_a_series():
    frame = hourly()
    frame.loc[:9, "temp"] = np.nan
    frame.loc[700:, "temp"] = np.nan
    found = prepared(frame)
    assert len(found.panel.values) == 690 and found.panel.firsts[0] == np.datetime64("2024-03-01T10")
    assert found.preparation.gaps == ()


def test_a_target_without_any_value_is_refused_and_a_constant_one_is_not(of_text):
    line = refused(of_text, "time,x,y\n" + "".join(f"2024-01-{d:02},,{d}\n" for d in range(1, 29)), target="x")
    assert "column 'x' (--target) has no value at all" in line
    nothing = hourly().assign(temp=np.nan, other=1.0)
    assert "'temp'" in refused(prepared, nothing, target="temp")
    found = prepared(hourly().assign(temp=7.0))
    assert found.preparation.season == 1 and found.preparation.scales[""].change == (1.0,)


def test_decimal_commas_thousands_and_missing_headers_are_read(of_text):
    lines = [f"{day:02}.01.2024;1.{100 + day},5" for day in range(1, 32)]
    found = of_text("\n".join(lines), horizon=3)
    assert found.panel.values[:3, 0].tolist() == [1101.5, 1102.5, 1103.5]
    assert str(found.preparation.step) == "1 day" and found.preparation.targets == ("column 2",)


def test_series_of_a_numpy_file_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", north=RNG.normal(size=(200, 2)), south=RNG.normal(size=(90, 2)))
    found = prepare(tmp_path / "a.npz", Wishes(levels=LEVELS, target="feature 2", horizon=3))
    assert found.panel.names == ("north", "south") and found.panel.lengths.tolist() == [200, 90]


@pytest.mark.parametrize(
    ("count", "kind"),
    [(1_000_000, "parquet"), *(pytest.param(10_000_000, kind, marks=pytest.mark.slow) for kind in ("parquet", "csv"))],
)
def test_millions_of_rows_are_prepared(tmp_path, count, kind):
    frame = pd.DataFrame({
        "time": np.tile(pd.date_range("2000-01-01", periods=count // 4, freq="h"), 4),
        "site": np.repeat(["a", "b", "c", "d"], count // 4),
        "x": RNG.normal(size=count) + 5 * np.sin(2 * np.pi * np.arange(count) / 24),
    })  # fmt: skip
    path = tmp_path / f"big.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False, float_format="%.3f")
    found = prepare(path, Wishes(levels=LEVELS, target="x"))
    arrays = found.preparation.arrays(found.panel)
    assert len(found.panel.values) == count and found.preparation.season == 24
    assert sum(array.nbytes for array in arrays.values()) < 40 * count
