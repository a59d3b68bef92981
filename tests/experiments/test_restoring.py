"""Models and curves of a finished run that were deleted or damaged."""

import json

import pytest

from capax.engines.local import LocalEngine
from capax.experiments.design import Experiment
from capax.experiments.plan import plan
from capax.experiments.runner import execute
from capax.training import model

TABLE = {
    "name": "small",
    "tasks": ["memory"],
    "cells": ["rnn", "gru"],
    "budgets": [300],
    "trials": 2,
    "steps": [10, 20],
    "reruns": 1,
    "task": {"memory": {"numbers": 3, "time_steps": 3}},
}


def run(directory):
    notes = []
    display = type("Notes", (), {"note": lambda _, text: notes.append(text), "update": lambda _, progress: None})()
    execute(plan(Experiment.model_validate(TABLE, strict=False)), directory, LocalEngine, display)
    return notes


@pytest.fixture
def finished(tmp_path):
    run(tmp_path / "run")
    return tmp_path / "run"


def test_the_same_command_restores_models_to_the_bit_and_says_what_it_cannot(finished):
    models = sorted((finished / "models").iterdir())
    before = [path.read_bytes() for path in models]
    assert run(finished) == ["resuming: 4 finished trials are kept"]
    models[0].unlink()
    models[1].write_bytes(before[1][:100])
    curves = sorted((finished / "curves" / models[0].stem).iterdir())
    for curve in curves:
        curve.unlink()
    notes = run(finished)
    assert any(f"learning curves of {len(curves)} trials are lost" in note for note in notes)
    assert any(f"{models[0]} does not exist" in note and "trained once more to restore it" in note for note in notes)
    assert any(f"{models[1]} is no safetensors file, or is cut short" in note for note in notes)
    assert [path.read_bytes() for path in models] == before
    assert run(finished)[-1] != notes[-1]


def test_a_model_that_does_not_come_out_the_same_is_not_written(finished):
    path = finished / "models" / "memory-rnn-depth1-300.safetensors"
    card, _ = model.read(path)
    path.unlink()
    journal = finished / "optuna.journal"
    score = json.dumps(card.validation["score"])
    assert score in journal.read_text()
    journal.write_text(journal.read_text().replace(score, json.dumps(card.validation["score"] * (1 - 1e-9))))
    notes = run(finished)
    assert "cannot be restored: trained once more, trial" in notes[-1] and not path.exists()
