"""Which network is kept where some stand on a simpler method."""

import math
from types import SimpleNamespace

import pytest

from capax.fitting.choosing import safer
from capax.fitting.contract import Fitting
from capax.scoring import Estimate

EVEN = Estimate(0.0, -1.0, 1.0)


class Judge(Fitting):
    """A fitting whose answers are the networks, and whose differences are given."""

    columns = (SimpleNamespace(name="MAE"),)

    def __init__(self, simpler: bool, difference: Estimate):
        self.task, self._difference = SimpleNamespace(simpler=simpler), difference

    def on_validation(self):
        return self

    def answers(self, network):
        return network

    def difference(self, one, other):
        assert (one, other) == ("network of gru + linear regression", "network of lstm")
        return self._difference

    def baselines(self):
        raise AssertionError("they have no say")

    scores = examples = baselines


def kept(selection, difference=EVEN):
    fittings = {name: Judge("+" in name, difference) for name in selection}
    return safer(
        min(selection, key=selection.get), {name: f"network of {name}" for name in fittings}, fittings, selection
    )


SELECTION = {"gru": 0.3, "lstm": 0.1, "gru + linear regression": 0.2, "lstm + linear regression": 0.4}


@pytest.mark.parametrize(
    ("difference", "changes"),
    [
        (Estimate(0.1, 0.1 - 0.196, 0.1 + 0.196), True),  # the standard error is .1
        (Estimate(0.101, 0.101 - 0.196, 0.101 + 0.196), False),
        (Estimate(-0.5, -0.6, -0.4), True),  # better, though worse by the loss
        (Estimate(5.0, math.nan, math.nan), True),  # too short a part to tell
    ],
)
def test_the_simpler_is_kept_if_it_is_at_most_a_standard_error_worse(difference, changes):
    found = kept(SELECTION, difference)
    assert (found is not None) == changes
    if found is not None:
        name, said = found
        assert name == "gru + linear regression"
        assert said.startswith("gru + linear regression is chosen, not lstm") and "nan" not in said


def test_the_best_is_kept_where_it_is_the_simpler_or_there_is_no_simpler_one():
    assert kept({"gru": 0.3, "gru + linear regression": 0.2}) is None
    assert kept({"gru": 0.3, "lstm": 0.2}) is None
