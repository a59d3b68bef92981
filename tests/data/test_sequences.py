"""Ragged batches, arrays from files, and scaling."""

import json

import numpy as np
import pytest

from capax import data
from capax.data import Scaler, Sequences
from capax.errors import CapaxError

NAN = np.nan


def ragged(*parts, samples=False):
    parts = [np.asarray(part, float).reshape(len(part), -1 if len(part) else 1) for part in parts]
    names = [f"s{number}" for number in range(len(parts))]
    features = [f"f{number}" for number in range(parts[0].shape[1])]
    return Sequences.of(parts, features, names, samples=samples)


def test_sequences_of_unequal_length_are_padded_and_know_their_lengths():
    found = ragged([1, 2, 3], [4], [])
    assert found.values[:, :, 0].tolist() == [[1, 2, 3], [4, 0, 0], [0, 0, 0]]
    assert found.lengths.tolist() == [3, 1, 0]
    assert found.real.tolist() == [[True] * 3, [True, False, False], [False] * 3]


def test_windows_never_reach_from_one_series_into_another():
    found = ragged(range(7), range(100, 104), range(200, 202)).windows(3)
    assert found[:, :, 0].tolist() == [[0, 1, 2], [3, 4, 5], [100, 101, 102]]


def test_missing_values_become_the_last_known_one_before():
    found = ragged([NAN, 1, NAN, NAN, 2], [5, NAN])
    assert found.missing() == 4
    filled = found.filled()
    assert filled.values[:, :, 0].tolist() == [[1, 1, 1, 1, 2], [5, 5, 0, 0, 0]] and filled.missing() == 0
    assert found.missing() == 4  # the original is left as it was
    with pytest.raises(CapaxError, match="series 's1' has no value of 'f0'"):
        ragged([1], [NAN]).filled()


def test_a_scaler_is_fitted_on_real_and_known_steps_alone():
    training = ragged([[1, 7], [NAN, 7], [3, 7]], [[5, 7]])
    scaler = Scaler.fit(training)
    assert scaler.mean == (3, 7) and scaler.deviation == (pytest.approx(np.sqrt(8 / 3)), 1.0)
    scaled = scaler.scale(training.values)
    assert scaled[training.real][:, 1].tolist() == [0, 0, 0, 0] and np.isnan(scaled[0, 1, 0])
    np.testing.assert_allclose(scaler.restore(scaled), training.values, rtol=1e-15)
    assert Scaler.from_json(json.loads(json.dumps(scaler.to_json()))) == scaler


def test_what_padding_holds_never_reaches_a_scaler():
    one = ragged([1, 2, 4], [3])
    other = Sequences(np.where(one.real[..., None], one.values, 1e9), one.lengths, one.features, one.names)
    assert Scaler.fit(one) == Scaler.fit(other)


def test_a_constant_that_rounding_has_spread_is_constant():
    assert Scaler.fit(ragged([0.1 + 0.2, 0.3, 0.3] * 1000)).deviation == (1.0,)


@pytest.mark.parametrize(
    "given", [{}, {"mean": [1], "deviation": []}, {"mean": [1], "deviation": [0]}, {"mean": ["a"]}]
)
def test_what_is_no_scaler_is_refused(given):
    with pytest.raises(CapaxError, match="scaler"):
        Scaler.from_json(given)
    with pytest.raises(CapaxError, match="'f0' has no value in the training data"):
        Scaler.fit(ragged([NAN]))


@pytest.fixture
def saved(tmp_path):
    def save(name="data.npz", **arrays):
        path = tmp_path / name
        if path.suffix == ".npy":
            np.save(path, arrays["values"], allow_pickle=True)
        else:
            np.savez(path, **arrays)
        return path

    return save


def test_an_array_is_sequences_or_one_series(saved):
    whole = data.read(saved("a.npy", values=np.arange(24).reshape(2, 3, 4)))
    assert whole.values.shape == (2, 3, 4) and whole.samples and whole.lengths.tolist() == [3, 3]
    series = data.read(saved("a.npy", values=np.arange(6.0)))
    assert series.values.shape == (1, 6, 1) and not series.samples
    assert data.read(saved("a.npz", x=np.zeros((5, 2)))).values.shape == (1, 5, 2)


def test_offsets_lengths_and_one_array_a_series_are_ragged(saved):
    steps = np.arange(12.0).reshape(6, 2)
    by_offsets = data.read(saved(values=steps, offsets=np.array([0, 4, 4, 6])))
    assert by_offsets.lengths.tolist() == [4, 0, 2] and by_offsets.samples
    np.testing.assert_array_equal(by_offsets.values[2, :2], steps[4:])
    padded = np.array([[[1.0]] * 3, [[2.0]] * 3])
    by_lengths = data.read(saved(values=padded, lengths=np.array([1, 3])))
    assert by_lengths.values[:, :, 0].tolist() == [[1, 0, 0], [2, 2, 2]]
    apart = data.read(saved(north=np.zeros(3), south=np.ones(5)))
    assert apart.names == ("north", "south") and apart.lengths.tolist() == [3, 5] and not apart.samples


def test_missing_values_of_an_array_are_said(saved):
    assert "2 values are missing (NaN)" in data.read(saved("a.npy", values=np.array([1, NAN, 3, NAN]))).notes


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"values": np.array([1 + 2j])}, "complex numbers; write real and imaginary part as two features"),
        ({"values": np.array(["a"])}, "holds no numbers"),
        ({"values": np.array([1.0, np.inf])}, r"is not finite at \[1\]"),
        ({"values": np.zeros((1, 2, 3, 4))}, "an array must be"),
        ({"values": np.zeros(())}, "an array must be"),
        ({"values": np.zeros((0, 3))}, "holds no numbers"),
        ({"values": np.zeros((4, 2)), "offsets": np.array([0, 3])}, "offsets must be whole numbers from 0 to the 4"),
        ({"values": np.zeros((4, 2)), "offsets": np.array([0, 3, 2, 4])}, "offsets must be whole numbers"),
        ({"values": np.zeros((2, 3, 1)), "lengths": np.array([1, 4])}, "lengths a whole number of at most time"),
        ({"a": np.zeros((4, 2)), "b": np.zeros((4, 3))}, "must have the same number of features"),
        ({"values": np.array([{"a": 1}], object)}, "cannot be read as a NumPy array"),
    ],
)
def test_arrays_that_hold_no_sequences_are_one_line(saved, arrays, line):
    for name in ("a.npz", *(["a.npy"] if list(arrays) == ["values"] else [])):
        with pytest.raises(CapaxError, match=line) as caught:
            data.read(saved(name, **arrays))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damaged_and_missing_arrays_are_one_line(tmp_path, name):
    with pytest.raises(CapaxError, match="cannot be read as a NumPy array: No such file"):
        data.read(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x93NUMPY cut")
    with pytest.raises(CapaxError, match="cannot be read as a NumPy array"):
        data.read(tmp_path / name)
