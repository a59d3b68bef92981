"""What forecasting learns, and the arrays that windows are gathered from."""

import json

import numpy as np
import pytest

from capax import jobs
from capax.data.grid import Step
from capax.errors import CapaxError
from capax.jobs.forecast import Forecasting
from capax.jobs.forecast_scales import Scale
from capax.jobs.forecast_series import Panel, filled

NAN = np.nan


def preparation(**changes):
    given = {
        "targets": ("y",), "past": ("p",), "future": ("f",), "gaps": ("y",), "horizon": 2, "context": 4, "season": 3,
        "levels": (0.1, 0.5, 0.9), "step": Step("seconds", 3600.0), "calendar": ("time of day",), "time": "t",
        "series": "s", "scales": {"a": Scale((10.0, 0.0, 5.0), (2.0, 1.0, 4.0), (0.5,))},
    }  # fmt: skip
    return Forecasting(**{**given, **changes})


def test_it_comes_back_from_json_as_it_was():
    found = preparation(scales={n: Scale((1.0, 0.0, 5.0), (2.0, 1.0, 4.0), (0.5,)) for n in ("a", "b")})
    text = json.dumps({"job": "forecast", **found.to_json()})
    assert jobs.from_json(json.loads(text)) == found


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"horizon": "2"}, "'horizon' must be whole numbers"),
        ({"horizon": 0}, "at least one each"),
        ({"levels": [0.5, 1.5]}, "between 0 and 1"),
        ({"levels": [0.5, float("nan")]}, "'levels' must be numbers"),
        ({"calendar": ["phase of the moon"]}, "no phase of the moon"),
        ({"scales": {"a": {"mean": [1.0], "deviation": [0.0], "change": [1.0]}}}, "above 0"),
        ({"scales": {"a": {"mean": [1.0], "deviation": [1.0], "change": [1.0]}}}, "a scale for each column"),
        ({"scales": {"a": 3}}, "this is no scale"),
        ({"step": {"kind": "seconds", "size": -1}}, "is none"),
        ({"targets": ["y", "p"]}, "a column is a target, or"),
        ({"more": 1}, "'more' is missing, or one too many"),
    ],
)
def test_a_preparation_that_was_changed_by_hand_is_refused_in_one_line(change, line):
    given = {**preparation().to_json(), **change}
    with pytest.raises(CapaxError) as caught:
        Forecasting.from_json(given)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_scales_are_those_of_a_plain_loop_and_missing_values_do_not_count():
    values = np.array([[1.0, 7], [3, NAN], [NAN, NAN], [8, NAN], [6, NAN]])
    found = Scale.of(values, targets=1, horizon=2)
    assert found.mean == (4.5, 7.0) and found.deviation[0] == pytest.approx(np.std([1, 3, 8, 6]))
    assert found.deviation[1] == 1.0
    squares = [(3 - 1) ** 2, (6 - 8) ** 2, (8 - 3) ** 2]  # one step: 1-3, 8-6; two: 3-8
    assert found.change == (pytest.approx(np.sqrt(np.mean(squares))),)


def test_columns_without_values_and_constant_ones_have_a_scale_of_one():
    values = np.stack([np.full(9, 1e9 + 0.1), np.full(9, NAN)], axis=1)
    found = Scale.of(values, targets=1, horizon=3)
    assert found.deviation == (1.0, 1.0) and found.change == (1.0,) and found.mean[1] == 0.0


def panel(step=None):
    values = np.array([[10.0, 1, 5], [NAN, 2, 5], [12, NAN, 9], [11, 4, 5], [NAN, 9, 9], [14, 8, 5]])
    firsts = np.array(["2024-01-01T06", "2024-01-01T12"], "datetime64[us]")
    return Panel(("y", "p", "f"), values, ("a", "b"), np.array([0, 4, 6]), step or Step("seconds", 3600.0), firsts)


def test_arrays_are_scaled_filled_flagged_and_know_the_time_of_day():
    found = preparation().arrays(panel())
    np.testing.assert_allclose(found["targets"][:, 0], [0, NAN, 4, 2, NAN, 8])
    np.testing.assert_allclose(found["last"][:, 0], [0, 0, 4, 2, 0, 8])  # nothing goes from series to series
    np.testing.assert_allclose(found["covariates"], [[1, 0], [2, 0], [2, 1], [4, 0], [9, 1], [8, 0]])
    np.testing.assert_array_equal(found["missing"][:, 0], [0, 1, 0, 0, 1, 0])
    np.testing.assert_allclose(found["phases"][:, 0] * 24, [6, 7, 8, 9, 12, 13], rtol=1e-6)
    np.testing.assert_array_equal(found["begins"], [0, 4])
    np.testing.assert_allclose(found["ratio"], [[0.25], [0.25]])


def test_a_new_series_among_several_is_scaled_by_its_own_values():
    scale = Scale((10.0, 0.0, 5.0), (2.0, 1.0, 4.0), (0.5,))
    several = preparation(scales={"a": scale, "c": scale})
    first, second = several.scales_of(panel())
    assert first is scale and second.mean[0] == 14.0
    assert preparation(scales={"x": scale}).scales_of(panel()) == [scale, scale]


def test_filling_takes_the_last_known_value_of_the_series():
    values = np.array([[NAN], [2], [NAN], [NAN], [5]])
    of_two = Panel(("y",), values, ("a", "b"), np.array([0, 3, 5]), Step("rows"), None)
    np.testing.assert_array_equal(filled(values, of_two)[:, 0], [0, 2, 2, 0, 5])


def test_sizes_follow_from_the_features():
    found = preparation()
    assert found.inputs == len(found.features) == 12 and found.outputs == 3 and found.length == 6
    assert preparation(season=1, calendar=()).inputs == 9
