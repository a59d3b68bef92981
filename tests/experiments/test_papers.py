"""Every experiment in papers/ parses, states its cost, and runs in small; the named experiments are
those of the papers.
"""

from pathlib import Path

import pytest

import capax
from capax.experiments import design
from capax.experiments.cost import expected
from capax.experiments.plan import plan

PAPERS = Path(__file__).parents[2] / "papers"
AT_DESK_ALONE = {"memory-irnn", "capacity-relu", "capacity-depth4", "arithmetic-depths"}
FILES = sorted(PAPERS.glob("*/*/*.toml"))
NAMES = [str(file.relative_to(PAPERS)) for file in FILES]
NAMED = [file for file in sorted((PAPERS / "collins2017" / "desk").glob("*.toml")) if file.stem not in AT_DESK_ALONE]
DESK = sorted(PAPERS.glob("*/desk/*.toml"))
COLLINS = {
    "capacity",
    "inputs",
    "unrolling",
    "memory",
    "text8",
    "rcf",
    "parentheses",
    "arithmetic",
    "trainability",
    "robustness",
}


def loaded(file):
    """As it is, but without the user's own text8."""
    settings = {"text.path": None} if file.parent.name == "full" and file.stem == "text8" else {}
    experiment = design.load(str(file))
    if settings:
        experiment = experiment.model_copy(update={"task": {}})
    return experiment


ZUCCHET = {"teacher", "teacher-told", "teacher-parameters", "teacher-gated", "heads", "ablation"}


@pytest.mark.parametrize(
    ("paper", "studies", "at_desk_alone"),
    [("collins2017", COLLINS, AT_DESK_ALONE), ("zucchet2024", ZUCCHET, {"teacher-long"})],
)
def test_both_presets_of_every_study_are_there(paper, studies, at_desk_alone):
    assert {file.stem for file in (PAPERS / paper / "full").glob("*.toml")} == studies
    assert {file.stem for file in (PAPERS / paper / "desk").glob("*.toml")} == studies | at_desk_alone


@pytest.mark.grid(keep=10)
@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_it_parses_stops_nothing_and_states_its_cost(file):
    experiment = loaded(file)
    assert experiment.stopping == "none"  # a reproduction
    assert experiment.name == file.stem
    chosen = plan(experiment)
    cost = expected(chosen)
    assert cost.trials == sum(study.trials for study in chosen.studies)
    assert cost.operations > 1e9
    assert cost.seconds > 0
    if file.parent.name == "desk":
        assert experiment.smaller


@pytest.mark.parametrize("file", NAMED, ids=[file.stem for file in NAMED])
def test_the_named_experiment_is_the_desk_preset(file):
    """But for what makes it quicker: trials may be stopped, and a search is not repeated."""
    named, paper = design.load(file.stem), design.load(str(file))
    assert named.model_copy(update={"stopping": "none", "searches": paper.searches, "smaller": paper.smaller}) == paper


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("file", DESK, ids=[file.stem for file in DESK])
def test_it_runs_in_small(file, tmp_path):
    """`capax run FILE --set trials=2 --set steps=20`, with one cell at the smallest size and
    depth.
    """
    experiment = design.load(str(file))
    smallest = {"units": [8]} if experiment.units else {"budgets": experiment.budgets[:1]}
    settings = {
        "trials": 2,
        "steps": 20,
        "cells": experiment.cells[:1],
        "depths": [1],
        "reruns": min(experiment.reruns, 2),
        "searches": 1,
        **smallest,
    }
    report = capax.run(str(file), out=tmp_path, **settings)
    assert (report.frame["trials"] == 2).all()
    assert report.path.exists()
    assert report.analyses
