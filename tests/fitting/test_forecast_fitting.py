"""How forecasts are scored on the evaluation part, by hand-made answers; and forecasts of new
data.
"""

from unittest.mock import Mock

import jax
import numpy as np
import pandas as pd
import pytest

from capax import jobs, networks, tasks
from capax.baselines.exponential_smoothing import ExponentialSmoothing
from capax.baselines.forecasting import SeasonalNaive
from capax.errors import CapaxError, CapaxWarning
from capax.fitting.forecast import ForecastFitting, ForecastPredictor, at_levels
from capax.fitting.forecast_baselines import REGRESSION
from capax.fitting.loaded import LoadedModel
from capax.fitting.outcome import Contender, Outcome, ScoreColumn
from capax.report.fit_figures.forecast import draw as draw_forecast
from capax.training.model import Card

RNG = np.random.default_rng(0)


def table(hours=600, seed=0, begin="2024-01-01"):
    random, t = np.random.default_rng(seed), np.arange(hours)
    load = 10 + 5 * np.sin(2 * np.pi * t / 24) + np.cumsum(random.normal(size=hours)) * 0.2
    frame = pd.DataFrame({"time": pd.date_range(begin, periods=hours, freq="h"), "load": load})
    frame["wind"], frame["price"] = random.normal(size=hours), 3 + random.normal(size=hours)
    return frame


@pytest.fixture
def task(tmp_path):
    def make(frame=None, **options):
        path = tmp_path / f"data{len(list(tmp_path.iterdir()))}.csv"
        (table() if frame is None else frame).to_csv(path, index=False)
        return tasks.get("forecast", path=str(path), **{"target": "load", "horizon": 5, "context": 30, **options})

    return make


def truth_of(task):
    """What came on the evaluation windows, by loops."""
    prepared, horizon = task.prepared, task.preparation.horizon
    windows, count = prepared.windows("evaluation"), len(task.preparation.targets)
    return np.array([prepared.panel.values[o : o + horizon, :count] for o in windows.origins])


def network_of(task, seed=0):
    return networks.Network.create(
        "gru", inputs=task.inputs, outputs=task.outputs, units=6, key=jax.random.key(seed)
    )  # fmt: skip


# Scores


def test_scores_are_those_of_a_plain_loop(task):
    made = task()
    truth, levels = truth_of(made)[..., 0], made.levels
    answers = np.sort(truth[..., None] + RNG.normal(size=(*truth.shape, 7)), axis=-1)[:, :, None]
    found, q = ForecastFitting(made).scores(answers), answers[:, :, 0]
    error = truth - q[..., levels.index(0.5)]
    training = made.prepared.panel.values[: made.prepared.parts.validation[0], 0]
    scale = np.mean([abs(training[t] - training[t - 24]) for t in range(24, len(training))])
    assert list(found) == ["MAE", "RMSE", "MASE", "pinball loss", "coverage of 80%", "coverage of 90%"]
    assert found["MAE"].value == pytest.approx(np.abs(error).mean())
    assert found["RMSE"].value == pytest.approx(np.sqrt((error**2).mean()))
    assert found["MASE"].value == pytest.approx(np.abs(error).mean() / scale)
    losses = [np.maximum(a * (truth - q[..., n]), (a - 1) * (truth - q[..., n])) for n, a in enumerate(levels)]
    assert found["pinball loss"].value == pytest.approx(np.mean(losses))
    assert found["coverage of 80%"].value == pytest.approx(((q[..., 1] <= truth) & (truth <= q[..., 5])).mean())
    assert found["MAE"].low < found["MAE"].value < found["MAE"].high


def test_differences_are_in_pairs(task):
    made = task()
    fitting, truth = ForecastFitting(made), truth_of(made)
    hard = RNG.normal(size=truth.shape) * np.linspace(0, 9, len(truth))[:, None, None]
    one, other = (np.repeat((truth + hard * by)[..., None], 7, axis=-1) for by in (1.1, 1.0))
    found = fitting.difference(one, other)
    assert found.value == pytest.approx(0.1 * np.abs(hard).mean()) and found.low > 0
    assert fitting.difference(one, one).value == 0


