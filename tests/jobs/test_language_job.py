"""Preparing a text: symbols that are the text again, sections, spelling of unknown words."""

import itertools
import json
import math

import numpy as np
import pytest

from capax import jobs
from capax.contents import of_bytes
from capax.data.text import Text
from capax.errors import CapaxError
from capax.jobs import language
from capax.jobs.language import prepare, split_words
from capax.jobs.sections import section

ODD = "Hello, wörld's e\u0301te\u0301 don't  x\r\n\t👍🏽 3.14 _a Щука́ «да»…\u2028\ufeff \ue000 中文 ﷽ end "


def text(characters):
    return Text(characters, of_bytes("t.txt", characters.encode()))


def made(characters, kind="characters", most=1000, window=20, warm_up=5):
    return prepare(text(characters), kind=kind, most=most, window=window, warm_up=warm_up, where="t.txt")


def story(words=3000, seed=0):
    random = np.random.default_rng(seed)
    names = ["".join(random.choice(list("abcdefgh"), random.integers(2, 6))) for _ in range(60)]
    return " ".join(names[min(59, random.zipf(1.4))] for _ in range(words)) + ".\n"


def test_words_put_together_are_the_text():
    assert "".join(split_words(ODD)) == ODD
    assert split_words("Hello, wörld's") == ["Hello", ",", " wörld's"]
    assert split_words("e\u0301te\u0301 да!") == ["e\u0301te\u0301", " да", "!"]
    random = np.random.default_rng(0)
    for _ in range(200):
        odd = "".join(random.choice(list(ODD), 30))
        assert "".join(split_words(odd)) == odd


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_sections_are_the_text_and_the_vocabulary_that_of_the_training_section(kind):
    characters = story()
    found = made(characters, kind)
    for name, part in found.parts.items():
        begin, end = section(name, len(characters))
        symbols = found.preparation.vocabulary.decode(part.symbols)
        expected = list(language.split(characters[begin:end], kind))
        known = [symbol for symbol in symbols if symbol != "\ufffd"]
        assert known == [s for s in expected if s in found.preparation.vocabulary.symbols]
        np.testing.assert_array_equal(part.characters, [len(symbol) for symbol in expected])
        assert part.characters.sum() == end - begin


def test_held_out_sections_leave_no_mark_on_what_is_learned():
    characters = story(6000)
    begin, _ = section("validation", len(characters))
    other = characters[:begin] + "Ω" * (len(characters) - begin)
    for kind in ("characters", "words"):
        one, changed = made(characters, kind), made(other, kind) if kind == "characters" else None
        if changed is not None:
            assert one.preparation == changed.preparation
            np.testing.assert_array_equal(one.parts["train"].symbols, changed.parts["train"].symbols)
            assert set(changed.parts["evaluation"].symbols.tolist()) == {one.preparation.vocabulary.unknown}
    shuffled = characters[:begin] + " ".join(characters[begin:].split()[::-1]).ljust(len(characters) - begin)
    one, changed = made(characters, "words"), made(shuffled, "words")
    assert one.preparation == changed.preparation
    np.testing.assert_array_equal(one.parts["train"].spelling, changed.parts["train"].spelling)


def test_an_unknown_character_costs_its_number_and_an_unknown_word_its_letters():
    characters = story(6000)
    begin, _ = section("validation", len(characters))
    odd = characters[:begin] + characters[begin:].replace("a", "ж")
    part = made(odd).parts["evaluation"]
    unknown = part.symbols == made(odd).preparation.vocabulary.unknown
    assert unknown.any()
    np.testing.assert_allclose(part.spelling, np.where(unknown, math.log(0x110000), 0), rtol=1e-6)
    rare = characters[:1000] + " " + " ".join("qr" + "xyz"[n % 3] * (n + 1) for n in range(9)) + characters[1000:]
    found = made(rare, "words")
    spelled = found.parts["train"].spelling
    assert ((spelled > 0) == (found.parts["train"].symbols == found.preparation.vocabulary.unknown)).all()


def test_probabilities_of_spellings_are_those_of_all_words_together():
    """Of a model of two letters, short words have nearly the whole probability."""
    vocabulary = language.Vocabulary((" known",))
    model = language._Spelling.fit(["ab", "a", "ba", " known", "b"], vocabulary)
    words = ["".join(word) for size in range(8) for word in itertools.product("ab", repeat=size)]
    total = sum(math.exp(-model.nats(word)) for word in words)
    assert 0.7 < total < 1
    assert model.nats("abж") - model.nats("ab") > math.log(0x110000) - 5


def test_rare_symbols_count_as_unknown_and_most_limits_the_vocabulary():
    characters = "z" + story()
    found = made(characters).preparation.vocabulary
    assert "z" not in found.symbols and "a" in found.symbols
    assert len(made(characters, "words", most=10).preparation.vocabulary.symbols) == 10


def test_a_preparation_comes_back_from_json():
    found = made(story()).preparation
    given = json.loads(json.dumps({"job": "language", **found.to_json()}))
    assert jobs.from_json(given) == found
    for change in ({"kind": "letters"}, {"symbols": []}, {"symbols": [1]}):
        with pytest.raises(CapaxError):
            jobs.from_json({**given, **change})


def test_a_text_that_is_too_short_is_one_line():
    with pytest.raises(CapaxError, match=r"too short: .* has 6 characters; windows of 20 need 42"):
        made("abcde " * 20)
