"""The experiment file: what is accepted, and the one line for what is not."""

import itertools
import re

import optuna
import pytest
from optuna.distributions import FloatDistribution

from capax.errors import CapaxError
from capax.experiments.design import load, named, parse_setting
from capax.experiments.plan import plan, sampler_seed, trial_seed
from capax.search.grid import Grid

MINIMAL = """
tasks = ["capacity"]
cells = ["rnn"]
budgets = [300]
steps = 100
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return write


def test_a_minimal_file_has_defaults_and_the_name_of_the_file(file):
    experiment = load(file(MINIMAL))
    assert (experiment.name, experiment.steps, experiment.depths, experiment.sampler) == (
        "mine",
        (100, 100),
        [1],
        "bandit",
    )


@pytest.mark.grid(keep=5)
@pytest.mark.parametrize("name", named())
def test_every_named_experiment_can_be_planned(name):
    assert plan(load(name)).studies


def test_the_named_experiments_of_the_main_job_are_there():
    assert {"quickstart", "capacity", "text8"} <= set(named())


def test_studies_are_tasks_by_cells_by_depths_by_budgets(file):
    text = MINIMAL.replace('["rnn"]', '["rnn", "gru"]').replace("[300]", "[300, 600]") + "depths = [1, 2]\n"
    studies = plan(load(file(text))).studies
    assert len({study.name for study in studies}) == len(studies) == 8
    assert all(study.shape.parameters <= study.budget for study in studies)


def test_what_does_not_exist_is_left_out_and_said(file):
    planned = plan(load(file(MINIMAL.replace('["rnn"]', '["intersection"]') + "depths = [1, 2]\n")))
    assert [study.shape.depth for study in planned.studies] == [2]
    assert planned.left_out == ["intersection at depth 1 (it gates between layers, so it needs 2)"]


def test_reruns_that_a_task_does_not_have_are_said(file):
    asked = plan(load(file(MINIMAL), {"tasks": ["capacity", "memory"], "reruns": 2}))
    assert asked.left_out == ["reruns of capacity (its score is the best trial's, which is not trained again)"]
    assert {study.label: study.reruns for study in asked.studies} == {"capacity": 0, "memory": 2}


def test_a_budget_in_which_a_depth_has_no_network_is_left_out_and_said(file):
    planned = plan(load(file(MINIMAL.replace("budgets = [300]", "budgets = [25, 300]") + "depths = [1, 2]\n")))
    assert [(study.shape.depth, study.budget) for study in planned.studies] == [(1, 25), (1, 300), (2, 300)]
    (reason,) = planned.left_out
    assert reason.startswith("a budget of 25 parameters is too small for rnn at depth 2")


def test_hyperparameters_are_fixed_or_chosen_where_a_cell_has_them(file):
    text = MINIMAL.replace('["rnn"]', '["rnn", "irnn"]').replace('["capacity"]', '["memory"]')
    text += '[hyperparameters]\nhidden_init = "normal"\nlearning_rate = [1e-5, 0.5]\nschedule = "cosine"\n'
    for study in plan(load(file(text.replace("hidden_init", "readout_scale").replace('"normal"', "3")))).studies:
        space = study.space
        assert space["readout_scale"].choices == (3.0,) and space["schedule"].choices == ("cosine",)
        assert space["learning_rate"].choices == (1e-5, 0.5) and "optimiser" in space
        assert study.defaults["learning_rate"] == 1e-5 and study.defaults["readout_scale"] == 3.0
        assert study.defaults.keys() == space.keys()
    with pytest.raises(CapaxError, match="hidden_init must be one of identity, or a list of such, not 'normal'"):
        plan(load(file(text)))


def test_a_grid_tries_every_combination_and_leaves_the_rest_at_their_defaults(file):
    text = MINIMAL.replace('["capacity"]', '["memory"]') + 'sampler = "grid"\n'
    text = re.sub("steps = .*", "steps = 7", text)
    text += '[hyperparameters]\nlearning_rate = [1e-3, 1e-2, 1e-1]\noptimiser = ["adam", "sgd"]\n'
    (study,) = plan(load(file(text))).studies
    assert study.trials == 6
    tried = optuna.create_study(sampler=Grid(study.space))
    trials = [tried.ask(study.space).params for _ in range(7)]
    pairs = [(trial["optimiser"], trial["learning_rate"]) for trial in trials]
    assert set(pairs[:6]) == set(itertools.product(("adam", "sgd"), (1e-3, 1e-2, 1e-1))) and pairs[6] == pairs[0]
    assert all(trial["training_steps"] == 7 and trial["readout_scale"] == 1.0 for trial in trials)
    with pytest.raises(CapaxError, match="a grid needs values of l2_decay"):
        optuna.create_study(sampler=Grid(study.space)).ask({"l2_decay": FloatDistribution(0.0, 1.0)})


def test_a_task_table_holds_options_and_overrides(file):
    text = (
        MINIMAL.replace('["capacity"]', '["capacity", "text"]')
        + "[task.capacity]\nbits = 14\ntrials = 3\nbudgets = [200]\n"
    )
    studies = plan(load(file(text))).studies
    assert [(s.task.name, s.trials, s.budget) for s in studies] == [("capacity", 3, 200), ("text", 64, 300)]
    assert studies[0].task.inputs == 14
    assert studies[0].reruns == 0 and studies[1].reruns == 5


def test_sizes_may_be_hidden_units(file):
    experiment = load(file(MINIMAL.replace("budgets = [300]", "units = [4, 9]")))
    studies = plan(experiment).studies
    assert [(study.shape.units, study.budget == study.shape.parameters) for study in studies] == [(4, True), (9, True)]
    assert [study.name for study in studies] == ["capacity-rnn-depth1-4units", "capacity-rnn-depth1-9units"]
    assert plan(load(file(MINIMAL), {"units": [5]})).studies[0].shape.units == 5  # takes the place of budgets


def test_a_task_is_studied_with_each_value_of_a_swept_option(file):
    text = MINIMAL + "\n[task.capacity]\nbits = 12\n[task.capacity.sweep]\ntime_steps = [2, 5]\ndata_seed = [0, 1]\n"
    made = plan(load(file(text)))
    assert [(s.task.time_steps, s.task.data_seed, s.task.bits) for s in made.studies] == [
        (2, 0, 12), (2, 1, 12), (5, 0, 12), (5, 1, 12),
    ]  # fmt: skip
    assert next(iter(made.tasks)) == "capacity, time_steps 2, data_seed 0"
    assert len({study.name for study in made.studies}) == 4


def test_a_setting_for_all_takes_away_what_tasks_say(file):
    text = MINIMAL + "[task.capacity]\ntrials = 3\nbits = 14\n"
    changed = load(file(text), {"trials": 2, "steps": 20})
    assert plan(changed).studies[0].trials == 2
    assert changed.steps == (20, 20)
    assert plan(changed).studies[0].task.inputs == 14


def test_a_setting_for_one_task(file):
    assert plan(load(file(MINIMAL), {"capacity.trials": 7})).studies[0].trials == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trials=4", ("trials", 4)),
        ("cells=rnn,gru", ("cells", ["rnn", "gru"])),
        ('cells=["rnn"]', ("cells", ["rnn"])),
        ("steps=[10, 20]", ("steps", [10, 20])),
        ("steps=10,20", ("steps", [10, 20])),
        ("text.path=/a/b.txt", ("text.path", "/a/b.txt")),
        ("cells=my.cells:Mine", ("cells", "my.cells:Mine")),
    ],
)
def test_settings_from_the_command_line(text, expected):
    assert parse_setting(text) == expected


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("colour = 3", r"unknown key 'colour'; the keys are name, .*budgets"),
        ("budgts = [3]", r"unknown key 'budgts' \(did you mean 'budgets'\?\)"),
        ("trials = 0", r"key 'trials' = 0: .*greater than or equal to 1"),
        ("trials = true", r"key 'trials' = True: .*integer"),
        ("depths = [0]", r"key 'depths.0' = 0"),
        ("steps = [5, 2]", r"steps: the first number must not exceed the second"),
        ('sampler = "tree"', r"key 'sampler' = 'tree': .*'bandit', 'random' or 'grid'"),
        ('steps = [5, 6]\nsampler = "grid"', r"steps: a grid has one number of training steps, got \[\d+, \d+\]"),
        ("[hyperparameters]\nlearning_rat = 1.0", r"hyperparameters.learning_rat: .*did you mean 'learning_rate'"),
        (
            '[hyperparameters]\nlearning_rate = "high"',
            r"hyperparameters.learning_rate must be a number above 0, or a list of such",
        ),
        (
            '[hyperparameters]\noptimiser = ["adam", "lion"]',
            r"hyperparameters.optimiser must be one of sgd, .*, not 'lion'",
        ),
        ("[hyperparameters]\nl2_decay = []", r"hyperparameters.l2_decay: \[\] must have at least one value"),
        ("[hyperparameters]\ntraining_steps = 5", r"hyperparameters.training_steps: set the key `steps` instead"),
        ('cells = ["rnn", "rnn"]', r"cells: .* names something twice"),
        ('tasks = "capacity"', r"key 'tasks' = 'capacity': .*list"),
        ("[task.text]\nwindow = 20", r"task.text: this task is not among tasks"),
        ("seed = -1", r"key 'seed' = -1"),
        ("units = [4]", r"give either budgets .* and not both"),
        ("budgets = []", r"give either budgets .* one of them is missing"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_key(file, change, line):
    key = change.split(" =")[0]
    kept = [row for row in MINIMAL.splitlines() if not row.startswith(f"{key} =")]
    with pytest.raises(CapaxError) as error:
        plan(load(file("\n".join([*kept, change]))))
    assert re.search(line, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ('cells = ["gro"]', r"unknown cell 'gro' \(did you mean 'gru'\?\)"),
        ('tasks = ["capaticy"]', r"unknown task 'capaticy' \(did you mean 'capacity'\?\)"),
        ("budgets = [10]", r"budget of 10 parameters is too small for rnn at depth 1: .* takes \d+"),
        ("[task.capacity]\nbit = 3", r"task capacity has no option 'bit' \(did you mean 'bits'\?\); it has"),
        ("[task.capacity]\nbits = 3.5", r"option bits must be a whole number, not 3.5"),
        ("[task.capacity]\nbits = 99", r"bits must be a whole number from 4 to 24"),
        ("[task.capacity]\nbits = 8", r"samples cannot be distinct with 8 bits"),
        ('cells = ["intersection"]', r"needs a depth of at least 2"),
        ("[task.capacity.sweep]\ntime_steps = 3", r"sweep.time_steps must be a list of values, not 3"),
        ("[task.capacity]\nsweep = 3", r"task.capacity.sweep must be a table of options"),
        ("[task.capacity]\nbits = 12\n[task.capacity.sweep]\nbits = [9]", r"gives bits a value and sweeps it, too"),
        ("[task.capacity.sweep]\nbit = [9]", r"task capacity has no option 'bit'"),
    ],
)
def test_what_cannot_be_planned_is_one_line(file, change, line):
    key = change.split(" =")[0]
    kept = [row for row in MINIMAL.splitlines() if not row.startswith(f"{key} =")]
    with pytest.raises(CapaxError, match=line) as error:
        plan(load(file("\n".join([*kept, change]))))
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path, file):
    with pytest.raises(CapaxError, match=r"unknown experiment 'quikstart' \(did you mean 'quickstart'\?\)"):
        load("quikstart")
    with pytest.raises(CapaxError, match="cannot be read: No such file"):
        load(str(tmp_path / "none.toml"))
    with pytest.raises(CapaxError, match="is not valid TOML"):
        load(file("a = = 3"))
    with pytest.raises(CapaxError, match="key 'tasks' is missing"):
        load(file("cells = ['rnn']"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CapaxError, match="is not a text file"):
        load(str(tmp_path / "binary.toml"))


def test_tuning_and_reruns_never_share_a_seed():
    tuning = {trial_seed(0, "study", 0, number) for number in range(2000)}
    reruns = {trial_seed(0, "study", 1, number) for number in range(2000)}
    assert len(tuning) > 1990  # 30 bits: a few may coincide
    assert not tuning & reruns
    assert trial_seed(0, "study", 0, 5) != trial_seed(1, "study", 0, 5) != trial_seed(0, "other", 0, 5)
    assert sampler_seed(0, "study") != sampler_seed(1, "study")


def test_a_list_of_one_number_of_steps_is_a_fixed_number():
    assert load("capacity", {"steps": [60]}).steps == (60, 60) == load("capacity", {"steps": 60}).steps


def test_a_task_can_have_hyperparameters_batch_and_stopping_of_its_own():
    experiment = load(
        "quickstart",
        {"hyperparameters": {"optimiser": "adam"}, "capacity.hyperparameters.schedule": "cosine", "text.batch": 4},
    )
    capacity, text = experiment.for_task("capacity"), experiment.for_task("text")
    assert capacity.hyperparameters["optimiser"] == "adam" == text.hyperparameters["optimiser"]
    assert capacity.hyperparameters["schedule"] == "cosine" and "schedule" not in text.hyperparameters
    assert (text.batch, text.stopping, capacity.stopping) == (4, "halving", "none")


def test_only_what_is_to_be_tuned_is_tuned():
    settings = {"tasks": ["capacity"], "cells": ["gru"], "capacity.searches": 1}
    (study, _) = plan(load("quickstart", settings)).studies
    free = {name for name, distribution in study.space.items() if not distribution.single()}
    assert free == {"learning_rate", "samples_per_parameter"}
    assert study.space["gate_scale" if "gate_scale" in study.space else "reset_scale"].choices == (1.0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"capacity.tune": ["learning_rat"]},
            "task.capacity.tune: learning_rat: no cell of this experiment has it (did you mean 'learning_rate'",
        ),
        ({"tune": ["nothing"]}, "tune: nothing: no cell"),
        ({"capacity.hyperparameters": 3}, "task.capacity.hyperparameters must be a table, not 3"),
        ({"capacity.hyperparameters.learning_rat": 3}, "task.capacity.hyperparameters.learning_rat: no cell"),
        ({"tune": ["l2_decay"], "sampler": "grid", "steps": 10}, "tune: a grid tries what"),
    ],
)
def test_faults_in_what_is_tuned_are_one_line(settings, message):
    with pytest.raises(CapaxError, match=re.escape(message)) as caught:
        plan(load("quickstart", settings))
    assert "\n" not in str(caught.value)
