import pickle
from pydoc_data.topics import topics

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import capax

SMALL = {"cells": ("rnn",), "budget": 3000, "trials": 1, "steps": 20, "window": 20, "warm_up": 4}
TEXT = topics["assignment"][:6000]


@pytest.fixture(scope="module")
def fitted():
    return capax.LanguageModel(**SMALL).fit(TEXT)


def test_a_text_goes_on_from_the_prompt(fitted):
    found = fitted.generate("An assignment", length=12, seed=3)
    assert len(found) == 12 and set(found) <= set(TEXT)
    assert found == "".join(fitted.model_.generate("An assignment", length=12, seed=3))
    assert fitted.generate(length=5, temperature=0) == fitted.generate(length=5, temperature=0, seed=9)


def test_the_score_is_minus_the_bits_per_character(fitted):
    texts = [TEXT[:50], TEXT[100:120], ""]
    bits = fitted.model_.predict(texts)["bits"].to_numpy()
    assert fitted.score(texts) == pytest.approx(-bits.sum() / 70)
    np.testing.assert_allclose(fitted.score_samples(texts), [-bits[0] / 50, -bits[1] / 20, np.nan])
    assert -np.log2(len(set(TEXT))) - 1 < fitted.score(TEXT) < 0
    assert fitted.score(TEXT) > fitted.score(TEXT[::-1])


def test_a_kept_estimator_gives_the_same_bits(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.score(TEXT) == fitted.score(TEXT) and again.generate(length=9) == fitted.generate(length=9)


def test_data_that_do_not_fit_are_one_line(fitted):
    for X, line in (("short", "too short"), (np.zeros((3, 2)), "and holds numbers"), ("\ud800" * 9, "surrogate")):
        with pytest.raises(ValueError, match=line):
            capax.LanguageModel(**SMALL).fit(X)
    with pytest.raises(ValueError, match="X holds no character"):
        fitted.score([""])
    with pytest.raises(NotFittedError):
        capax.LanguageModel().generate()
