"""A declaration of a hyperparameter refuses what it cannot be, and says all of itself."""

import json
import math

import pytest

from capax import cells, tasks
from capax.errors import CapaxError
from capax.hyperparameters import FINITE, POSITIVE, Choice, Interval, Number, joined
from capax.networks.hyperparameters import hyperparameters_of
from capax.training import optimiser

RATE = Number("rate", 1e-2, 1e-4, 1e-1, "How fast.", log=True, allowed=POSITIVE)
COUNT = Number("count", 3, 1, 6, whole=True)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf, True, "0.1", None, 10**400, [0.1], 1j])
def test_a_number_refuses_what_is_none_and_what_is_out_of_its_range(value):
    with pytest.raises(CapaxError, match=r"^here must be a number above 0, not "):
        RATE.checked(value, "here")


def test_a_number_may_lie_outside_the_tuners_range_where_more_is_allowed_and_nowhere_else():
    assert RATE.checked(5, "here") == 5.0 and isinstance(RATE.checked(5, "here"), float)
    with pytest.raises(CapaxError, match="must be a whole number from 1 to 6, not 7"):
        COUNT.checked(7, "here")


def test_a_whole_number_may_be_written_as_a_decimal_and_nothing_between_is_one():
    assert COUNT.checked(4.0, "here") == 4 and isinstance(COUNT.checked(4.0, "here"), int)
    with pytest.raises(CapaxError, match="a whole number from 1 to 6, not 2"):
        COUNT.checked(2.5, "here")


def test_a_choice_takes_its_choices_and_no_number_for_true():
    choice = Choice("always", True, (True, False))
    assert choice.checked(False, "here") is False
    for value in (1, 0, "true", None, []):
        with pytest.raises(CapaxError, match="here must be one of true, false"):
            choice.checked(value, "here")


@pytest.mark.parametrize(
    ("interval", "words", "inside", "outside"),
    [
        (Interval(0.0, 1.0), "from 0 to 1", (0.0, 1.0), (-1e-9, 1.1)),
        (Interval(0.0, 1.0, below=True), "at least 0 and below 1", (0.0, 0.999), (1.0,)),
        (Interval(0.0, 1.0, above=True), "above 0 and at most 1", (1e-9, 1.0), (0.0,)),
        (Interval(high=2.0), "at most 2", (-1e30, 2.0), (2.1, -math.inf)),
        (FINITE, "that is finite", (-1e30, 1e30), (math.inf, math.nan)),
    ],
)
def test_an_interval_holds_what_its_words_say(interval, words, inside, outside):
    assert str(interval) == words
    assert all(value in interval for value in inside) and not any(value in interval for value in outside)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"low": 2.0}, "low < high"),
        ({"high": math.inf}, "low < high"),
        ({"low": 0.0, "log": True}, "log scale"),
        ({"default": 2.0}, "a default"),
        ({"default": math.nan}, "finite"),
        ({"allowed": Interval(0.3, 0.6)}, "inside what is allowed"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Number("x", **{"default": 0.5, "low": 0.1, "high": 1.0, **wrong})
    with pytest.raises(ValueError, match="default"):
        Choice("x", "c", ("a", "b"))


def test_two_owners_of_one_name_are_refused_with_both_named():
    with pytest.raises(CapaxError, match="the hyperparameter rate belongs to a cell and to the optimiser"):
        joined(("a cell", [RATE]), ("the optimiser", [COUNT, RATE]))


def test_every_built_in_hyperparameter_says_what_it_means_in_one_sentence_and_fits_into_json():
    declared = [each for cell in cells.BUILT_IN.values() for each in hyperparameters_of(cell).values()]
    declared += [*optimiser.HYPERPARAMETERS]
    declared += [each for name in tasks.BUILT_IN for each in tasks.get(name).hyperparameters()]
    for each in declared:
        assert each.meaning.endswith(".") and len(each.meaning) < 120, each.name
        told = json.loads(json.dumps(each.describe()))
        assert {"name", "default", "range", "scale", "meaning", "allowed", "tuned"} <= told.keys()
        assert told["name"] == each.name and told["default"] == each.default
