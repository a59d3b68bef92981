"""Layers and units: weights, orders, what is covered, measured bits within what was run, operations
by hand.
"""

import json
import sys

import pytest

import capax
from capax.api.costing import complexity
from capax.cli import main
from capax.errors import CapaxError


def test_a_plain_network_is_covered_and_its_weights_and_operations_are_those_by_hand():
    frame = complexity("rnn", layers=[1, 2], units=[3, 5], length=1000, inputs=2, outputs=4).frame
    assert list(zip(frame["layers"], frame["units"], strict=True)) == [(1, 3), (1, 5), (2, 3), (2, 5)]
    one = frame.iloc[0]
    weights = 3 * 3 + 3 * 2 + 3 + 3 + 4 * 3 + 4  # W_h, W_x, b, initial state, readout and its bias
    assert one["weights"] == weights and one["bits_by_rule"] == 5 * weights
    assert one["covered"] and one["lower"] == weights * 1000 and one["upper"] == weights**4 * 1000**2
    # products 2 n (n + i) + 2 o n, sums of b and of W_h h + W_x x, tanh, and the readout's bias
    assert one["operations_per_step"] == 2 * 3 * (3 + 2) + 2 * 4 * 3 + 2 * 3 + 3 + 4
    assert one["in_regime"] and complexity("rnn", layers=[1], units=[64], length=5).frame["in_regime"].tolist() == [
        False
    ]
    assert complexity("irnn", layers=[1], units=[3], length=9).frame["activation"].tolist() == ["relu"]


def test_a_gated_cell_is_not_covered_and_that_is_said():
    found = complexity("lstm", layers=[1], units=[4], length=100)
    row = found.frame.iloc[0]
    assert not row["covered"] and row["lower"] is None and row["upper"] is None
    assert row["plain_lower"] == row["weights"] * 100
    assert "no bound of this kind is published" in found.notes[0] and "Orders, not numbers" in found.notes[1]
    assert len(found.figure().axes) == 2


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "capacity"
    settings = {
        "cells": ["rnn"],
        "budgets": [60, 90, 120],
        "depths": [1],
        "trials": 1,
        "steps": 30,
        "capacity.bits": 12,
    }
    return capax.run("capacity", directory, stopping="none", **settings)


def test_measured_bits_are_on_the_line_within_what_was_run(measured):
    sizes = measured.frame.sort_values("parameters")
    found = complexity("rnn", layers=[1, 2], units=[2, 4, 40], length=5, inputs=12, runs=[measured.directory]).frame
    known = found[found["bits_measured"].notna()]
    assert (known["layers"] == 1).all()
    inside = found[(found["layers"] == 1) & found["weights"].between(*sizes["parameters"].iloc[[0, -1]])]
    assert len(known) == len(inside) >= 1
    with pytest.raises(CapaxError, match="holds no result of the capacity task for gru"):
        complexity("gru", layers=[1], units=[4], length=5, runs=[measured.directory])


def test_the_command_prints_a_table_one_object_and_leaves_files(tmp_path, capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["capax", "bounds", "lstm", "--layers", "1,2", "--units", "4", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        assert end.value.code == 0
        return capsys.readouterr().out

    assert "say nothing of this cell" in " ".join(call("--out", str(tmp_path)).split())
    assert {path.name for path in tmp_path.iterdir()} == {"bounds.csv", "bounds.png", "bounds.svg"}
    found = json.loads(call("--json"))
    assert {"weights", "length", "lower", "upper", "activation", "covered"} <= found["rows"][0].keys()
    assert [row["lower"] for row in found["rows"]] == [None, None]