def test_of_several_targets_each_has_its_error_and_units_do_not_mix(task):
    frame = table().assign(big=lambda f: 1e6 * f["load"] + RNG.normal(size=600) * 1e6)
    made = task(frame, target="load,big")
    fitting, truth = ForecastFitting(made), truth_of(made)
    answers = np.repeat((truth + RNG.normal(size=truth.shape) * [1, 1e6])[..., None], 7, axis=-1)
    found = fitting.scores(answers)
    assert fitting.columns[0].name == "MASE" and "MAE" not in found
    assert found["MAE of load"].value == pytest.approx(np.abs(truth - answers[..., 3])[..., 0].mean())
    naive = [
        np.mean(np.abs(c[24:] - c[:-24])) for c in made.prepared.panel.values[: made.prepared.parts.validation[0]].T
    ]
    assert found["MASE"].value == pytest.approx((np.abs(truth - answers[..., 3]) / naive).mean())
    assert fitting.difference(answers, answers).value == 0


def test_examples_are_the_answers_beside_the_truth(task):
    frame = pd.concat([table(seed=1).assign(site="A"), table(300, seed=2).assign(site="B")])
    made = task(frame, series="site")
    fitting, truth = ForecastFitting(made), truth_of(made)
    shown = fitting.examples(np.repeat(truth[..., None], 7, axis=-1))
    assert list(shown.columns[:6]) == ["series", "origin", "time", "step", "target", "truth"]
    assert set(shown["series"]) == {"A", "B"} and shown["step"].max() == 5
    row = shown.iloc[7]
    of_site = frame[frame["site"] == row["series"]].set_index("time")["load"]
    assert row["truth"] == row["q0.5"] == pytest.approx(of_site[row["time"]])
    assert row["time"] - row["origin"] == pd.Timedelta(hours=row["step"] - 1)


def test_a_networks_answers_are_its_outputs_in_the_unit_of_the_target(task):
    made = task(table().iloc[:400])
    network, prepared = network_of(made), made.prepared
    answers = ForecastFitting(made).answers(network)
    windows, scale = prepared.windows("evaluation"), prepared.preparation.scales[""]
    data = made.data(0)
    batch = made.batch_at(data, "evaluation", jax.random.key(0), jax.numpy.asarray(0), {})
    outputs = np.asarray(network(batch.public(made.first).inputs))[:, made.first :]
    before = prepared.panel.values[windows.origins - 1, 0]
    due = before[:32, None, None] + np.sort(outputs, axis=-1)[: len(before)] * scale.change[0]
    np.testing.assert_allclose(answers[:32, :, 0], due, rtol=1e-4)
    assert (np.diff(answers, axis=-1) >= 0).all()


# Baselines


def test_baselines_are_named_and_forecast_as_they_do_alone(task):
    made = task()
    fitting = ForecastFitting(made)
    found = dict(fitting.baselines())
    names = ["persistence", "seasonal naive (24)", "linear autoregression", REGRESSION, "exponential smoothing"]
    assert list(found) == names and fitting.notes == []
    panel, windows = made.prepared.panel, made.prepared.windows("evaluation")
    series, end = panel.values[:, 0], int(made.prepared.parts.validation[0])
    for baseline in (SeasonalNaive(1), SeasonalNaive(24), ExponentialSmoothing.fit(series[:end], 24)):
        points = baseline.forecast(series, windows.origins, 5)
        shift = found[baseline.name][:, :, 0] - points[..., None]
        np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-9)
    for name in names:
        covered = fitting.scores(found[name])["coverage of 80%"].value
        assert 0.5 < covered <= 1.0, name


