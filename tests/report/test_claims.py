"""What a report says is so: its head, its findings, its notes, and how its numbers were
obtained.
"""

import html
import re
from pathlib import Path

import pytest

from capax.experiments import design as designs
from capax.experiments.design import parse_setting
from capax.experiments.plan import StudyPlan
from capax.report import Report, build, reproduction, tables
from capax.report.view import RunView
from capax.search.store import Store
from tests.report.runs import add, design, memorised, scored, write_run


def text_of(report: Report) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", report.path.read_text(encoding="utf-8"))).split())


def rows_of(report: Report, name: str) -> list[dict[str, str]]:
    (table,) = [analysis for analysis in report.analyses if analysis.name == name]
    return [dict(zip(table.headers, row, strict=True)) for row in table.rows]


def halved(store: Store, study: StudyPlan) -> None:
    """Three trials: one trained to its end, one stopped with a score, one diverged; two reruns."""
    add(store, study, scored(2.5))
    add(store, study, scored(3.0), stopped=True)
    add(store, study, None)
    for number in range(study.reruns):
        add(store, study, scored(2.6 + 0.1 * number), rerun=True)


ONE_TEXT = {"tasks": ["text"], "cells": ["gru", "rnn"], "task": {"text": {"budgets": [2000]}}}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Report:
    directory = tmp_path_factory.mktemp("stopped") / "run"
    write_run(directory, halved, stopping="halving", **ONE_TEXT)
    return build(directory)


def test_a_stopped_trial_counts_with_its_score_and_only_a_diverged_one_as_a_guess(stopped: Report):
    chance = 4.754887502163469  # log2(27)
    (row, _) = rows_of(stopped, "expected-best")
    assert float(row["after 1"]) == pytest.approx((2.5 + 3.0 + chance) / 3, abs=0.005)
    assert float(row["after 2"]) == pytest.approx((2.5 + 2.5 + 3.0) / 3, abs=0.005)  # the best of each pair
    assert "one that was stopped counts with the score that it had when it was stopped" in text_of(stopped)
    assert "rather too low for the first of them" not in text_of(stopped)


def test_the_median_of_trials_is_said_to_be_of_those_trained_to_their_end(stopped: Report):
    (row, _) = rows_of(stopped, "iterations")
    assert (row["trials"], row["infeasible"], row["stopped"], row["to the end"], row["median"]) == (
        "3", "1", "1", "1", "2.50",
    )  # fmt: skip
    assert "trained to their end, not over those that were stopped or diverged" in text_of(stopped)


def test_what_was_tested_is_said_and_what_it_is_about(stopped: Report):
    text = text_of(stopped)
    assert "Differences were tested for text" in text and "Nothing was tested" not in text
    assert "one set of hyperparameters a cell, over fresh seeds" in text
    (table,) = [analysis for analysis in stopped.analyses if analysis.tested]
    assert table.headers[-1] == "Hedges' g"  # no column of a source that printed nothing of this


def test_a_run_in_which_all_diverged_has_no_word_on_tests(tmp_path: Path):
    write_run(tmp_path / "run", lambda store, study: [add(store, study, None) for _ in range(3)] and None, **ONE_TEXT)
    text = text_of(build(tmp_path / "run"))
    assert "there is no result yet: every trial diverged" in text and "tested" not in text


