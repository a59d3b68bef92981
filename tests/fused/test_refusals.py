"""Which built-in cells and tasks have kernels, and why others have none. Nothing is compiled."""

import pytest

from capax import networks, tasks
from capax.cells import registry as cells
from capax.fused import library
from capax.tasks import registry as known
from capax.training.program import SWITCH, Program
from capax.training.trial import NetworkShape, ProgramKey

WHOLE = "a layer that sees whole sequences has no loop over time"
BATCHED = "a product of two arrays for each sample or group (a batched product)"
NOT_FUSED = {
    "transformer": WHOLE,
    "transformer-encoder": WHOLE,
    "heads-2": BATCHED,
    "heads-4": BATCHED,
    "block-transformer": WHOLE,
}


@pytest.fixture(autouse=True)
def planned_only(monkeypatch):
    monkeypatch.setattr(library, "register", lambda source: "planned")
    monkeypatch.delenv(SWITCH, raising=False)


def program(task, cell, budget=50_000):
    size = networks.size(cell, budget=budget, inputs=task.inputs, outputs=task.outputs, depth=2)
    nonlinearity = "tanh" if cell in ("rnn", "gru", "lstm", "ugrnn") else None
    shape = NetworkShape(cell, 2, size.units, size.parameters)
    return Program(ProgramKey(task, shape, nonlinearity), "mapped", task.data(size.parameters))


@pytest.mark.grid(keep=7)
@pytest.mark.parametrize("cell", [*cells.BUILT_IN, "heads-2", "heads-4", "system-lru", "block-gru"])
def test_every_cell_is_fused_or_says_why_not(cell):
    assert program(tasks.get("parentheses", time_steps=20), cell).refusal == NOT_FUSED.get(cell)


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("name", list(known.BUILT_IN))
def test_every_task_is_fused(name):
    assert program(tasks.get(name), "gru").refusal is None


def test_switched_off_is_said(monkeypatch):
    monkeypatch.setenv(SWITCH, "0")
    assert program(tasks.get("parentheses", time_steps=20), "gru").refusal == "CAPAX_FUSED is 0"


def test_a_batch_that_no_tile_divides_is_said():
    task = tasks.get("parentheses", time_steps=20, batch_size=20)
    assert program(task, "gru").refusal == "20 samples, no multiple of 16"


def test_a_task_that_keeps_few_states_is_compiled():
    task = tasks.get("parentheses", time_steps=20)
    size = networks.size("gru", budget=5000, inputs=task.inputs, outputs=task.outputs)
    shape = NetworkShape("gru", 1, size.units, size.parameters, checkpoint_every=5)
    found = Program(ProgramKey(task, shape, "tanh"), "mapped", task.data(size.parameters))
    assert found.refusal == "checkpoint_every is set"
