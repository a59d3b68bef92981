"""What terminals of 80 columns and few rows show: rows that can be told apart, notes in whole
words, the last line.
"""

import io
import sys

import pandas as pd
import pytest
from rich.console import Console
from rich.live import Live

from capax.cli import costs, display, main, output, terminal
from capax.experiments.cost import Cost
from capax.experiments.design import load
from capax.experiments.plan import plan
from capax.experiments.progress import Progress, StudyProgress
from capax.report import Table
from capax.training.engine import Compiling


def watched(width: int, height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, no_color=True)


@pytest.mark.parametrize("height", [10, 24, 30])
def test_the_live_display_fits_the_terminal_and_its_last_line_is_seen(height: int):
    """56 studies at 80 columns: the running one and the time left stay."""
    planned = plan(load("capacity", {"cells": ["rnn", "gru"], "budgets": [300], "depths": [1]}))
    studies = {f"{study.name} {copy}": StudyProgress(study) for copy in range(28) for study in planned.studies}
    running = list(studies.values())[40]
    running.running, running.best = {"a": (3, 1.0)}, 77.25
    announced = Cost(56, 880, 0, work=1e10, training_seconds=600.0, compiling_seconds=100.0, lanes=1)
    progress = Progress(planned, studies, announced, steps=1000, seconds=10.0, trained_seconds=10.0)
    for cell in ("rnn", "lstm", "intersection"):
        progress.note(Compiling(f"{cell} on capacity (10,000 parameters, relu)"))
    console = watched(80, height)
    live = Live(console=console, auto_refresh=False)
    display.Moving(live).update(progress)
    lines = ["".join(part.text for part in line) for line in console.render_lines(live.renderable)]
    assert len(lines) < height and all(len(line.rstrip()) <= 80 for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "77.25" in text and "more studies; " in text and text.endswith("left")


def table(depths: list[str]) -> Table:
    headers = ["cell", "depth", "budget", "units", "parameters", "trials", "infeasible", "stopped",
               "bits per character [95%]", "median", "reruns", "diverged reruns", "core-seconds"]  # fmt: skip
    rows = [
        ["rnn", depth, "8,000", "70", "7,992", "6/6", "0", "2", "2.154 [2.134, 2.175]", "2.151", "2/2", "0", "1,234"]
        for depth in depths
    ]
    notes = ["about diverged reruns", "about all"]
    return Table("text", "text", headers, rows, notes, len(rows), {notes[0]: "diverged reruns"})


def test_depth_stays_where_there_are_several_and_a_note_goes_with_its_column():
    several = table(["1", "2"])
    kept, missing = output._fitting(several, 80)
    headers = [several.headers[place] for place in kept]
    assert headers[:2] == ["cell", "depth"] and "bits per character [95%]" in headers
    assert "budget" in missing and "diverged reruns" in missing
    assert several.notes_for(headers) == ["about all"]
    assert output._fitting(several, terminal.WIDE)[1] == []
    assert output._fitting(table(["1", "1"]), 80)[1][0] == "depth"


def test_rows_of_costs_keep_their_names_at_80_columns():
    names = ["mycells:MinGRU", "mycells:PeepholeLSTM", "mycells:CoupledLN", "mycells:PlainEqx"]
    rows = [{**dict.fromkeys(costs._COSTS, 1_000_000), "cell": name} for name in names]
    for width, tables in ((80, 2), (terminal.WIDE, 1)):
        console = watched(width) if width == 80 else Console(file=io.StringIO(), width=width)
        costs._networks(console, rows, "512 steps")
        text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
        assert text.count("activations for the gradient") == tables
        assert "…" not in text and all(text.count(name) == 1 for name in names)


def test_definitions_are_aligned_and_wrapped_beside_their_names():
    found = {"transformer-encoder": "the same layer, " * 8, "gru": "short"}
    lines = terminal.definitions(found, 60)
    assert all(len(line) <= 60 for line in lines)
    assert lines[0].startswith("transformer-encoder  the same layer,")
    assert lines[1].startswith(" " * 21) and lines[1][21] != " " and lines[-1] == "gru" + " " * 18 + "short"
    assert len(terminal.definitions(found, terminal.WIDE)) == 2


def test_what_is_missing_is_a_dash():
    assert [output._shown(value) for value in (None, pd.NA, float("nan"), [], 0.25, 3, [1, None])] == [
        "–", "–", "–", "–", "0.25", "3", "1, –",
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_capax_alone_prints_its_help_in_lines(arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["capax", *arguments])
    with pytest.raises(SystemExit) as end:
        main.main()
    out, err = capsys.readouterr()
    assert end.value.code == 0 and err == ""
    assert out.startswith("Usage: capax") and any(line.strip().startswith("run ") for line in out.splitlines())
