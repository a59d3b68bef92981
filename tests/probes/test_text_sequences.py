"""Text as sequences of vectors."""

import importlib.util

import numpy as np
import pytest

from capax.errors import CapaxError
from capax.probes.text import COMMONEST, sequences


def raw(path, kind, length):
    """One-hot again: the feature that stands out at each step."""
    return sequences(kind, path, length).values.argmax(axis=2)


def test_letters_are_those_of_the_cleaned_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Abc, cab! 1")  # "abc cab one"
    assert raw(path, "letters", 11).tolist() == [[1, 2, 3, 0, 3, 1, 2, 0, 15, 14, 5]]
    assert sequences("letters", path, 5).values.shape == (2, 5, 27)


def test_every_feature_has_mean_0_and_all_together_variance_1():
    found = sequences("words", None, 100).values
    assert found.shape[1:] == (100, COMMONEST + 1)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), 0, atol=0.05)  # of whole windows: what is cut off is missing
    assert found.std() == pytest.approx(1, rel=0.01)


def test_the_commonest_words_have_a_feature_each(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat and the dog and the bird " * 3)
    (found,) = raw(path, "words", 24)
    the, cat, and_, the_again, dog = found[:5]
    assert the == the_again and len({the, cat, and_, dog}) == 4


@pytest.mark.parametrize(("kind", "length", "said"), [
    ("leters", 5, r"unknown kind of text 'leters' \(did you mean 'letters'"),
    ("words", 10**6, "are no window of 1000000 steps"),
    ("letters", 0, "a window has at least one step, not 0"),
])  # fmt: skip
def test_what_does_not_fit_is_said_in_one_line(kind, length, said):
    with pytest.raises(CapaxError, match=said):
        sequences(kind, None, length)


def test_tokens_without_their_package_are_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CapaxError, match=r"pip install 'capax\[embeddings\]'"):
        sequences("tokens", None, 10)


def test_tokens_are_embedded(tmp_path):
    pytest.importorskip("wordllama", reason="the extra `embeddings` is not installed")
    path = tmp_path / "text.txt"
    path.write_text("one two one two")
    (found,) = sequences("tokens", path, 4).values
    assert found.shape == (4, 256)
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 0.1
