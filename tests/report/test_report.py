"""The report of run directories written without any training (see runs.py)."""

import base64
import html
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capax.errors import CapaxError
from capax.experiments.design import load, parse_setting
from capax.experiments.plan import StudyPlan
from capax.report import Report, build, reproduction, tables
from capax.report.figures.references import spread
from capax.report.style import styles
from capax.search.store import Store
from tests.report.runs import add, design, memorised, scored, write_run

OWN_CELL = """
import capax
from jaxtyping import Array

class Leaky(capax.Cell):
    hidden: capax.Affine = capax.affine("hidden", recurrent=("orthogonal", "normal"))

    def project(self, x: Array) -> Array:
        return self.hidden.project(x)

    def step(self, state: Array, projected: Array) -> tuple[Array, Array]:
        h = 0.9 * state + 0.1 * self.s(self.hidden.recur(state, projected))
        return h, h
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Report:
    directory = tmp_path_factory.mktemp("finished") / "run"
    write_run(directory)
    return build(directory)


def page(report: Report) -> str:
    return report.path.read_text(encoding="utf-8")


def text_of(report: Report) -> str:
    return html.unescape(re.sub("<[^>]+>", " ", page(report)))


def test_every_figure_is_written_as_svg_and_png_and_can_be_read(finished: Report):
    assert set(finished.figures) == {
        "capacity-bits-per-parameter",
        "capacity-stored-bits",
        "capacity-best-so-far",
        "capacity-samples",
        "text-bits-per-character",
        "text-bits-per-character-by-units",
        "text-best-so-far",
        "text-iterations",
        "text-expected-best",
    }
    for name in finished.figures:
        folder = finished.directory / "figures"
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not [path for path in finished.directory.rglob("*") if path.name.startswith(".") and path.name != ".lock"]


@pytest.mark.parametrize("name", ["results", "trials"])
def test_csv_and_parquet_hold_the_same_table(finished: Report, name: str):
    frame = finished.frame if name == "results" else finished.trials
    parquet = pd.read_parquet(finished.directory / f"{name}.parquet")
    csv = pd.read_csv(finished.directory / f"{name}.csv")
    assert list(parquet.columns) == list(csv.columns) == list(frame.columns)
    assert len(parquet) == len(csv) == len(frame)
    for column in frame.select_dtypes("number").columns:
        np.testing.assert_array_equal(parquet[column].to_numpy(float), frame[column].to_numpy(float))
        np.testing.assert_array_equal(csv[column].to_numpy(float), frame[column].to_numpy(float))


def test_one_row_a_study_and_one_row_a_trial(finished: Report):
    assert len(finished.frame) == 2 * 2 * 2
    assert len(finished.trials) == 8 * 3 + 4 * 2  # three trials each, and two reruns where the task is not memorisation


def test_a_report_is_one_line_where_a_notebook_shows_it(finished: Report):
    shown = repr(finished)
    assert "\n" not in shown and len(shown) < 200 + len(str(finished.path))
    assert str(finished.path) in shown and f"{len(finished.frame)} studies" in shown


def test_the_page_needs_no_other_file(finished: Report):
    assert not re.findall(r"<(?:script|link|iframe|object)\b", page(finished))
    sources = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s>)]{1,40})""", page(finished))
    assert len(sources) == len(finished.figures)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)


def test_the_page_shows_the_svg_files(finished: Report):
    for name in finished.figures:
        svg = (finished.directory / "figures" / f"{name}.svg").read_bytes()
        assert base64.b64encode(svg).decode() in page(finished)


def test_the_page_shows_each_row_of_the_tables(finished: Report):
    for table in tables(finished.frame, finished.plan):
        for row in table.rows:
            assert "".join(f"<td>{html.escape(cell)}</td>" for cell in row) in page(finished)


def test_text_of_the_experiment_is_escaped(finished: Report):
    assert "<bits>" not in page(finished)
    assert "Which cell stores more &lt;bits&gt;?" in page(finished)


def test_the_page_names_the_cost_and_how_to_reproduce(finished: Report):
    text = text_of(finished)
    assert f"{1.5 * len(finished.trials):.0f} core-seconds" in text
    assert "24 trials and 8 reruns, of which infeasible: 8" in text
    assert "capax run quickstart.toml" in text or "capax run quickstart --out" in text
    assert "This run is not finished" not in text
    assert "Python " in text and "0.1.0" in text


