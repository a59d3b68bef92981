"""Labels without a network: against counts by hand, finite differences, and what is separable."""

import numpy as np
import pytest
import scipy.sparse

from capax.baselines import features
from capax.baselines.labels import LabelOfWord, frequencies
from capax.baselines.logistic import Logistic, cross_entropy, loss_and_slope

RNG = np.random.default_rng(0)
WORDS = ["the", "dog", "the", "walking", "talking", "dog", "run", "ring", "cat", "cat"]
LABELS = np.array([0, 1, 0, 2, 2, 2, 2, 1, 1, 1])


def test_majority_is_the_share_of_each_label():
    np.testing.assert_array_equal(frequencies(np.array([2, 0, 2, 2]), 4), [0.25, 0, 0.75, 0])


def test_a_known_word_has_its_most_frequent_label():
    found = LabelOfWord.fit(WORDS, LABELS, 3)
    np.testing.assert_array_equal(found.labels(["the", "cat", "walking", "ring"]), [0, 1, 2, 1])


def test_an_unknown_word_has_the_label_of_words_with_its_ending_and_plainly_that_of_all():
    strong, plain = LabelOfWord.fit(WORDS, LABELS, 3), LabelOfWord.fit(WORDS, LABELS, 3, ())
    # "singing" ends as walking, talking, ring do: two of three are 2; "he" ends as "the" does, in
    # two letters; "bat" in "at" as cat does; of all words four are 1, four are 2: the first.
    unknown = ["singing", "he", "bat", "xyz"]
    np.testing.assert_array_equal(strong.labels(unknown), [2, 0, 1, 1])
    np.testing.assert_array_equal(plain.labels(unknown), [1, 1, 1, 1])


def test_probabilities_are_drawn_towards_those_of_the_ending():
    found = LabelOfWord.fit(["aa", "ba", "aa"], np.array([0, 1, 0]), 2, (1,))
    everything = (np.array([2, 1]) + np.array([0.5, 0.5])) / 4
    ending = (np.array([2, 1]) + everything) / 4
    np.testing.assert_allclose(found.probabilities(["aa"])[0], (np.array([2, 0]) + ending) / 3)
    np.testing.assert_allclose(found.probabilities(["ca"])[0], ending)
    np.testing.assert_allclose(found.probabilities(["zz"])[0], everything)


def test_smoothing_is_chosen_by_the_validation_part():
    fitted = LabelOfWord.fit(["a", "b"] * 50, np.array([0, 1] * 50), 2)
    agrees, contradicts = np.array([0, 1] * 20), np.array([0, 1, 1, 0] * 10)
    assert fitted.chosen(["a", "b"] * 20, agrees).smoothing == 0.03
    assert fitted.chosen(["a", "b"] * 20, contradicts).smoothing == 10.0


@pytest.mark.parametrize("sparse", [False, True])
def test_the_gradient_of_logistic_regression_is_that_of_finite_differences(sparse):
    x, y, w = RNG.normal(size=(7, 4)), RNG.integers(3, size=7), RNG.normal(size=(5, 3))
    x = scipy.sparse.csr_matrix(x) if sparse else x
    value, slope = loss_and_slope(w, x, y, 0.3)
    for place in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[place] = 1e-6
        up, down = (loss_and_slope(w + sign * step, x, y, 0.3)[0] for sign in (1, -1))
        assert slope[place] == pytest.approx((up - down) / 2e-6, abs=1e-7)
    p = np.exp(x @ w[:4] + w[4])
    p /= p.sum(axis=1, keepdims=True)
    by_hand = -np.log(p[np.arange(7), y]).mean() + 0.15 * (w[:4] ** 2).sum()
    assert value == pytest.approx(by_hand, rel=1e-12)


def test_logistic_regression_finds_the_maximum_of_a_likelihood_known_in_closed_form():
    # One binary feature, no penalty to speak of: probabilities are the shares of labels.
    x = np.repeat([[0.0], [1.0]], [40, 60], axis=0)
    y = np.array([0] * 10 + [1] * 30 + [0] * 45 + [1] * 15)
    found = Logistic.fit(x, y, 2, strength=1e-6)
    p = np.exp(found.log_probabilities(np.array([[0.0], [1.0]])))
    np.testing.assert_allclose(p, [[0.25, 0.75], [0.75, 0.25]], atol=2e-3)


def test_the_strength_that_validation_prefers_is_taken():
    x, w = RNG.normal(size=(60, 30)), np.zeros((30, 2))
    w[0] = 1, -1
    y = (RNG.random(60) < 1 / (1 + np.exp(2 * x[:, 0]))).astype(int)
    validation = (x[40:], y[40:])
    chosen = Logistic.chosen(x[:40], y[:40], validation, 2)
    rivals = [Logistic.fit(x[:40], y[:40], 2, s) for s in (30.0, 3.0, 0.3, 0.03, 0.003)]
    least = min(cross_entropy(one.log_probabilities(x[40:]), y[40:]) for one in rivals)
    assert cross_entropy(chosen.log_probabilities(x[40:]), y[40:]) == pytest.approx(least, rel=0.02)
    assert chosen.strength > 0.1  # most features are noise


def test_labels_that_training_has_not_do_not_count_in_the_cross_entropy():
    log_p = np.log([[0.5, 0.5], [0.25, 0.75]])
    assert cross_entropy(log_p, np.array([2, 1])) == pytest.approx(-np.log(0.75))


def test_summaries_of_numbers_by_hand():
    found = features.summaries([np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 5.0], [4.0, np.nan]])])
    first = [8 / 3, np.std([1, 3, 4]), 1, 4, 1, 4, 13 / 14]  # the slope through (0, 1), (1, 3), (3, 4): 13/3 / 42/9
    second = [5, 0, 5, 5, 5, 5, 0]
    np.testing.assert_allclose(found[0].reshape(7, 2).T, [first, second])
    standard = features.Standard.fit(np.array([[1.0, np.nan], [3.0, np.nan]]))
    np.testing.assert_array_equal(standard(np.array([[3.0, 7.0], [np.nan, np.nan]])), [[1, 7], [0, 0]])


def test_runs_of_one_to_three_symbols():
    assert [run.replace("\x1f", "") for run in features.grams("abcd")] == [
        "a",
        "b",
        "c",
        "d",
        "ab",
        "bc",
        "cd",
        "abc",
        "bcd",
    ]


def test_a_bag_counts_the_features_of_the_training_part_that_are_not_rare():
    bag = features.Bag.fit([["a", "b", "a"], ["b", "c"]])
    assert dict(bag.columns) == {"a": 0, "b": 1}
    np.testing.assert_array_equal(bag([["a", "a", "c", "b"], ["z"]]).toarray(), [[2, 1], [0, 0]])
    np.testing.assert_allclose(bag([["a", "a", "b"]], length_one=True).toarray(), [[2 / 5**0.5, 1 / 5**0.5]])


def test_words_are_seen_with_their_neighbours_and_never_beyond_their_sentence():
    first, second = features.around_words(["The", "dogs"])
    assert {"w the", "e3 the", "n dogs", "b ", "ne ogs"} <= set(first) and {"b the", "n ", "e2 gs"} <= set(second)


def test_numbers_are_seen_with_their_neighbours():
    found = features.around_numbers(np.array([[1.0], [2.0], [3.0]]), reach=1)
    np.testing.assert_array_equal(found, [[np.nan, 1, 2], [1, 2, 3], [2, 3, np.nan]])
