"""What stands below the table of a fit."""

from pathlib import Path

import pytest

from capax.fitting.outcome import Contender, Outcome, ScoreColumn
from capax.report.fit_section import FitSection


@pytest.mark.parametrize(
    ("coverage", "said"),
    [
        ((0.7, 0.65, 0.75), "The 80% intervals of gru are too narrow: they hold 70% of what came in this part."),
        ((0.9, 0.85, 0.95), "The 80% intervals of gru are too wide: they hold 90% of what came in this part."),
        ((0.78, 0.7, 0.85), None),
        ((0.7, None, None), None),
    ],
)
def test_intervals_that_do_not_hold_what_they_say_are_named(coverage, said):
    scores = {"MAE": (1.0, 0.9, 1.1), "coverage of 80%": coverage}
    columns = tuple(ScoreColumn(name, None) for name in scores)
    outcome = Outcome(
        "forecast", "data.csv", (), (), (), columns, (Contender("gru", "network", scores, "0", cell="gru"),), "gru", 1.0
    )
    found = [note for note in FitSection(outcome, Path(), []).notes if "intervals of" in note]
    assert found == ([] if said is None else [said])