def test_table_strings_for_known_numbers(finished: Report):
    capacity, text = tables(finished.frame, finished.plan)
    assert all(len(row) == len(table.headers) for table in (capacity, text) for row in table.rows)
    row = dict(zip(text.headers, text.rows[0], strict=True))
    # The mean of 2.6 and 2.7; Student's t for one degree of freedom is 12.706, times .05.
    assert row["bits per character [95%]"] == "2.650 [2.015, 3.285]"
    assert (row["cell"], row["budget"], row["trials"], row["infeasible"]) == ("rnn", "2,000", "3/3", "1")
    assert (row["reruns"], row["diverged reruns"], row["core-seconds"]) == ("2/2", "0", "7.5")
    assert [line[0] for line in text.rows[text.studies :]] == [
        "random guess",
        "order-1 Markov",
        "order-2 Markov",
        "order-3 Markov",
    ]
    assert "4.755" in text.rows[text.studies]  # log2 27
    row = dict(zip(capacity.headers, capacity.rows[0], strict=True))
    parameters = int(row["parameters"])
    # p = .9: 1 - H(.9) = .5310 bits a sample, two samples a parameter.
    assert row["bits per parameter [95%, this network]"].startswith("1.06 [")
    assert row["stored bits [95%, this network]"].startswith(f"{2 * parameters * 0.5310:.0f} [")
    # .2 nats a sample: 1 - .2 / ln 2 = .7115 bits a sample.
    assert row["compression bound per parameter"] == "1.42"
    assert (row["samples b"], row["fraction correct"]) == (str(2 * parameters), "0.900")


def test_the_findings_name_the_best_cell_and_claim_no_test(finished: Report):
    text = text_of(finished)
    assert "at a budget of 500 parameters and 1 layer, rnn stores most" in text
    assert "at a budget of 5,000 parameters and 1 layer, rnn scores best on the evaluation data" in text
    assert "Nothing was tested for significance" in text


def test_the_same_run_gives_the_same_files(finished: Report):
    names = ["report.html", *(f"figures/{name}.svg" for name in finished.figures)]
    before = {name: (finished.directory / name).read_bytes() for name in names}
    build(finished.directory)
    assert before == {name: (finished.directory / name).read_bytes() for name in names}
    assert b"<dc:date>" not in before[names[1]]


