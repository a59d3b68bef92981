import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import capax

SMALL = {"cells": ("rnn",), "budget": 4000, "trials": 1, "steps": 30, "beam": 2}
WORDS = ["".join(np.random.default_rng(number).choice(list("abc"), 1 + number % 4)) for number in range(90)]
SOUNDS = [[letter.upper() * 2 for letter in word] for word in WORDS]


@pytest.fixture(scope="module")
def fitted():
    return capax.Seq2Seq(**SMALL).fit(WORDS, SOUNDS)


def test_answers_are_lists_of_symbols_where_targets_were(fitted):
    found = fitted.predict(["ab", "c"])
    assert len(found) == 2 and all(symbol in ("AA", "BB", "CC") for each in found for symbol in each)
    direct = fitted.model_.predict(["ab", "c"], beam=2)["answer"]
    assert [" ".join(each) for each in found] == list(direct)


def test_the_score_is_the_share_of_exact_answers(fitted):
    found = fitted.predict(WORDS)
    right = [one == other for one, other in zip(found, SOUNDS, strict=True)]
    assert fitted.score(WORDS, SOUNDS) == np.mean(right)
    assert fitted.score(WORDS, [each or ["AA"] for each in found]) == np.mean([bool(each) for each in found])


def test_a_kept_estimator_gives_the_same_answers(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict(WORDS[:9]) == fitted.predict(WORDS[:9])


def test_data_that_do_not_fit_are_one_line(fitted):
    for X, y, line in (
        (WORDS, SOUNDS[1:], "90 sequences and 89"),
        (WORDS, None, "y is missing"),
        (np.zeros((90, 2)), SOUNDS, "X must be a list of texts"),
        (WORDS, [["A B"]] * 90, "y: the symbol 'A B' is empty or has a space"),
        (["a"] * 90, SOUNDS, "1 source"),
    ):
        with pytest.raises(ValueError, match=line):
            capax.Seq2Seq(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="X holds symbols; Seq2Seq was fitted to texts"):
        fitted.predict([["a"]])
    with pytest.raises(ValueError, match="y holds texts; Seq2Seq was fitted to symbols"):
        fitted.score(WORDS[:1], ["AA"])
    with pytest.raises(NotFittedError):
        capax.Seq2Seq().score(WORDS, SOUNDS)
