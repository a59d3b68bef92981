"""A study's space follows from what cell, optimiser, and task declare."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import capax
from capax import cells, tasks
from capax.cells.cell import Affine, Cell, affine, hyperparameter
from capax.errors import CapaxError
from capax.hyperparameters import Choice, Hyperparameter, Number
from capax.search.space import check_names, declared, defaults, described, distribution, narrowed, space

STEPS = (10, 100)
CAPACITY, GRU = tasks.get("capacity"), cells.get("gru")


def given(values, cell=GRU, task=CAPACITY, grid=False):
    return narrowed(space(cell, task, STEPS), cell, task, values, grid=grid)


def test_the_space_of_an_lstm_with_the_capacity_task_has_the_names_and_the_order_that_trials_are_drawn_in():
    parts = ("input", "forget", "candidate", "output")
    expected = ["nonlinearity"]
    expected += [f"{part}_{of}" for part in parts for of in ("init", "scale", "input_scale")]
    expected += ["readout_scale", "bias_distribution", "bias_scale", "forget_bias"]
    expected += ["optimiser", "learning_rate", "learning_rate_decay", "momentum_logit", "gradient_clip", "l2_decay"]
    expected += ["training_steps", "samples_per_parameter", "input_always"]
    assert list(space(cells.get("lstm"), CAPACITY, STEPS)) == expected


def test_a_declaration_becomes_the_distribution_that_says_the_same():
    assert distribution(Number("x", 1.0, 0.5, 2.0, log=True)) == FloatDistribution(0.5, 2.0, log=True)
    assert distribution(Number("x", 1.0, -0.5, 2.0)) == FloatDistribution(-0.5, 2.0)
    assert distribution(Number("x", 1, 1, 6, whole=True)) == IntDistribution(1, 6)
    assert distribution(Choice("x", "a", ("a", "b"))) == CategoricalDistribution(("a", "b"))


@pytest.mark.parametrize("cell", cells.BUILT_IN)
@pytest.mark.parametrize("task", tasks.BUILT_IN)
def test_the_first_proposal_is_in_the_space_of_every_cell_and_task(cell, task):
    found = space(cells.get(cell), tasks.get(task), STEPS)
    first = defaults(cells.get(cell), tasks.get(task), found)
    assert first.keys() == found.keys() and first["training_steps"] == 100
    for name, value in first.items():
        assert found[name]._contains(found[name].to_internal_repr(value)), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"samples_per_parameter": 20},
            "samples_per_parameter must be a number from 0.1 to 10, or a list of such, not 20",
        ),
        ({"samples_per_parameter": [1.0, 20]}, "not 20"),
        ({"learning_rate": -1.0}, "learning_rate must be a number above 0, or a list of such, not -1.0"),
        ({"learning_rate": float("nan")}, "not nan"),
        ({"learning_rate": [1e-3, float("inf")]}, "not inf"),
        ({"learning_rate": True}, "not True"),
        ({"input_always": 1}, "input_always must be one of true, false"),
        ({"reset_scale": [[1.0]]}, "reset_scale must be a number"),
        ({"l2_decay": []}, "at least one value"),
        ({"l2_decay": [0, 0.0]}, "none twice"),
        ({"learning_rate": {"low": 0.01}}, "a range has `low` and `high`, not low"),
        ({"learning_rate": {"low": 0.01, "high": 0.1, "step": 1}}, "not low, high, step"),
        ({"learning_rate": {"low": 0.1, "high": 0.01}}, "low must be less than high, got 0.1 and 0.01"),
        ({"learning_rate": {"low": 0.0, "high": 0.01}}, "low must be a number above 0, not 0.0"),
        ({"l2_decay": {"low": 0, "high": 0.01}}, "low must be above 0, since it is drawn on a logarithmic scale"),
        ({"input_always": {"low": 0, "high": 1}}, "a range is for numbers; this one is one of true, false"),
    ],
)
def test_a_value_that_a_hyperparameter_cannot_have_is_refused_in_one_line(values, message):
    with pytest.raises(CapaxError, match=message) as caught:
        given(values)
    assert str(caught.value).startswith(f"hyperparameters.{next(iter(values))}") and "\n" not in str(caught.value)


def test_a_given_value_may_lie_outside_the_tuners_range():
    found = given({"learning_rate": [1e-5, 0.5], "l2_decay": 0})
    assert found["learning_rate"].choices == (1e-5, 0.5) and found["l2_decay"].choices == (0.0,)


def test_a_range_narrows_a_hyperparameter_on_its_own_scale_and_starts_from_its_middle():
    ranges = {"learning_rate": {"low": 1e-5, "high": 1e-3}, "momentum_logit": {"low": 2, "high": 4}}
    found = given(ranges)
    assert found["learning_rate"] == FloatDistribution(1e-5, 1e-3, log=True)
    assert found["momentum_logit"] == FloatDistribution(2.0, 4.0)
    first = defaults(cells.get("gru"), tasks.get("capacity"), found)
    assert first["learning_rate"] == pytest.approx(1e-4) and first["momentum_logit"] == 3.0


def test_a_range_of_whole_numbers_holds_whole_numbers():
    found = given({"compute_steps": {"low": 2, "high": 5}}, task=tasks.get("arithmetic"))
    assert found["compute_steps"] == IntDistribution(2, 5)
    assert defaults(cells.get("gru"), tasks.get("arithmetic"), found)["compute_steps"] == 4


def test_a_grid_takes_no_range():
    with pytest.raises(CapaxError, match="learning_rate: a grid needs a list of values, not a range"):
        given({"learning_rate": {"low": 0.01, "high": 0.1}}, grid=True)


def test_compute_steps_that_run_off_the_end_of_the_sequence_are_refused():
    arithmetic = tasks.get("arithmetic")
    with pytest.raises(CapaxError, match="compute_steps must be a whole number from 1 to 6, or a list of such, not 20"):
        given({"compute_steps": 20}, task=arithmetic)
    assert given({"compute_steps": [1, 6.0]}, task=arithmetic)["compute_steps"].choices == (1, 6)


def test_a_value_of_the_network_is_refused_wherever_a_network_is_made():
    with pytest.raises(CapaxError, match="GRU: reset_scale must be a number at least 0, not -1"):
        capax.Network.create("gru", inputs=2, outputs=1, units=3, key=_key(), reset_scale=-1)
    with pytest.raises(CapaxError, match="LRU: least_modulus must be a number at least 0 and below 1, not 1"):
        capax.Network.create("lru", inputs=2, outputs=1, units=3, key=_key(), least_modulus=1.0)


def _key():
    import jax

    return jax.random.key(0)


def _cell(scalar: str = "own", part: str = "hidden", second: str = "other"):
    class Mine(Cell):
        maps: Affine = affine(part, second)
        __annotations__[scalar] = object
        locals()[scalar] = hyperparameter(0.0, 6.0, default=1.0)

    return Mine


@pytest.mark.parametrize(
    ("cell", "name", "owners"),
    [
        (_cell(scalar="learning_rate"), "learning_rate", ("cell Mine", "the optimiser")),
        (_cell(scalar="samples_per_parameter"), "samples_per_parameter", ("cell Mine", "the task capacity")),
        (_cell(scalar="training_steps"), "training_steps", ("cell Mine", "the experiment's key `steps`")),
        (_cell(scalar="bias_scale"), "bias_scale", ("the network", "cell Mine")),
        (_cell(scalar="hidden_scale"), "hidden_scale", ("the affine part 'hidden'", "cell Mine")),
        (_cell(part="readout"), "readout_scale", ("the affine part 'readout'", "the network")),
        (_cell(part="bias"), "bias_scale", ("the affine part 'bias'", "the network")),
        (
            _cell(part="hidden", second="hidden"),
            "hidden_init",
            ("the affine part 'hidden'", "the affine part 'hidden'"),
        ),
        (_cell(part="x", second="x_input"), "x_input_scale", ("the affine part 'x'", "the affine part 'x_input'")),
    ],
)
def test_a_name_that_a_cell_shares_with_another_owner_is_refused_in_one_line(cell, name, owners):
    with pytest.raises(CapaxError, match=f"the hyperparameter {name} belongs to ") as caught:
        declared(cell, CAPACITY)
    first, _, second = str(caught.value).partition(" and to ")
    assert owners[0] in first and owners[1] in second and "\n" not in str(caught.value)


def test_a_clash_is_refused_when_an_experiment_is_planned(tmp_path, monkeypatch):
    (tmp_path / "clashing.py").write_text(
        textwrap.dedent("""
            from capax import Affine, Cell, affine, hyperparameter

            class Mine(Cell):
                maps: Affine = affine("hidden")
                learning_rate: object = hyperparameter(0.0, 6.0, default=1.0)

                def project(self, x):
                    return self.maps.project(x)

                def step(self, h, projected):
                    h = self.s(self.maps.recur(h, projected))
                    return h, h
        """)
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CapaxError, match=r"learning_rate belongs to .*cell Mine and to the optimiser"):
        capax.run("capacity", out=tmp_path / "run", cells=["clashing:Mine"], depths=[1], budgets=[100], trials=1)
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_a_cell_cannot_start_from_is_refused():
    task = tasks.get("teacher", told=True, largest_phase=0.0)
    with pytest.raises(
        CapaxError, match=r"LRU: largest_phase, as task teacher has it, must be a number above 0 .* not 0.0"
    ):
        declared(cells.get("lru"), task)
    assert declared(cells.get("rnn"), task)  # has no such hyperparameter


def test_a_misspelt_name_is_met_with_a_near_one():
    with pytest.raises(CapaxError, match="did you mean 'learning_rate'"):
        check_names({"learning_rat": 1.0}, [(GRU, CAPACITY)])


def test_the_list_of_hyperparameters_says_all_that_is_declared():
    found = {row["name"]: row for row in described("gru", "capacity")}
    assert found["learning_rate"]["default"] == 0.03  # what the task starts from
    assert found["samples_per_parameter"]["range"] == [0.1, 10.0]
    assert found["samples_per_parameter"]["scale"] == "log" and found["schedule"]["tuned"] is False
    assert found.keys() == declared(GRU, CAPACITY).keys()
    assert {"learning_rate", "compute_steps"} <= {row["name"] for row in described(None, None)}
    with pytest.raises(CapaxError, match="unknown task"):
        described("gru", "capacitx")


@pytest.mark.parametrize("room", ["cells", "networks", "tasks", "training.optimiser"])
def test_what_declares_hyperparameters_knows_nothing_of_the_tuner(room):
    program = f"import sys, capax.{room}; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2]).returncode == 0


def test_an_unknown_kind_of_hyperparameter_has_no_distribution():
    class Other(Hyperparameter):
        name, default, meaning, tuned = "x", 0, "", True
        due = "anything"
        allows = read = describe = lambda self, *_: None

    with pytest.raises(TypeError, match="unknown hyperparameter"):
        distribution(Other())
