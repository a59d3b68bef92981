"""Searches that are made several times: one row, with an interval that covers another search."""

import html
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from capax.errors import CapaxError
from capax.experiments import results, searches
from capax.experiments.plan import StudyPlan, plan, sampler_seed, trial_seed
from capax.report import Report, build, tables
from capax.search.store import Store
from tests.report.runs import add, design, memorised, scored, write_run

CORRECT = {"rnn": (990.0, 960.0, 980.0), "gru": (700.0, 690.0, 705.0)}
CAPACITY = {"tasks": ["capacity"], "budgets": [300], "searches": 3}


def bits(correct: float) -> float:
    return memorised(1000.0, correct)["score"]


def memorise(store: Store, study: StudyPlan) -> None:
    """Each search's best trial is its second."""
    for correct in (510.0, CORRECT[study.shape.cell][study.search - 1], 505.0):
        add(store, study, memorised(1000.0, correct))


def rerun(store: Store, study: StudyPlan) -> None:
    for _ in range(study.trials):
        add(store, study, scored(2.0))
    for number in range(study.reruns):
        add(store, study, scored(2.5 + 0.1 * study.search + (0.01 if number else -0.01)), rerun=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    directory = tmp_path_factory.mktemp("searches") / "run"
    write_run(directory, memorise, **CAPACITY)
    return build(directory)


def text_of(report: Report) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", report.path.read_text(encoding="utf-8"))).split())


def test_each_search_is_a_study_with_seeds_and_a_tuner_of_its_own():
    studies = plan(design(**CAPACITY)).studies
    names = [study.name for study in studies if study.shape.cell == "rnn"]
    assert names == ["capacity-rnn-depth1-300", "capacity-rnn-depth1-300-search2", "capacity-rnn-depth1-300-search3"]
    assert len({sampler_seed(0, name) for name in names} | {trial_seed(0, name, 0, 0) for name in names}) == 6
    one = plan(design(**{**CAPACITY, "searches": 1})).studies
    assert [study.name for study in one] == [study.name for study in studies if study.search == 1]


def test_a_row_is_the_mean_of_the_bests_with_an_interval_for_another_search(report: Report):
    _, run = results.read(report.directory)
    rows = searches.joined(report.frame, run)
    assert len(report.frame) == 6 and list(rows["cell"]) == ["rnn", "gru"]
    for row in rows.to_dict("records"):
        values = np.array([bits(correct) for correct in CORRECT[row["cell"]]])
        half = stats.t.ppf(0.975, 2) * values.std(ddof=1) * math.sqrt(1 + 1 / 3)
        assert row["best"] == pytest.approx(values.mean()) and row["most"] == values.max()
        assert (row["low"], row["high"]) == pytest.approx((max(0, values.mean() - half), values.mean() + half))
        assert row["bits_per_parameter"] == pytest.approx(values.mean() / row["parameters"])
        assert row["bits_per_parameter_high"] == pytest.approx(row["high"] / row["parameters"])
        assert (row["trials"], row["planned"], row["searches"]) == (9, 9, 3)
        assert row["fraction_correct"] == max(CORRECT[row["cell"]]) / 1000  # the best search's


def test_tables_and_sentences_say_what_the_interval_covers(report: Report):
    (table,) = tables(report.frame, report.plan)
    assert "bits per parameter [95%, another search]" in table.headers and table.studies == 2
    assert table.rows[0][table.headers.index("trials")] == "9/9"
    text = text_of(report)
    assert "the mean over 3 searches with other seeds" in text and "of this one trained network" not in text
    assert "prediction interval for the best of another search with as many trials" in text
    assert "What is said holds for the hyperparameters that one search chose" not in text
    assert "Each value is one search's" in text and "Do cells differ?" in text
    assert "Over 3 searches it differs from gru (Welch's test" in text
    assert "search 3" in text  # the hyperparameters that each search chose


def test_cells_are_compared_over_searches(report: Report):
    (test,) = [analysis for analysis in report.analyses if analysis.tested]
    (row,) = [dict(zip(test.headers, row, strict=True)) for row in test.rows]
    first, second = ([bits(correct) for correct in CORRECT[cell]] for cell in ("rnn", "gru"))
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert float(row["t"]) == pytest.approx(expected.statistic, abs=0.01)
    assert float(row["df"]) == pytest.approx(expected.df, abs=0.01)


def test_a_score_on_other_data_is_the_mean_over_searches(tmp_path: Path):
    write_run(tmp_path / "run", rerun, tasks=["text"], searches=3)
    report = build(tmp_path / "run")
    _, run = results.read(report.directory)
    for row in searches.joined(report.frame, run).to_dict("records"):
        half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
        assert (row["best"], row["low"], row["high"]) == pytest.approx((2.7, 2.7 - half, 2.7 + half))
        assert (row["reruns"], row["reruns_due"]) == (6, 6)
    assert "it covers seeds and searches" in text_of(report)


def test_a_search_in_which_all_diverged_leaves_the_others(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        if study.search != 2:
            return memorise(store, study)
        for _ in range(study.trials):
            add(store, study, None)

    write_run(tmp_path / "run", fill, **CAPACITY)
    report = build(tmp_path / "run")
    _, run = results.read(report.directory)
    row = searches.joined(report.frame, run).to_dict("records")[0]
    assert row["infeasible"] == 3 and row["interval"] == "95%, Student, for another search, from 2 searches"
    assert row["best"] == pytest.approx((bits(990.0) + bits(980.0)) / 2)


def test_searches_that_are_not_begun_yet_are_missing(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        if study.search == 1:
            memorise(store, study)

    write_run(tmp_path / "run", fill, **CAPACITY)
    report = build(tmp_path / "run")
    (table,) = tables(report.frame, report.plan)
    assert table.rows[0][table.headers.index("trials")] == "3/9"
    assert "6 of 18 trials are done" in text_of(report)


def test_a_run_goes_on_with_more_searches_and_not_with_fewer(tmp_path: Path):
    write_run(tmp_path / "run", memorise, **{**CAPACITY, "searches": 2})
    write_run(tmp_path / "run", lambda store, study: memorise(store, study) if study.search == 3 else None, **CAPACITY)
    assert len(build(tmp_path / "run").frame) == 6
    with pytest.raises(CapaxError, match="searches = 3, this one 1"):
        write_run(tmp_path / "run", memorise, **{**CAPACITY, "searches": 1})


def test_the_interval_covers_the_best_of_another_search():
    """Simulated: bests of 8 trials, whose scores are normal, and skewed to either side
    (docs/decisions/intervals.md).
    """
    random = np.random.default_rng(0)
    draws = {
        "normal": random.normal(10, 1, (4, 8, 20_000)),
        "to the right": random.lognormal(0, 0.5, (4, 8, 20_000)),
        "to the left": 10 - random.exponential(1.0, (4, 8, 20_000)),
    }
    for name, scores in draws.items():
        bests = scores.max(axis=1)
        known, new = bests[:3], bests[3]
        covered = 0
        for one, other in zip(known.T[:4000], new[:4000], strict=True):
            found = searches.spread(one, prediction=True)
            covered += found["low"] <= other <= found["high"]
        assert covered / 4000 > 0.9, name


def test_a_cell_that_has_not_begun_at_a_size_leaves_the_report_whole(tmp_path: Path):
    def fill(store: Store, study: StudyPlan) -> None:
        if study.shape.cell == "rnn" or study.budget == 200:
            memorise(store, study)

    write_run(tmp_path / "run", fill, **{**CAPACITY, "budgets": [200, 300]})
    assert "27 of 36 trials are done" in text_of(build(tmp_path / "run"))
