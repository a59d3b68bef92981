"""Model files and checkpoints from anyone: one line, at once, in little memory; no code runs."""

import json
import struct
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from capax.errors import CapaxError
from capax.training import checkpoint, model
from capax.training.checkpoint import load_arrays, load_state
from capax.training.program import State
from tests.bounded import look
from tests.training.test_model import path, rewritten  # noqa: F401  (path is a fixture)

ENTRY = b'"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'


def file(place, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    place.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return place


def tensor(shape, begin, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


def card(text):
    return {"__metadata__": {"capax.model": text}}


def test_headers_that_cannot_be_are_refused_at_once_and_in_little_memory(tmp_path):
    many = tmp_path / "many"
    with many.open("wb") as out:  # ten million entries
        out.write(struct.pack("<Q", len(ENTRY) * 10_000_000 + 1) + b"{")
        for _ in range(100):
            out.write(ENTRY * 100_000)
    files = [
        many,
        file(tmp_path / "overlap", {"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
        file(tmp_path / "huge", {"a": tensor([2**40, 2**40], 0, 8)}, bytes(8)),
        file(tmp_path / "beyond", {"a": tensor([2**40], 0, 2**42)}, bytes(8)),
        file(tmp_path / "negative", {"a": tensor([-1], 0, 4)}, bytes(4)),
        file(tmp_path / "nested", card("[" * 10_000_000)),
        file(tmp_path / "digits", card('{"format": 2, "units": ' + "9" * 100_000 + "}")),
        file(tmp_path / "large", card(json.dumps({"format": 2, "scores": list(range(1_500_000))}))),
        file(tmp_path / "longer", card(" " * 20_000_000)),
    ]
    (tmp_path / "long").write_bytes(struct.pack("<Q", 2**63) + b"{}")
    names = [str(each) for each in (*files, tmp_path / "long")]
    found = look(names, "from capax.training import model", "model.load(Path(name))")
    many.unlink()
    assert len(found.told) == len(names)
    for name, (line, seconds) in found.told.items():
        assert "is no safetensors file" in line or "is damaged" in line, line
        assert "\n" not in line and len(line) < 400 and seconds < 60, name
    assert found.mebibytes < 400, found.mebibytes
    assert "header would have 530,000,001 bytes, and 16,777,216 are read at most" in found.told["many"][0]
    assert "header would have 9,223,372,036,854,775,808 bytes" in found.told["long"][0]


def resealed(place, **changes):
    """A file whose card says something else and is sealed again, as who made it can do."""

    def changed(old):
        _, arrays = model.read(place)
        new = {**old, **changes}
        return {**new, "sha256": model._seal(model._CARD.validate_python(new, strict=False), arrays)}

    rewritten(place, changed)


def test_a_card_of_a_billion_layers_or_units_is_one_line(path):  # noqa: F811
    resealed(path, depth=10**9)
    with pytest.raises(CapaxError, match="1,000,000,000 layers cannot have"):
        model.load(path)
    resealed(path, depth=1, units=10**9)
    with pytest.raises(CapaxError, match="is not the one it was made with"):
        model.load(path)


def test_no_module_is_imported_on_the_word_of_a_model_file(path, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "evil_cell.py").write_text("raise SystemExit('the code of the file ran')")
    monkeypatch.syspath_prepend(tmp_path)
    resealed(path, cell="evil_cell:Cell")
    with pytest.raises(CapaxError, match="no file may start code: if you trust the module evil_cell, import it"):
        model.load(path)
    assert "evil_cell" not in sys.modules
    monkeypatch.setenv("CAPAX_TRUST", "other, evil_cell")
    with pytest.raises(CapaxError, match="the code of the file ran"):
        model.load(path)


@pytest.mark.parametrize("cell", ["os:system", "subprocess:Popen", "builtins:eval", "json:JSONDecoder"])
def test_modules_that_are_there_already_give_no_cell(path, cell):  # noqa: F811
    resealed(path, cell=cell)
    with pytest.raises(CapaxError, match=f"'{cell}'"):
        model.load(path)


def make_state(parameters=6):
    flat = jnp.arange(parameters, dtype=jnp.float32)
    whole = jnp.asarray(0, jnp.int32)
    return State(flat, flat, flat, jnp.zeros(0), whole, whole, jnp.zeros(5))


MANIFEST = {"cell": "gru", "seed": 3}


def test_a_checkpoint_comes_back_to_its_own_trial_alone(tmp_path):
    state, place = make_state(), tmp_path / "c.safetensors"
    checkpoint.save_state(place, state, {**MANIFEST, "seconds": 2.5})
    found = load_state(place, MANIFEST, state)
    assert found is not None and found[1] == 2.5
    np.testing.assert_array_equal(found[0].parameters, state.parameters)
    assert load_state(place, {**MANIFEST, "seed": 4}, state) is None
    assert load_state(place, MANIFEST, make_state(parameters=8)) is None


@pytest.mark.parametrize("name", checkpoint.FIELDS)
def test_a_checkpoint_with_an_array_of_another_kind_is_none(tmp_path, name):
    state = make_state()
    arrays = {field: np.asarray(getattr(state, field)) for field in checkpoint.FIELDS}
    for other in (np.zeros((2, 3), arrays[name].dtype), arrays[name].astype(np.float64)):
        checkpoint.save_arrays(tmp_path / "c", {**arrays, name: other}, {**MANIFEST, "seconds": 1.0})
        assert load_state(tmp_path / "c", MANIFEST, state) is None


@pytest.mark.parametrize("manifest", ["[" * 100_000, '{"seconds": ' + "9" * 5000 + "}", "pickle", "[1]", "null"])
def test_a_checkpoint_with_odd_words_is_none(tmp_path, manifest):
    save_file({"a": np.zeros(2)}, tmp_path / "c", metadata={"manifest": manifest})
    assert load_arrays(tmp_path / "c") is None


@pytest.mark.parametrize("content", [b"", b"\x80\x04cos\nsystem\n(S'true'\ntR.", bytes(1000), b"\xff" * 1000])
def test_garbage_in_place_of_a_checkpoint_is_none(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    assert load_arrays(tmp_path / "c") is None