def test_the_regression_reads_what_is_known_ahead_and_before_and_the_unit_of_each_series(task):
    one, other = table(seed=1).assign(site="A"), table(seed=2).assign(site="B")
    for frame in (one, other):
        frame["load"] += 4 * frame["price"] + 4 * frame["wind"].shift(5, fill_value=0.0)
    other["load"] = 1000 * other["load"]
    made = task(pd.concat([one, other]), series="site", future="price", covariates="wind")
    fitting = ForecastFitting(made)
    error = {name: fitting.scores(found)["MASE"].value for name, found in fitting.baselines()}
    assert error[REGRESSION] < 0.75 * min(value for name, value in error.items() if name != REGRESSION)
    alone = ForecastFitting(task(pd.concat([one, other]), series="site"))
    assert dict(alone.baselines())[REGRESSION].shape == (len(made.prepared.windows("evaluation").origins), 5, 1, 7)


def test_baselines_of_several_series_in_different_units_share_their_errors(task):
    one, other = table(seed=1).assign(site="A"), table(seed=2).assign(site="B")
    other["load"] = 1000 * other["load"]
    made = task(pd.concat([one, other]), series="site")
    found, windows = dict(ForecastFitting(made).baselines()), made.prepared.windows("evaluation")
    width = np.ptp(found["persistence"][:, 0, 0], axis=-1)
    a, b = (width[windows.series == number].mean() for number in (0, 1))
    changes = [made.preparation.scales[name].change[0] for name in made.prepared.panel.names]
    assert b / a == pytest.approx(changes[1] / changes[0])


def test_what_a_method_cannot_do_is_said(task):
    made = task(table(120), season=70, horizon=3)
    fitting = ForecastFitting(made)
    assert "exponential smoothing" in dict(fitting.baselines())
    assert any("does without the season of 70 steps" in note for note in fitting.notes)
    assert any("linear autoregression is left out" in note for note in fitting.notes)


def test_evaluation_data_do_not_change_what_baselines_learn(task):
    one, frame = task(), table()
    frame.loc[580:, "load"] = 500.0
    other = task(frame)
    for (name, before), (_, after) in zip(
        ForecastFitting(one).baselines(), ForecastFitting(other).baselines(), strict=True
    ):
        origins = one.prepared.windows("evaluation").origins
        np.testing.assert_array_equal(before[origins <= 580], after[origins <= 580], name)


# New data


def predictor_of(task, seed=0):
    """As a model file would bring it back."""
    return ForecastPredictor(network_of(task, seed), jobs.from_json(task.preprocessing()))


def test_predictions_of_the_data_without_an_end_are_the_answers_at_its_origin(task):
    frame = table()
    made = task(frame, covariates="wind", future="price")
    fitting, predictor = ForecastFitting(made), predictor_of(made)
    windows, network = made.prepared.windows("evaluation"), predictor.network
    answers = fitting.answers(network)
    number, origin = 20, int(windows.origins[20])
    cut = frame.iloc[: origin + 5].copy()
    cut.loc[origin:, ["load", "wind"]] = np.nan
    shuffled = cut[["price", "time", "wind", "load"]].sample(frac=1, random_state=0)
    found = predictor.predict(shuffled)
    assert list(found.columns[:3]) == ["time", "step", "load q0.05"]
    np.testing.assert_allclose(found.filter(like="load q").to_numpy(), answers[number, :, 0], rtol=1e-5)
    assert found["time"].tolist() == frame["time"][origin : origin + 5].tolist() and found["step"].tolist() == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_fewer_steps_and_other_quantiles(task):
    predictor = predictor_of(task())
    whole, part = predictor.predict(table()), predictor.predict(table(), horizon=2, quantiles=(0.3, 0.5))
    assert len(part) == 2 and list(part.columns) == ["time", "step", "load q0.3", "load q0.5"]
    np.testing.assert_array_equal(part["load q0.5"], whole["load q0.5"][:2])
    between = whole["load q0.25"] * 0.8 + whole["load q0.5"] * 0.2
    np.testing.assert_allclose(part["load q0.3"], between[:2])
    np.testing.assert_allclose(at_levels(np.array([[[[1.0, 3.0]]]]), (0.2, 0.6), (0.2, 0.3, 0.6)), [[[[1, 1.5, 3]]]])


