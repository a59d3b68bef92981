import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import capax

SMALL = {"cells": ("rnn",), "budget": 4000, "trials": 1, "steps": 40}
KINDS = {"the": "D", "a": "D", "cat": "N", "dog": "N", "house": "N", "runs": "V", "sleeps": "V"}


def sentences(count=60, seed=0):
    random = np.random.default_rng(seed)
    X = [list(map(str, random.choice(list(KINDS), random.integers(2, 7)))) for _ in range(count)]
    return X, [[KINDS[word] for word in words] for words in X]


X, Y = sentences()


@pytest.fixture(scope="module")
def fitted():
    hidden = [[None, *labels[1:]] if number % 9 == 0 else labels for number, labels in enumerate(Y)]
    return capax.Labeller(**SMALL).fit(X, hidden)


def test_each_step_has_a_label(fitted):
    new, truth = sentences(seed=1)
    found = fitted.predict(new)
    assert [len(each) for each in found] == [len(each) for each in new]
    assert list(fitted.classes_) == ["D", "N", "V"]
    right = [one == other for both in zip(found, truth, strict=True) for one, other in zip(*both, strict=True)]
    assert fitted.score(new, truth) == np.mean(right) > 0.9


def test_steps_without_a_known_label_do_not_count_in_the_score(fitted):
    found = [list(map(str, each)) for each in fitted.predict(X)]
    assert fitted.score(X, [[None, *each[1:]] for each in found]) == 1.0
    with pytest.raises(ValueError, match="y holds no label"):
        fitted.score(X[:1], [[None] * len(X[0])])


def test_probabilities_are_those_of_the_model(fitted):
    found = fitted.predict_proba(X[:3])
    table = fitted.model_.predict(X[:3], probabilities=True)
    np.testing.assert_array_equal(np.concatenate(found), table[[f"probability of {name}" for name in "DNV"]])


def test_a_kept_estimator_gives_the_same_bits(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    for one, other in zip(again.predict_proba(X), fitted.predict_proba(X), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_numbers_are_labelled_step_by_step():
    random = np.random.default_rng(0)
    numbers = [random.choice([-1.0, 1.0], random.integers(3, 8)) for _ in range(50)]
    labels = [each > 0 for each in numbers]
    model = capax.Labeller(**{**SMALL, "budget": 300, "steps": 200}).fit(numbers, labels)
    assert model.n_features_in_ == 1 and model.classes_.dtype == bool
    assert model.score(numbers, labels) > 0.9 and model.predict(numbers[:1])[0].dtype == bool
    with pytest.raises(ValueError, match="X holds symbols; Labeller was fitted to numbers"):
        model.predict(["text"])


def test_data_that_do_not_fit_are_one_line():
    with pytest.raises(ValueError, match=r"sequence 0 .* labels for"):
        capax.Labeller().fit(X, [each[1:] for each in Y])
    with pytest.raises(ValueError, match="60 sequences and 59 labels"):
        capax.Labeller().fit(X, Y[1:])
    with pytest.raises(ValueError, match="y is missing"):
        capax.Labeller().fit(X, None)
    with pytest.raises(NotFittedError):
        capax.Labeller().predict(X)