def test_a_run_whose_trials_all_diverged(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        for _ in range(study.trials):
            add(store, study, None)

    write_run(tmp_path / "run", fill)
    report = build(tmp_path / "run")
    text = text_of(report)
    assert set(report.figures) == {"capacity-best-so-far", "text-best-so-far"}
    assert text.count("every trial diverged") >= len(report.frame)
    assert "not finished" not in text  # nothing is left to do: there is nothing to rerun


def test_a_run_that_has_just_begun(tmp_path: Path):
    write_run(tmp_path / "run", lambda store, study: add(store, study, None, running=True))
    report = build(tmp_path / "run")
    text = text_of(report)
    assert report.figures == {}
    assert "This run is not finished: 0 of 24 trials and 0 of 8 reruns are done" in text
    assert "there is no result yet" in text
    assert set(report.trials["state"]) == {"running"}


def test_a_run_without_any_trial(tmp_path: Path):
    write_run(tmp_path / "run", lambda store, study: None)
    report = build(tmp_path / "run")
    assert len(report.trials) == 0 and len(pd.read_parquet(tmp_path / "run" / "trials.parquet")) == 0
    assert "not yet" in text_of(report)


def test_a_half_finished_run_says_so(tmp_path: Path):
    write_run(tmp_path / "run", lambda store, study: add(store, study, memorised(500.0, 450.0)), tasks=["capacity"])
    report = build(tmp_path / "run")
    assert "4 of 12 trials are done" in text_of(report)
    assert "So far, on the capacity task" in text_of(report)


def test_the_rule_of_stopping_is_stated_whatever_it_is(finished: Report):
    assert "Stopping: none. Every trial that did not diverge was trained to its end." in text_of(finished)
    assert "stopped early: none" in text_of(finished)
    assert "stopped" not in tables(finished.frame, finished.plan)[0].headers


def test_stopped_trials_are_counted_apart_and_are_never_the_best(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        add(store, study, memorised(500.0, 450.0))
        add(store, study, memorised(500.0, 499.0), stopped=True)
        add(store, study, None)

    write_run(tmp_path / "run", fill, tasks=["capacity"], stopping="halving")
    report = build(tmp_path / "run")
    assert "Stopping: successive halving." in text_of(report)
    assert "of which infeasible: 4; stopped early: 4" in text_of(report)
    assert "that were trained to their end" in " ".join(text_of(report).split())
    (table,) = tables(report.frame, report.plan)
    row = dict(zip(table.headers, table.rows[0], strict=True))
    assert (row["trials"], row["infeasible"], row["stopped"], row["fraction correct"]) == ("3/3", "1", "1", "0.900")
    assert set(report.trials["state"]) == {"complete", "infeasible", "stopped"}
    assert (report.frame["best_trial"] == 0).all()


def test_a_study_without_a_trial_that_came_to_its_end(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        add(store, study, scored(3.0), stopped=True)
        add(store, study, scored(3.5), stopped=True)
        add(store, study, None)

    write_run(tmp_path / "run", fill, tasks=["text"], stopping="halving")
    text = text_of(build(tmp_path / "run"))
    assert "every trial diverged or was stopped" in text and "not finished" not in text


def test_reruns_that_diverged_are_counted_and_named(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        for _ in range(study.trials):
            add(store, study, scored(3.0))
        add(store, study, None, rerun=True)
        add(store, study, None if study.shape.cell == "gru" else scored(2.5), rerun=True)

    write_run(tmp_path / "run", fill, tasks=["text"], task={"text": {"budgets": [2000]}})
    report = build(tmp_path / "run")
    (table,) = tables(report.frame, report.plan)
    column = table.headers.index("bits per character [95%]")
    assert [row[column] for row in table.rows[:2]] == ["2.500", "every rerun diverged"]
    assert "Diverged reruns are not in these means: rnn 1 of 2." in text_of(report)


@pytest.mark.parametrize("depths", [[1], [1, 2]])
def test_one_budget_only(tmp_path: Path, depths: list[int]):
    write_run(tmp_path / "run", tasks=["capacity"], budgets=[500], depths=depths)
    axes = build(tmp_path / "run").figures["capacity-bits-per-parameter"].axes
    assert len(axes) == len(depths)
    assert [label.get_text().split("\n")[0] for label in axes[0].get_xticklabels()] == ["rnn", "gru"]


@pytest.mark.parametrize("budgets", [[500], [500, 1000]])
def test_nothing_lies_outside_a_figure(tmp_path: Path, budgets: list[int]):
    cells = ["rnn", "irnn", "ugrnn", "gru", "lstm", "intersection"]
    write_run(tmp_path / "run", tasks=["capacity"], cells=cells, depths=[2], budgets=budgets)
    for figure in build(tmp_path / "run").figures.values():
        width, height = figure.bbox.width, figure.bbox.height
        for artist in [*figure.legends, *figure.axes, *figure.axes[0].texts]:
            box = artist.get_tightbbox()
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, artist


def test_combinations_that_do_not_exist_are_named(tmp_path: Path):
    write_run(tmp_path / "run", tasks=["capacity"], cells=["rnn", "intersection"], depths=[1, 2])
    assert "intersection at depth 1" in text_of(build(tmp_path / "run"))


def test_a_users_cell_is_shown_by_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "report_own_cells.py").write_text(OWN_CELL)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        write_run(tmp_path / "run", tasks=["capacity"], cells=["rnn", "report_own_cells:Leaky"])
        report = build(tmp_path / "run")
    finally:
        sys.modules.pop("report_own_cells", None)
    (table,) = tables(report.frame, report.plan)
    assert [row[0] for row in table.rows[:4]] == ["rnn", "rnn", "Leaky", "Leaky"]
    (legend,) = report.figures["capacity-stored-bits"].legends
    assert [text.get_text() for text in legend.get_texts()] == ["rnn", "Leaky", "compression bound"]


def test_cells_keep_their_style_and_share_none():
    cells = ["rnn", "irnn", "ugrnn", "gru", "lstm", "intersection", "one:Cell", "two:Cell", "two:Other"]
    found = styles(cells)
    for part in ("colour", "marker", "line", "label"):
        assert len({getattr(style, part) for style in found.values()}) == len(cells)
    assert styles(["gru"])["gru"] == found["gru"]
    assert found["two:Other"].label == "Other" and found["two:Cell"].label == "two:Cell"


def test_the_command_makes_the_same_experiment():
    experiment = load("quickstart", {"cells": ["gru"], "trials": 4, "text.window": 40, "steps": [10, 20]})
    words = reproduction.shlex.split(reproduction.command(experiment, Path("runs/a b")))
    assert words[:5] == ["capax", "run", "quickstart", "--out", "runs/a b"]
    settings = dict(parse_setting(word) for word in words[5:] if word != "--set")
    assert load("quickstart", settings) == experiment


@pytest.mark.parametrize(
    "more",
    [{}, {"checkpoint_every": 20, "hyperparameters": {"optimiser": "adam", "learning_rate": [0.001, 0.01]}}],
    ids=["plain", "hyperparameters"],
)
def test_the_experiment_as_a_file_makes_the_same_experiment(tmp_path: Path, more: dict):
    experiment = design(name="my own", question='A "quoted" question — ünïcode', task={"text": {"window": 40}}, **more)
    assert reproduction.command(experiment, Path("out")).startswith("capax run 'my own.toml' --out out")
    path = tmp_path / "my own.toml"
    path.write_text(reproduction.toml(experiment), encoding="utf-8")
    assert load(str(path)) == experiment


def test_labels_are_moved_apart_and_stay_in_order():
    moved = spread([0.5, 0.51, 0.1, 0.52], 0.1)
    np.testing.assert_allclose(moved, [0.41, 0.51, 0.1, 0.61])
    assert spread([], 0.1) == []


def test_a_directory_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(CapaxError, match="holds no capax experiment"):
        build(tmp_path)


def test_the_page_says_when_a_trial_has_diverged_how_many_did_and_who_proposed_them(finished: Report):
    said = " ".join(text_of(finished).split())
    studies = len(finished.frame)
    assert "A trial has diverged where its training loss" in said
    assert f"Of the infeasible ones: non-finite gradient: {studies}." in said
    assert f"drawn at random: {3 * studies}; of a study's best trial (reruns): " in said
