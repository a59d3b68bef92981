"""The tables that compare cells, from runs made by hand: each says what its numbers say."""

import numpy as np
import pandas as pd
import pytest

from capax.experiments.describe import describe
from capax.experiments.design import load
from capax.experiments.plan import plan
from capax.report.analyses import analyses
from capax.report.analyses.nonlinearities import relu_only
from capax.report.published import COLLINS
from capax.report.view import RunView


def rows_of(found, name):
    (table,) = [analysis for analysis in found if analysis.name == name]
    return [dict(zip(table.headers, row, strict=True)) for row in table.rows]


def trial(study, number, evaluation, state="complete", rerun=False, **more):
    return {
        "study": study.name, "task": study.label, "cell": study.cell, "depth": study.depth, "budget": study.budget,
        "units": study.units, "parameters": study.parameters, "rerun": rerun, "number": number, "state": state,
        "evaluation": evaluation, "validation": evaluation, **more,
    }  # fmt: skip


def study_row(study, **more):
    return {
        "study": study.name, "task": study.label, "cell": study.cell, "depth": study.depth, "budget": study.budget,
        "units": study.units, "parameters": study.parameters, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def random_run():
    """200 random trials a cell, a quarter of the RNN's diverged, the GRU's errors lower by about
    one.
    """
    chosen = describe(plan(load("trainability", {"cells": ["rnn", "gru"], "depths": [1]})))
    random, rows = np.random.default_rng(0), []
    for study in chosen.studies:
        mean = 5.0 if study.cell == "rnn" else 4.0
        for number in range(200):
            diverged = study.cell == "rnn" and number % 4 == 0
            rows.append(
                trial(
                    study,
                    number,
                    np.nan if diverged else random.normal(mean, 1),
                    "infeasible" if diverged else "complete",
                )
            )
    frame = pd.DataFrame([study_row(study) for study in chosen.studies])
    return analyses(RunView(chosen, frame, pd.DataFrame(rows)))


def test_divergence_stands_beside_the_printed_table(random_run):
    rnn, gru = rows_of(random_run, "infeasible")
    assert rnn["infeasible [95%]"].startswith("25.0% [19.5%, 31.4%")
    assert gru["infeasible [95%]"].startswith("0.0%")
    assert rnn["Collins et al. 2017, Table 1"] == "21.5%"
    assert gru["Collins et al. 2017, Table 1"] == "15.5%"


def test_all_pairs_are_tested_and_the_printed_t_has_our_order(random_run):
    (pair,) = rows_of(random_run, "welch")
    assert pair["pair"] == "rnn / gru"
    assert float(pair["t"]) > 5
    assert pair["p, Holm"] == "< 0.001"
    assert float(pair["t, Collins et al. 2017"]) == -COLLINS.welch_t("gru", "rnn", 1) == 26.5


def test_expected_best_falls_and_ends_at_the_best(random_run):
    for row in rows_of(random_run, "expected-best"):
        values = [float(row[f"after {n}"]) for n in (1, 2, 4, 8, 16, 32, 64, 128)]
        assert values == sorted(values, reverse=True)


@pytest.fixture(scope="module")
def memorised():
    """Capacity of 4 bits a parameter for the RNN, 2 for the GRU, half of that with ReLU."""
    chosen = describe(plan(load("capacity", {"cells": ["rnn", "gru"], "depths": [1]})))
    studies, rows = [], []
    for study in chosen.studies:
        per_parameter = 4.0 if study.cell == "rnn" else 2.0
        bits = per_parameter * study.parameters - 30
        found = {"best": bits, "best_trial": 0, "samples": 1.2 * bits}
        studies.append(study_row(study, bits_per_parameter=bits / study.parameters, **found))
        rows += [trial(study, n, bits - n, hp_nonlinearity="tanh") for n in range(5)]
        rows += [trial(study, n, bits / 2 + 5 - n, hp_nonlinearity="relu") for n in range(5, 10)]
    frame, trials = pd.DataFrame(studies), pd.DataFrame(rows)
    return analyses(RunView(chosen, frame, trials)), trials


def test_capacity_is_a_line_with_its_slope(memorised):
    rnn, gru = rows_of(memorised[0], "growth")
    assert rnn["bits per further parameter [95%]"].startswith("4.00 [4.00")
    assert gru["R²"] == "1.000"
    assert rnn["intercept (bits)"] == "-30.0"


def test_the_multiplier_is_what_the_architecture_above_needs_more(memorised):
    rnn, gru = rows_of(memorised[0], "multipliers")
    assert rnn["rnn"] == gru["gru"] == "1"
    assert float(rnn["gru"].split()[0]) > 1.9  # a GRU needs twice the parameters to hold as much as an RNN
    assert float(gru["rnn"].split()[0]) < 0.55


def test_relu_is_told_apart(memorised):
    best = relu_only(memorised[1], "budget")
    assert np.allclose(best["relu"] * 2, best["any"])
    for row in rows_of(memorised[0], "nonlinearities"):
        assert row["ratio [95%]"].startswith("0.50")


def test_samples_are_compared_with_bits(memorised):
    assert {row["median"] for row in rows_of(memorised[0], "samples")} == {"1.20"}


def test_many_reruns_make_a_robustness_table():
    chosen = describe(plan(load("robustness", {"cells": ["gru"]})))
    (study,) = chosen.studies
    values = np.linspace(1, 2, 11)
    rows = [trial(study, 3, 0.9)] + [trial(study, i, value, rerun=True) for i, value in enumerate(values)]
    rows.append(trial(study, 11, np.nan, "infeasible", rerun=True))
    found = analyses(RunView(chosen, pd.DataFrame([study_row(study, best_trial=3)]), pd.DataFrame(rows)))
    (row,) = rows_of(found, "robustness")
    assert (row["original"], row["infeasible"], row["min"], row["mean"], row["max"]) == (
        "0.900",
        "8%",
        "1.00",
        "1.50",
        "2.00",
    )
    assert row["SD / mean"] == "0.22"
    assert "0.00028; 1%" in row["Collins et al. 2017: original; infeasible; min, mean, max"]


def test_printed_values_are_complete():
    """25 values of t and 11 fractions, as the source's tables have them."""
    table = COLLINS.table
    assert sum(len(row) for depth in table["welch"].values() for row in depth.values()) == 25
    assert sum(map(len, table["infeasible"].values())) == 11
    assert COLLINS.welch_t("intersection", "rnn", 8) == -COLLINS.welch_t("rnn", "intersection", 8) == -25.8
    assert COLLINS.infeasible("irnn", 1) == 0.567 and COLLINS.infeasible("intersection", 1) is None
    assert COLLINS.reruns("gru", 1)["mean"] == 1.89e-4 and COLLINS.reruns("gru", 2) is None
