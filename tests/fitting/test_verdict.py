"""The result in sentences, from scores and their paired difference."""

import math

import pytest

from capax.fitting.contract import Score
from capax.fitting.verdict import best, sentences
from capax.scoring import Estimate

LESS, MORE = Score("MAE", True), Score("accuracy", False)


def say(score, behind):
    network, baseline = ("gru", Estimate(1.0, 0.9, 1.1)), ("naive", Estimate(2.0, 1.8, 2.2))
    return sentences(score, network, baseline, behind, "forecasts")


@pytest.mark.parametrize(
    ("score", "behind", "says"),
    [
        (LESS, Estimate(1.0, 0.8, 1.2), "The network (gru) is better than the best method without one (naive)"),
        (LESS, Estimate(-1.0, -1.2, -0.8), "A method without a network wins: naive is better"),
        (LESS, Estimate(0.1, -0.1, 0.3), "cannot be told apart"),
        (MORE, Estimate(1.0, 0.8, 1.2), "A method without a network wins: naive is better"),
        (MORE, Estimate(-1.0, -1.2, -0.8), "The network (gru) is better than the best method without one (naive)"),
        (LESS, Estimate(1.0, math.nan, math.nan), "Too few forecasts to tell gru from naive"),
    ],
)
def test_who_wins_follows_from_the_interval_of_the_paired_difference(score, behind, says):
    (sentence,) = say(score, behind)
    assert sentence.startswith(says) or says in sentence
    assert "1 [0.9, 1.1]" in sentence and "2 [1.8, 2.2]" in sentence


def test_the_best_is_least_or_most_and_what_is_not_known_is_not_the_best():
    scores = {
        name: {"MAE": Estimate(value, value, value)} for name, value in {"a": 2.0, "b": 1.0, "c": math.nan}.items()
    }
    assert best(scores, LESS) == "b" and best(scores, Score("MAE", False)) == "a"
    assert best({"a": {}}, LESS) is None


def test_where_both_answer_alike_no_interval_of_width_0_is_printed():
    own = Estimate(0.9, 0.8, 1.0)
    (said,) = sentences(Score("accuracy", False), ("gru", own), ("majority", own), Estimate(0.0, 0.0, 0.0), "texts")
    assert "cannot be told apart" in said and "equally well on each of the texts" in said and "[0, 0]" not in said