def test_each_series_is_forecast_from_its_own_end_and_a_file_reads_as_a_frame_does(task, tmp_path):
    frame = pd.concat([table(seed=1).assign(site="A"), table(300, seed=2, begin="2024-02-01").assign(site="B")])
    predictor = predictor_of(task(frame, series="site"))
    found = predictor.predict(frame.sample(frac=1, random_state=0))
    ends = frame.groupby("site")["time"].max()
    for site, part in found.groupby("site"):
        assert part["time"].tolist() == [ends[site] + pd.Timedelta(hours=h) for h in range(1, 6)]
        alone = predictor.predict(frame[frame["site"] == site]).filter(like="q").to_numpy()
        np.testing.assert_allclose(alone, part.filter(like="q").to_numpy(), rtol=1e-6)
    frame.to_csv(tmp_path / "new.csv", index=False)
    again = predictor.predict(tmp_path / "new.csv").sort_values(["site", "step"], ignore_index=True)
    values = found.sort_values(["site", "step"], ignore_index=True)
    np.testing.assert_allclose(again.filter(like="q"), values.filter(like="q"), rtol=1e-6)


def refused(predictor, frame, **options):
    with pytest.raises(CapaxError) as caught:
        predictor.predict(frame, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_data_of_another_kind_are_refused_in_one_line(task):
    predictor = predictor_of(task(covariates="wind", future="price"))
    whole = table()
    ahead = pd.concat([whole, table(5, begin="2024-01-26")[["time", "price"]]])
    assert len(predictor.predict(ahead)) == 5
    assert "'price' is known for 0 of the 5 steps" in refused(predictor, whole)
    assert len(predictor.predict(ahead.iloc[:-2], horizon=3)) == 3
    assert "'price' is known for 3 of the 5 steps" in refused(predictor, ahead.iloc[:-2])
    assert "no column 'wind'" in refused(predictor, ahead.drop(columns="wind"))
    assert "no column 'time'" in refused(predictor, ahead.drop(columns="time"))
    every_third = whole.iloc[::3]
    assert "a step of 3 hours; the model was trained on steps of 1 hour" in refused(predictor, every_third)
    assert "has 7 steps from its first known target to its last; 24 are due" in refused(predictor, ahead.iloc[-12:])
    assert "1 to 5 steps ahead, not 6" in refused(predictor, ahead, horizon=6)
    assert "quantiles from 0.05 to 0.95, not 0.99" in refused(predictor, ahead, quantiles=[0.99])
    assert "no time stamps" in refused(predictor, ahead.assign(time="soon"))


def test_a_count_of_steps_and_rows_without_stamps_go_on(task):
    frame = table()
    without = predictor_of(task(frame.drop(columns="time")[["load"]]))
    found = without.predict(frame[["load"]].tail(200))
    assert list(found.columns[:1]) == ["step"] and len(found) == 5
    counted = predictor_of(task(frame.assign(time=np.arange(600) * 10.0), time="time"))
    assert counted.predict(frame.assign(time=np.arange(600) * 10.0 + 50))["time"].tolist() == [
        6050,
        6060,
        6070,
        6080,
        6090,
    ]


def test_series_of_a_numpy_file_are_forecast_by_name(task, tmp_path):
    values = {name: table(seed=seed)["load"].to_numpy() for seed, name in enumerate(("north", "south"))}
    np.savez(tmp_path / "two.npz", **values)
    made = tasks.get("forecast", path=str(tmp_path / "two.npz"), horizon=5)
    found = predictor_of(made).predict(tmp_path / "two.npz")
    assert found["series"].tolist() == ["north"] * 5 + ["south"] * 5 and list(found.columns[1:3]) == [
        "step",
        "feature 1 q0.05",
    ]


def test_what_was_known_before_some_of_the_examples_is_kept_for_a_figure(task):
    frame = pd.concat([table(seed=1).assign(site="A"), table(300, seed=2).assign(site="B")])
    made = task(frame, series="site")
    fitting = ForecastFitting(made)
    shown = fitting.examples(np.repeat(truth_of(made)[..., None], 7, axis=-1))
    history = fitting.further(network_of(made))["history"]
    keys = set(map(tuple, history[["series", "origin"]].to_numpy()))
    assert len(keys) == 4 and keys <= set(map(tuple, shown[["series", "origin"]].to_numpy()))
    for (series, origin), part in history.groupby(["series", "origin"]):
        of_site = frame[frame["site"] == series].set_index("time")["load"]
        times = [origin + pd.Timedelta(hours=int(step) - 1) for step in part["step"]]
        assert part["step"].tolist() == list(range(-14, 1))  # three horizons of 5
        np.testing.assert_allclose(part["value"], of_site[times])


def test_the_figure_of_forecasts_shows_what_was_known_what_came_and_the_best_method(task):
    made = task()
    fitting, network = ForecastFitting(made), network_of(made)
    answers = {"gru": fitting.examples(fitting.answers(network))}
    answers["linear autoregression"] = fitting.examples(dict(fitting.baselines())["persistence"])
    contenders = (
        Contender("gru", "network", {"MAE": (1.0, None, None)}, "0", cell="gru"),
        Contender("linear autoregression", "baseline", {"MAE": (2.0, None, None)}, "1"),
    )
    outcome = Outcome("forecast", "data.csv", (), (), (), (ScoreColumn("MAE", True),), contenders, "gru", 1.0)
    history = fitting.further(network)
    drawn, _, _ = draw_forecast(outcome, {**answers, **history})
    (legend,) = drawn.figure.legends
    assert legend.get_tightbbox().x1 <= drawn.figure.bbox.width + 1
    panels = drawn.figure.axes
    assert len(panels) == 4
    origins = history["history"]["origin"].unique()
    for axes, origin in zip(panels, origins, strict=True):
        known, _, median, came, best = axes.lines
        part = history["history"][history["history"]["origin"] == origin]
        np.testing.assert_allclose(known.get_xydata(), part[["step", "value"]])
        of_gru, of_other = (
            answers[name][answers[name]["origin"] == origin] for name in ("gru", "linear autoregression")
        )
        np.testing.assert_allclose(median.get_ydata(), of_gru["q0.5"])
        np.testing.assert_allclose(came.get_ydata(), of_gru["truth"])
        np.testing.assert_allclose(best.get_ydata(), of_other["q0.5"])
    without, _, _ = draw_forecast(outcome, answers)
    assert [len(axes.lines) for axes in without.figure.axes] == [3] * 4


# How files are read


def as_loaded(made):
    """A predictor as a model file makes it."""
    given = made.preprocessing()
    return ForecastPredictor(network_of(made), jobs.from_json(given), given["reading"])


def test_new_files_are_read_with_the_decimal_mark_and_the_encoding_of_the_fit(tmp_path):
    values = table()["load"].round(3)

    def written(name, digits, mark):
        stamps = table()["time"]
        rows = [f"{at};{x:.{digits}f}".replace(".", mark) for at, x in zip(stamps, values, strict=True)]
        (tmp_path / name).write_text("time;Größe\n" + "\n".join(rows), encoding="cp1252")
        return tmp_path / name

    options = {"horizon": 5, "context": 30}
    path = written("fit.csv", 2, ",")
    made = as_loaded(tasks.get("forecast", path=str(path), encoding="cp1252", **options))
    assert made.reading["decimal"] == "," and made.reading["encoding"] == "cp1252"
    due = made.predict(written("new.csv", 3, ","))  # which might be thousands
    frame = pd.DataFrame({"time": table()["time"], "Größe": values})
    pd.testing.assert_frame_equal(due, made.predict(frame), rtol=1e-5)
    thousands = made.predict(written("thousands.csv", 3, "."))
    pd.testing.assert_frame_equal(thousands, made.predict(frame.assign(Größe=1000 * values)), rtol=1e-5)
    frame.to_csv(tmp_path / "other.csv", index=False)  # commas part cells: the mark is a point
    pd.testing.assert_frame_equal(due, made.predict(tmp_path / "other.csv"), rtol=1e-5)
    pd.testing.assert_frame_equal(due, made.predict(tmp_path / "thousands.csv", decimal="."), rtol=1e-5)


def test_names_of_series_stay_as_they_are_written(tmp_path):
    several = pd.concat([table(300, seed).assign(shop=f"00{seed}") for seed in (1, 2)])
    several.to_csv(tmp_path / "shops.csv", index=False)
    options = {"target": "load", "horizon": 5, "context": 30}
    made = as_loaded(tasks.get("forecast", path=str(tmp_path / "shops.csv"), series="shop", **options))
    assert list(made.preparation.scales) == ["001", "002"]
    found = made.predict(tmp_path / "shops.csv")
    assert list(found["shop"].unique()) == ["001", "002"]
    of_numbers = made.predict(several.assign(shop=several["shop"].astype(int)))
    assert list(of_numbers["shop"].unique()) == ["1", "2"]
    pd.testing.assert_frame_equal(found.drop(columns="shop"), of_numbers.drop(columns="shop"), rtol=1e-5)


def test_forecasts_are_in_the_zone_of_the_data(tmp_path):
    stamps = pd.date_range("2024-03-01", periods=600, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"time": stamps, "load": table()["load"]})
    frame.assign(time=stamps.map(lambda at: at.isoformat())).to_csv(tmp_path / "zone.csv", index=False)
    naive = frame.assign(time=stamps.tz_localize(None))[:600]
    made = as_loaded(tasks.get("forecast", path=str(tmp_path / "zone.csv"), horizon=5, context=30))
    due = stamps[-1] + pd.Timedelta(hours=1)
    found = [made.predict(given)["time"] for given in (tmp_path / "zone.csv", frame, frame.set_index("time"))]
    assert [times[0] for times in found] == [due] * 3
    assert found[0][0].utcoffset() == stamps[-1].utcoffset() and str(found[1].dt.tz) == "Europe/Berlin"
    frame.to_parquet(tmp_path / "zone.parquet")
    assert made.predict(tmp_path / "zone.parquet")["time"][0] == due
    naive = frame.assign(time=pd.date_range("2024-03-01", periods=600, freq="h"))
    with pytest.warns(CapaxWarning, match="have no zone, though those of the training have one"):
        assert made.predict(naive)["time"].dt.tz is None


def test_a_series_that_was_not_there_is_said(tmp_path):
    several = pd.concat([table(300, seed).assign(shop=name) for seed, name in enumerate("ab")])
    several.to_csv(tmp_path / "shops.csv", index=False)
    options = {"target": "load", "horizon": 5, "context": 30}
    made = as_loaded(tasks.get("forecast", path=str(tmp_path / "shops.csv"), series="shop", **options))
    with pytest.warns(CapaxWarning, match="not among the series of the training: 'c'; each is scaled by its own"):
        made.predict(several.replace({"shop": {"a": "c"}}))


def test_a_loaded_model_is_told_in_a_line(task):
    made = task()
    card = Mock(spec=Card, preprocessing=made.preprocessing(), cell="gru", depth=1, units=6)
    said = str(LoadedModel(network_of(made), card))
    assert said.startswith("<capax model, forecast: load; gru, 1 x 6 units, ") and said.endswith(" parameters>")
