"""How steps become inputs: by hand, for numbers, characters, and words in streams."""

import json

import numpy as np
import pytest

from capax.data.vocabulary import Vocabulary
from capax.errors import CapaxError
from capax.jobs import symbols
from capax.jobs.symbols import Characters, Numbers, WordStreams, view_from_json

NAN = np.nan


def test_numbers_are_scaled_by_the_training_part_and_what_is_missing_is_the_last_known_value():
    view = Numbers.fit([np.array([[1.0], [3.0]]), np.array([[NAN]])], ["x"])
    assert view.scaler.mean == (2.0,) and view.scaler.deviation == (1.0,)
    found, lengths = view.encode([np.array([[NAN], [4.0], [NAN]]), np.array([[NAN], [NAN]]), np.zeros((0, 1))])
    np.testing.assert_array_equal(found[..., 0], [[2, 2, 2], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(lengths, [3, 2, 0])
    assert found.dtype == np.float32 and (view.inputs, view.streams) == (1, 0)


def test_a_feature_without_any_value_in_training_is_one_line():
    with pytest.raises(CapaxError, match="'y' has no value in the training data"):
        Numbers.fit([np.array([[1.0, NAN]])], ["x", "y"])


def test_characters_that_training_has_once_are_unknown_like_new_ones():
    view = Characters.fit([tuple("aab"), tuple("bac")])
    assert view.vocabulary.symbols == ("a", "b") and view.inputs == view.size == 3
    found, lengths = view.encode([tuple("abcx"), tuple("b")])
    np.testing.assert_array_equal(found[..., 0], [[0, 1, 2, 2], [1, 0, 0, 0]])
    np.testing.assert_array_equal(lengths, [4, 1])


def test_where_most_symbols_are_seen_once_all_are_kept():
    assert symbols.often("abcdd").symbols == ("d", "a", "b", "c")
    assert symbols.often("abdd").symbols == ("d",)


@pytest.mark.parametrize(
    ("word", "last_three", "last_two", "last_and_form"),
    [
        ("Walking", "ing", "ng", "gC"),
        ("the", "^the", "he", "ea"),
        ("A", "^a", "^a", "aC"),
        ("NATO", "ato", "to", "oA"),
        ("2020", "020", "20", "00"),
        ("!", "^!", "^!", "!."),
        ("ação", "ção", "ão", "oa"),
        ("", "^", "^", ""),
    ],
)
def test_a_word_is_seen_by_its_endings_and_its_form(word, last_three, last_two, last_and_form):
    found = [symbols.STREAMS[name](word) for name in ("word", "last three", "last two", "last and form")]
    assert found == [word.lower(), last_three, last_two, last_and_form]


def test_words_in_streams_are_the_numbers_of_their_symbols():
    training = [("The", "dog", "the"), ("dog", "the", "jumping", "running")]
    view = WordStreams.fit(training, most=3)
    assert view.vocabularies["word"].symbols == ("the", "dog")
    assert view.vocabularies["last three"].symbols == ("^the", "^dog")
    assert view.vocabularies["last two"].symbols == ("he", "og")
    assert view.vocabularies["last and form"].symbols == ("ga", "ea")
    assert (view.streams, view.size, view.inputs) == (4, 3, 12)
    found, _ = view.encode([("the", "Zing"), ("dog",)])
    np.testing.assert_array_equal(found, [[[0, 0, 0, 1], [2, 2, 2, 2]], [[1, 1, 1, 0], [0, 0, 0, 0]]])


def test_words_of_one_character_have_one_stream():
    assert list(WordStreams.fit([tuple("ACGT")], 400).vocabularies) == ["word"]


@pytest.mark.parametrize(
    "view",
    [
        Numbers.fit([np.array([[1.0, 5.0], [2.0, 7.0]])], ["x", "y"]),
        Characters(Vocabulary(("a", "ö", "😀"))),
        WordStreams.fit([("the", "dog", "the", "dog")], 400),
    ],
)
def test_a_view_survives_json(view):
    assert view_from_json(json.loads(json.dumps(view.to_json()))) == view


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"kind": "numbers", "mean": [], "deviation": []},
        {"kind": "words", "streams": {}},
        {"kind": "words", "streams": {"os.system": ["a"]}},
        {"kind": "words", "streams": {"word": "abc"}},
    ],
)
def test_what_is_no_view_is_refused(given):
    with pytest.raises(CapaxError):
        view_from_json(given)
