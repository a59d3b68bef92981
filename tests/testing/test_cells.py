"""Faulty cells of every kind are told their fault; healthy ones, all built-in ones among them, pass
every check.
"""

import json
import subprocess
import sys

import pytest

from capax import cells
from capax.cells import contract
from capax.errors import CapaxError, CapaxWarning, UserCodeError
from capax.finding import ask
from capax.testing import CellConformance, examine
from capax.testing.cells import CHECKS, CONTRACT, CellUnderTest
from tests.testing import faulty_cells as faulty
from tests.testing.command import check

BY_NAME = {check.__name__: check for check in CHECKS}

REFUSED = [
    (faulty.WrongShape, "shapes", r"output has shape \(3, 3\) where \(units, batch\) = \(4, 3\) is due"),
    (faulty.WrongShapeInStep, "shapes", r"output has shape \(3,\)"),
    (faulty.StateGrows, "shapes", r"state of shape \(4, 3\) .* into \(8, 3\)"),
    (faulty.StateChangesType, "shapes", "state .* into .* bfloat16"),
    (faulty.OutputChangesType, "shapes", "output has the type float16"),
    (faulty.IntegerState, "shapes", "its state has the type int32"),
    (faulty.Complex, "shapes", "write real and imaginary parts as arrays of their own, as lru does"),
    (faulty.ComplexState, "shapes", "write real and imaginary parts as arrays of their own, as lru does"),
    (faulty.PythonIf, "shapes", "control flow cannot be traced: an `if`"),
    (faulty.NumpyOnArray, "shapes", r"cannot be traced: .*\(NumPy in place of jax.numpy"),
    (faulty.Raises, "shapes", "raised: RuntimeError: not today"),
    (faulty.StepGivesOneThing, "shapes", "step must return a pair, the new state and the output, not an array"),
    (faulty.StepGivesThree, "shapes", "step must return a pair, the new state and the output, not 3 values"),
    (faulty.ForgetsStates, "shapes", r"values to unpack .* \(a state of several vectors is declared: `states = "),
    (faulty.ForgetsColumn, "shapes", r"\(states and inputs have batch axes behind .* `column\("),
    (faulty.ForgetsProject, "complete", "is not complete: write project in ForgetsProject"),
    (faulty.RaisesForMany, "batch_sizes", "batch of 720 raised: ValueError: too many"),
    (faulty.ProjectMixesSamples, "project", "project sees other inputs"),
    (faulty.ProjectKeepsItsInput, "project", "project sees the state or other inputs"),
    (faulty.ProjectSeesTheState, "project", "project sees the state or other inputs"),
    (faulty.StepKeepsItsState, "memory", "belongs in the state"),
    (faulty.NumpyNoise, "randomness", "NumPy noise"),
    (faulty.OwnKey, "randomness", "draws random numbers with a key of its own"),
    (faulty.WhileLoop, "differentiable", "gradient cannot be computed"),
    (faulty.BatchMean, "samples", "depend on the batch"),
    (faulty.BatchNumber, "samples", "depend on the batch"),
]
"""What no command takes: the cell, the check that tells, and what it says."""

FOUND = [
    (faulty.Prints, "side_effects", r"a step prints \('a step'\)"),
    (faulty.Counts, "side_effects", "a step changes CALLS"),
    (faulty.Remembers, "side_effects", "a step changes SEEN"),
    (faulty.DebugPrints, "side_effects", "effects on the host"),
    (faulty.Nan, "finite", "outputs are NaN from step 1 "),
    (faulty.NanLater, "finite", "outputs are (NaN|infinite) from step [2-9] "),
    (faulty.NanGradient, "gradient", "gradient is NaN for .*hidden.recurrent"),
    (faulty.NoGradient, "gradient", "zero for all parameters"),
    (faulty.SignOfState, "gradient", "zero for all parameters"),
    (faulty.UnusedMap, "parameters_have_effect", "no effect .* hidden.recurrent"),
    (faulty.UnusedBlock, "parameters_have_effect", r"no effect .* maps.recurrent \(gate\)"),
    (faulty.NotInitialised, "initialised", "own starts at zeros.* `drawn"),
    (faulty.DrawsWithoutKey, "seeds", "drawn without the key"),
    (faulty.DrawsWithOwnKey, "seeds", "all seeds begin alike"),
    (faulty.ShrinksWithUnits, "sizing", "more must have more"),
    (faulty.AlwaysTanh, "nonlinearity", r"choice of a nonlinearity \(tanh or relu\) changes nothing"),
    (faulty.Uncountable, "cost", "operations cannot be counted"),
    (faulty.UnusedHyperparameter, "hyperparameters", "change nothing: leak"),
    (faulty.ClashingHyperparameter, "hyperparameters", "learning_rate"),
]
"""What is told by `capax check`, and may be meant."""


