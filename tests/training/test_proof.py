"""What a worker proves before it trains."""

import sys

import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.training import proof

CELL = '''
import capax

class Mine(capax.cells.get("rnn")):
    """A cell."""
'''


def test_an_installation_proves_its_code_its_versions_and_its_settings(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--one")
    here = proof.of_installation()
    assert len(here["capax"]) == 64 and here["jax"].count(".") == 2 and here["XLA_FLAGS"] == "--one"
    monkeypatch.setenv("XLA_FLAGS", "--other")
    assert proof.differences(here, proof.of_installation()) == ["XLA_FLAGS --other, not --one"]


def test_code_and_data_of_a_trial_are_told_apart_by_their_content(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_proof.py").write_text(CELL)
    data = tmp_path / "words.txt"
    data.write_text("to be or not to be, that is the question. " * 60)
    task = tasks.get("language", path=str(data))
    before = proof.of_trial("of_proof:Mine", task)
    assert set(before) == {"of_proof:Mine (of_proof.py)", "data of language (words.txt)"}
    (tmp_path / "of_proof.py").write_text(CELL + "\n    other = 1\n")
    data.write_text("to be or not to be, that is the answer. " * 60)
    del sys.modules["of_proof"]
    different = proof.differences(before, proof.of_trial("of_proof:Mine", task))
    assert len(different) == 2 and all(".., not " in each for each in different)
    data.unlink()
    with pytest.raises(CapaxError, match="cannot be read"):
        proof.of_trial("of_proof:Mine", task)


def test_what_is_not_there_is_said_to_be_none():
    assert proof.differences({"a": "1", "b": "2"}, {"a": "1"}) == ["b none, not 2"]
    assert proof.differences({"a": "1"}, {"a": "1"}) == []
