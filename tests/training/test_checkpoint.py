"""Checkpoints are written whole or not at all, and say whose they are."""

import numpy as np
import pytest

from capax.errors import CapaxError
from capax.training.checkpoint import load_arrays, save_arrays


def test_arrays_and_manifest_come_back(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.asarray(4, np.int32)}
    save_arrays(tmp_path / "sub" / "file", arrays, {"cell": "gru", "seed": 3})
    loaded, manifest = load_arrays(tmp_path / "sub" / "file")
    assert manifest == {"cell": "gru", "seed": 3}
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].shape == array.shape


def test_no_file_and_no_manifest_are_none(tmp_path):
    from safetensors.numpy import save_file

    assert load_arrays(tmp_path / "nothing") is None
    save_file({"a": np.zeros(2)}, tmp_path / "foreign")
    assert load_arrays(tmp_path / "foreign") is None


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    save_arrays(tmp_path / "file", {"a": np.zeros(2)}, {"version": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(CapaxError, match=r"cannot be written: No space left on device\..*same command"):
        save_arrays(tmp_path / "file", {"a": np.ones(2)}, {"version": 2})
    assert load_arrays(tmp_path / "file")[1] == {"version": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
