import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import capax
from capax.errors import CapaxError

SMALL = {"cells": ("rnn",), "budget": 300, "trials": 1, "steps": 40}


def ragged(count=60, seed=0):
    """Sequences of unequal lengths, whose class is the sign of their first number's mean."""
    random = np.random.default_rng(seed)
    signs = np.where(np.arange(count) % 2, 1, -1)
    X = [0.3 * random.normal(size=(random.integers(3, 9), 2)) + sign for sign in signs]
    return X, np.where(signs > 0, 7, 3)


X, Y = ragged()


@pytest.fixture(scope="module")
def fitted():
    return capax.SequenceClassifier(**SMALL).fit(X, Y)


def test_classes_keep_their_type_and_are_told_apart(fitted):
    assert fitted.classes_.tolist() == [3, 7] and fitted.classes_.dtype == Y.dtype and fitted.n_features_in_ == 2
    new, truth = ragged(seed=1)
    found = fitted.predict(new)
    assert found.dtype == Y.dtype and fitted.score(new, truth) == (found == truth).mean() > 0.9


def test_probabilities_are_those_of_the_model_in_the_order_of_classes(fitted):
    found = fitted.predict_proba(X)
    assert found.shape == (len(X), 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    table = fitted.model_.predict(X, probabilities=True)
    np.testing.assert_array_equal(found, table[["probability of 3", "probability of 7"]])
    np.testing.assert_array_equal(fitted.predict(X), table["label"].astype(int))


def test_a_sequence_has_the_same_answer_alone(fitted):
    alone = np.concatenate([fitted.predict_proba([sequence]) for sequence in X[:5]])
    np.testing.assert_allclose(alone, fitted.predict_proba(X)[:5], atol=1e-6)  # single precision


def test_arrays_and_lists_of_numbers_are_sequences_too(fitted):
    same = np.stack([sequence[:3] for sequence in X])
    np.testing.assert_array_equal(fitted.predict(same), fitted.predict([sequence.tolist() for sequence in same]))


def test_a_kept_estimator_gives_the_same_bits_and_a_clone_nothing(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)


def test_the_same_seed_gives_the_same_model_and_out_keeps_it(fitted, tmp_path):
    again = capax.SequenceClassifier(**SMALL, out=tmp_path / "run").fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert (tmp_path / "run" / "report.html").exists()
    before = (tmp_path / "run" / "optuna.journal").read_bytes()
    capax.SequenceClassifier(**SMALL, out=tmp_path / "run").fit(X, Y)
    assert (tmp_path / "run" / "optuna.journal").read_bytes() == before


@pytest.mark.slow
def test_texts_in_a_pipeline(capsys):
    texts = [f"{word} and {word} on day {day}" for day in range(25) for word in ("sun", "rain")]
    labels = ["good", "bad"] * 25
    model = capax.SequenceClassifier(symbols="words", verbose=True, **{**SMALL, "budget": 3000})
    chain = make_pipeline(FunctionTransformer(lambda X: [text.lower() for text in X]), model).fit(texts, labels)
    assert list(chain.classes_) == ["bad", "good"]
    assert list(chain.predict(["SUN today", "RAIN today"])) == ["good", "bad"]
    assert not hasattr(model, "n_features_in_")
    assert "accuracy" in capsys.readouterr().out
    with pytest.raises(ValueError, match="X holds numbers; SequenceClassifier was fitted to texts"):
        chain[-1].predict(X)


@pytest.mark.parametrize(
    ("X", "y", "line"),
    [
        (X, None, "the target y is None"),
        (X, Y[:-1], "60 sequences and 59 labels"),
        (X, np.ones(60), "at least two classes are due"),
        (X, np.linspace(0, 1, 60), "continuous"),
        ([*X[:-1], np.ones((3, 1))], Y, "sequence 59 .* has 1 features and the first has 2"),
        ([*X[:-1], np.ones((0, 2))], Y, "sequence 59 .* has no step"),
        ([*X[:-1], "text"], Y, "sequence 59 .* is neither"),
        ([], [], "holds no sequence"),
        ("text", ["a"], "is one text"),
        (X[:2], Y[:2], "need 3"),
    ],
)
def test_data_that_do_not_fit_are_one_line(X, y, line):
    with pytest.raises(ValueError, match=line):
        capax.SequenceClassifier(**SMALL).fit(X, y)


def test_an_unknown_option_is_one_line():
    with pytest.raises(CapaxError, match="pooling must be mean or last, not 'sum'"):
        capax.SequenceClassifier(pooling="sum", **SMALL).fit(X, Y)
    with pytest.raises(CapaxError, match="give minutes or steps"):
        capax.SequenceClassifier(minutes=1.0, **SMALL).fit(X, Y)


def test_other_features_are_refused(fitted):
    with pytest.raises(ValueError, match="X has 3 features, but SequenceClassifier is expecting 2 features"):
        fitted.predict(np.zeros((4, 5, 3)))
