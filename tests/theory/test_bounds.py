"""Orders of the VC dimension: the table of Koiran and Sontag, what it is stated for, and bad
input.
"""

import math

import pytest

from capax.errors import CapaxError
from capax.theory import bounds


@pytest.mark.parametrize(
    ("activation", "lower", "upper"),
    [
        ("polynomial", 5 * 64, 5 * 64),
        ("piecewise polynomial", 5 * 64, 25 * 64),
        ("relu", 5 * 64, 25 * 64),
        ("threshold", 5 * math.log2(64 / 5), min(5 * 64 * math.log2(320), 25 + 5 * math.log2(320))),
        ("sigmoid", 5 * 64, 625 * 64**2),
        ("tanh", 5 * 64, 625 * 64**2),
    ],
)
def test_the_orders_are_those_of_the_paper(activation, lower, upper):
    found = bounds.vc_dimension(weights=5, length=64, activation=activation)
    assert found.lower == pytest.approx(lower) and found.upper == pytest.approx(upper)
    assert found.in_regime and found.lower <= found.upper
    assert (found.weights, found.length, found.activation) == (5, 64, activation)


def test_short_inputs_are_outside_the_regime_and_a_logarithm_is_not_negative():
    found = bounds.vc_dimension(weights=100, length=10, activation="threshold")
    assert not found.in_regime and found.lower == 0.0


def test_bounds_move_with_the_weights_whatever_the_layers():
    one, two = (bounds.vc_dimension(weights=w, length=10_000) for w in (50, 100))
    assert two.lower == 2 * one.lower and two.upper == 16 * one.upper


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weights": 0, "length": 5}, "weights must be at least 1, not 0"),
        ({"weights": 5, "length": -1}, "length must be at least 1, not -1"),
        ({"weights": 5, "length": 5, "activation": "sigmoyd"}, "did you mean 'sigmoid'"),
    ],
)
def test_bad_input_is_one_line(given, said):
    with pytest.raises(CapaxError, match=said) as caught:
        bounds.vc_dimension(**given)
    assert "\n" not in str(caught.value)