@pytest.mark.parametrize(("cell", "check", "message"), REFUSED, ids=lambda part: getattr(part, "__name__", None))
def test_what_is_surely_wrong_is_named_and_refused_wherever_the_cell_is_used(cell, check, message):
    found = examine(cell)
    assert [finding.name for finding in found.findings if not finding.passed] == [check.replace("_", " ")]
    with pytest.raises(UserCodeError, match=message) as caught:
        cells.get(cell)
    line = str(caught.value)
    assert line == f"cell '{cell.__name__}': {found.findings[-1].message}" and "\n" not in line


@pytest.mark.grid(keep=10)
@pytest.mark.filterwarnings("ignore::capax.errors.CapaxWarning")
@pytest.mark.parametrize(("cell", "check", "message"), FOUND, ids=lambda part: getattr(part, "__name__", None))
def test_other_faults_are_named_by_their_check(cell, check, message):
    found = ask(BY_NAME[check], CellUnderTest(cell))
    assert not found.passed and "\n" not in found.message
    with pytest.raises(AssertionError, match=message):
        getattr(type("TestIt", (CellConformance,), {"cell": cell})(), f"test_{check}")()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (faulty.Prints, "a step prints"),
        (faulty.NoGradient, "gradient is zero"),
        (faulty.CallsBack, "back to Python"),
        (faulty.AlwaysTanh, "the tuner would try each"),
    ],
)
def test_what_may_be_meant_is_a_warning_when_the_cell_is_loaded(cell, message):
    with pytest.warns(CapaxWarning, match=message):
        contract.require(cell.__name__, cell)


class TestHealthy(CellConformance):
    """What an author writes."""

    cell = faulty.Healthy


class TestPlain(CellConformance):
    """A plain module passes, too."""

    cell = "equinox.nn:GRUCell"


@pytest.mark.parametrize("first", CONTRACT, ids=lambda check: check.__name__)
def test_checks_may_be_run_in_any_order(first):
    cell = CellUnderTest(faulty.Healthy)
    assert ask(first, cell).passed
    assert [found.name for found in (ask(check, cell) for check in CONTRACT) if not found.passed] == []


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("name", [*cells.BUILT_IN, "heads-2", "system-lru", "block-gru"])
def test_built_in_cells_pass_every_check(name):
    found = examine(name)
    assert [(finding.name, finding.message) for finding in found.findings if finding.message] == []
    assert len(found.findings) == len(CHECKS)


def test_the_checks_that_others_need_come_first():
    assert CHECKS[: len(CONTRACT)] == CONTRACT


def test_the_command_prints_a_line_a_check_and_ends_with_2_where_one_fails(monkeypatch, capsys):
    code, out, err = check([f"{faulty.__name__}:BatchMean"], monkeypatch, capsys)
    lines = out.splitlines()
    assert (code, err) == (2, "") and len(lines) == len(CONTRACT)
    assert lines[0].split() == ["passed", "complete"] and lines[-1].startswith("FAULT   samples")


def test_the_command_gives_json_and_a_users_traceback(monkeypatch, capsys):
    code, out, _ = check([f"{faulty.__name__}:Raises", "--json"], monkeypatch, capsys)
    answer = json.loads(out)
    assert code == 2 and not answer["passed"] and answer["kind"] == "cell"
    finding = answer["checks"][-1]
    assert finding["name"] == "shapes" and 'raise RuntimeError("not today")' in finding["user_traceback"]


def test_a_name_that_leads_nowhere_is_an_error_and_no_finding():
    with pytest.raises(CapaxError, match="did you mean 'gru'"):
        examine("gruu")


def test_no_test_runner_is_needed():
    code = "import sys; sys.modules['pytest'] = None; import capax.testing"
    subprocess.run([sys.executable, "-c", code], check=True)