def test_memorised_bits_claim_no_order_from_one_networks_interval(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        for _ in range(study.trials):
            add(store, study, memorised(1000.0, 990.0 if study.shape.cell == "rnn" else 600.0))

    write_run(tmp_path / "run", fill, tasks=["capacity"], budgets=[300])
    text = text_of(build(tmp_path / "run"))
    assert "rnn stores most" in text and "covers neither seeds nor searches" in text
    assert "overlaps with no other" not in text
    assert "of this one trained network's fraction correct; it does not cover seeds or searches." in text


def test_without_reruns_the_score_of_the_choice_is_shown_and_called_so(tmp_path: Path):
    write_run(tmp_path / "run", lambda store, study: [add(store, study, scored(2.5)) for _ in range(3)] and None,
              reruns=0, **ONE_TEXT)  # fmt: skip
    report = build(tmp_path / "run")
    (table,) = tables(report.frame, report.plan)
    assert [row[table.headers.index("best bits per character, validation")] for row in table.rows[:2]] == ["2.500"] * 2
    assert "nothing was rerun, so there is no result on fresh seeds" in text_of(report)


def test_reruns_decades_apart_are_read_by_their_medians(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        for _ in range(study.trials):
            add(store, study, scored(0.1))
        for value in (1e-4, 2e-4, 1e-1):
            add(store, study, scored(value), rerun=True)

    write_run(tmp_path / "run", fill, tasks=["memory"], budgets=[], units=[16], reruns=3, task={})
    report = build(tmp_path / "run")
    assert list(report.frame["median"]) == [2e-4, 2e-4]
    (table,) = tables(report.frame, report.plan)
    assert table.rows[0][table.headers.index("median")] == "0.0002"
    assert "budget" not in table.headers  # nobody set one
    text = text_of(report)
    assert "the medians are rnn 0.0002 and gru 0.0002" in text and "covers it in less than 95%" in text
    assert "same numbers of units per layer" in text and "budgets of parameters, trials" not in text


def test_a_grid_says_how_many_sets_ran(tmp_path: Path):
    grid = {"learning_rate": [0.001, 0.003, 0.01]}
    write_run(tmp_path / "run", lambda store, study: [add(store, study, scored(2.5)) for _ in range(3)] and None,
              sampler="grid", trials=64, steps=100, hyperparameters=grid, **ONE_TEXT)  # fmt: skip
    text = text_of(build(tmp_path / "run"))
    assert "a grid of 3 sets of hyperparameters was tried, fewer than the 64 asked for" in text


def test_a_task_with_one_set_of_data_does_not_claim_another(tmp_path: Path):
    write_run(tmp_path / "run", halved, tasks=["rcf"], cells=["gru"], budgets=[1000], task={})
    text = text_of(build(tmp_path / "run"))
    assert "The task has one set of data" in text and "took no part in any choice" not in text


def test_what_was_made_smaller_is_said_of_the_design_alone():
    assert "Python's help texts" in designs.load("text8").smaller
    assert designs.load("text8", {"trials": 1}).smaller == ""
    assert "made smaller" not in designs.load("text8").source


@pytest.mark.parametrize(
    "settings",
    [
        {"hyperparameters.optimiser": "adam", "hyperparameters.learning_rate": [0.001, 0.01]},
        {"cells": ["gru"], "text.window": 40, "steps": [10, 20]},
        {"task.text.sweep": {"window": [20, 40]}},
    ],
    ids=["hyperparameters", "lists", "sweep"],
)
def test_the_command_can_be_pasted(settings: dict):
    """Through the shell's parser and the command line's, to the same experiment."""
    experiment = designs.load("quickstart", settings)
    words = reproduction.shlex.split(reproduction.command(experiment, Path("runs/a b")))
    assert words[:5] == ["capax", "run", "quickstart", "--out", "runs/a b"]
    given = dict(parse_setting(word) for word in words[5:] if word != "--set")
    wanted = experiment.model_dump(exclude=set(designs.WORDS))
    assert designs.load("quickstart", given).model_dump(exclude=set(designs.WORDS)) == wanted


def test_how_to_reproduce_names_versions_machine_and_data(stopped: Report):
    text, environment = text_of(stopped), stopped.plan.environment
    for part in (environment.jax, environment.jaxlib, environment.numpy, environment.processor, environment.machine):
        assert part in text
    assert "SHA-256" in text


def test_figures_have_numbers_in_words(stopped: Report):
    page = stopped.path.read_text(encoding="utf-8")
    alts, captions = re.findall('alt="([^"]+)"', page), re.findall("<figcaption>(.*?)</figcaption>", page)
    assert len(alts) == len(captions) == len(stopped.figures)
    assert all(re.search(r"\d", alt) for alt in alts) and not set(alts) & set(captions)
    assert [f"Figure {number}." in caption for number, caption in enumerate(captions, 1)] == [True] * len(captions)


def test_a_few_relu_trials_are_no_comparison(tmp_path: Path):
    write_run(tmp_path / "run", tasks=["capacity"])
    report = build(tmp_path / "run")
    assert not [analysis for analysis in report.analyses if analysis.name == "nonlinearities"]
    assert not [name for name in report.figures if "relu" in name]


def test_views_know_their_variants(tmp_path: Path):
    planned = design(tasks=["text"], cells=["gru"], task={"text": {"budgets": [2000], "sweep": {"window": [20, 40]}}})
    assert planned.variants("text") == [{"window": 20}, {"window": 40}]
    write_run(tmp_path / "run", halved, tasks=["text"], cells=["gru"],
              task={"text": {"budgets": [2000], "sweep": {"window": [20, 40]}}})  # fmt: skip
    report = build(tmp_path / "run")
    first, second = RunView(report.plan, report.frame, report.trials).tasks
    assert first.leads and not second.leads and len(first.variants) == 2
    assert "text-window" in report.figures
