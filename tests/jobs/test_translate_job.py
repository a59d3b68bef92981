"""Preparing pairs: symbols, vocabularies of the training part, parts by source, no leakage."""

import numpy as np
import pytest

from capax import jobs
from capax.data.pairs import of_texts
from capax.errors import CapaxError
from capax.jobs.translate import Translating, prepare, usual_kind


def words(count, seed=0, letters="abcde", longest=6):
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list(letters), random.integers(3, longest + 1))) for _ in range(count)]


def made(count=200, **options):
    sources = words(count)
    return prepare(of_texts(sources, [" ".join(word.upper()) for word in sources]), **options)


def test_kinds_of_symbols_are_found_and_can_be_said():
    found = made().preparation
    assert (found.source.kind, found.target.kind) == ("characters", "words")
    assert set(found.source.vocabulary.symbols) == set("abcde") and found.target.vocabulary.size == 6
    assert found.inputs == 6 and found.outputs == 7 and found.end == 6
    other = made(source_symbols="words", target_symbols="characters").preparation
    assert " " in other.target.vocabulary.symbols and all(len(word) > 2 for word in other.source.vocabulary.symbols)
    assert usual_kind(["a b", "c d", "e"]) == "words" and usual_kind(["a b", "c", "e"]) == "characters"


def test_sources_are_in_one_part_each_with_all_their_targets():
    sources = words(300, longest=4)
    pairs = of_texts(sources * 2, [w.upper() for w in sources] + [w.upper() + "X" for w in sources])
    found = prepare(pairs)
    texts = [set(part.texts) for part in found.parts.values()]
    assert set.union(*texts) == set(sources) and sum(map(len, texts)) == len(set(sources))
    for part in found.parts.values():
        for text, references in zip(part.texts, part.references, strict=True):
            assert set(references) == {tuple(text.upper()), tuple(text.upper() + "X")}
    sizes = {name: len(part.texts) for name, part in found.parts.items()}
    assert sizes["validation"] == sizes["evaluation"] == round(0.1 * len(set(sources)))


def test_parts_follow_from_seed_and_source_whatever_the_order_of_rows():
    sources = words(200)
    forth = prepare(of_texts(sources, sources))
    back = prepare(of_texts(sources[::-1], sources[::-1]))
    for name, part in forth.parts.items():
        assert set(part.texts) == set(back.parts[name].texts)
    assert set(prepare(of_texts(sources, sources), seed=1).parts["train"].texts) != set(forth.parts["train"].texts)
    assert len(prepare(of_texts(sources, sources), evaluated=3).parts["evaluation"].texts) == 3


def test_held_out_parts_leave_no_mark_on_what_is_learned():
    """Whatever held-out targets are, preparation and training arrays are bitwise the same."""
    sources = words(300, longest=8)
    before = prepare(of_texts(sources, [w.upper() for w in sources]))
    held_out = {*before.parts["validation"].texts, *before.parts["evaluation"].texts}
    other = [w.upper() if w not in held_out else "Ω" * 40 for w in sources]
    after = prepare(of_texts(sources, other))
    assert after.preparation == before.preparation
    one, other = before.parts["train"], after.parts["train"]
    assert (one.texts, one.references) == (other.texts, other.references)
    for name in ("sources", "source_lengths", "targets", "target_lengths", "rows"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    unknown = after.preparation.target.vocabulary.unknown
    assert set(after.parts["evaluation"].targets[0, :40]) == {unknown}
    assert any("symbols in targets that training has not" in note for note in after.notes)


def test_arrays_hold_the_symbols_and_the_end():
    found = made()
    preparation, part = found.preparation, found.parts["train"]
    for row in range(20):
        source = "".join(preparation.source.vocabulary.decode(part.sources[row, : part.source_lengths[row]]))
        assert source == part.texts[part.rows[row]]
        target = part.targets[row, : part.target_lengths[row]]
        assert target[-1] == preparation.end and preparation.end not in target[:-1]
        assert preparation.answer(target) == tuple(source.upper())
        assert not part.targets[row, part.target_lengths[row] :].any()


def test_few_much_longer_pairs_are_left_out_of_training_and_not_of_evaluation():
    sources = [*words(1000), *("abcde" * 20 + word for word in words(5, seed=1))]
    found = prepare(of_texts(sources, sources))
    assert found.parts["train"].sources.shape[1] == 6
    held_out = {text for name in ("validation", "evaluation") for text in found.parts[name].texts}
    assert sum(len(text) > 90 for text in {*held_out, *found.parts["train"].texts}) == 5
    assert any("left out; held-out parts have all" in note for note in found.notes)
    assert found.preparation.source.longest > 90 and found.preparation.limit > 100


def test_a_preparation_comes_back_from_json():
    import json

    found = made().preparation
    given = json.loads(json.dumps({"job": "translate", **found.to_json()}))
    assert jobs.from_json(given) == found
    for change in ({"kind": "letters"}, {"longest": 0}, {"longest": True}, {"symbols": 3}, {"name": None}):
        wrong = {**given, "source": {**given["source"], **change}}
        with pytest.raises(CapaxError):
            jobs.from_json(wrong)
    with pytest.raises(CapaxError):
        Translating.from_json({"source": given["source"]})
    with pytest.raises(CapaxError, match="'backwards' must be true or false"):
        jobs.from_json({**given, "backwards": 1})
    assert found.backwards and not made(backwards=False).preparation.backwards


@pytest.mark.parametrize(("count", "line"), [(1, "has 1 source;"), (9, "has 9 different sources;")])
def test_too_few_sources_are_one_line(count, line):
    texts = [f"word{number}" for number in range(count)]
    with pytest.raises(CapaxError, match=line):
        prepare(of_texts(texts * 3, texts * 3))
