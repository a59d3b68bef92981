"""What stands below the table of a fit."""

from pathlib import Path

import pytest

from capax.fitting.outcome import Contender, Outcome, ScoreColumn
from capax.report.fit_section import FitSection


def outcome(chosen="gru", **scores):
    """Of two networks and a method without one, in this order by their MAE."""
    mae, pinball = ScoreColumn("MAE", True, "unit of sales"), ScoreColumn("pinball loss", True, "unit of sales")
    found = tuple(
        Contender(name, kind, {"MAE": (value, None, None)}, "0")
        for name, kind, value in (("lstm", "network", 1.0), ("gru", "network", 2.0), ("persistence", "baseline", 3.0))
    )
    return Outcome("forecast", "data.csv", (), (), (), (mae, pinball), found, chosen, 1.0)


def test_scores_have_their_unit_in_the_table():
    headers = FitSection(outcome(), Path(), []).headers
    assert headers == ["", "parameters", "MAE [95%], unit of sales", "pinball loss [95%], unit of sales"]


def test_which_part_chose_the_network_is_said_where_another_scores_better():
    section = FitSection(outcome("gru"), Path(), [])
    assert [cells[0] for _, cells in section.rows] == ["lstm", "gru (chosen by validation)", "persistence"]
    assert "lstm scores better here. To choose it for that would make its score look too good." in section.notes
    assert "gru, was chosen on the validation part" in section.found
    assert not any("scores better here" in note for note in FitSection(outcome("lstm"), Path(), []).notes)


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
