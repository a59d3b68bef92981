"""The task of language models: windows, scores in bits per character for characters and words."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.errors import CapaxError


def story(words=4000, seed=0):
    random = np.random.default_rng(seed)
    names = ["".join(random.choice(list("abcdefgh"), random.integers(2, 6))) for _ in range(60)]
    return " ".join(names[min(59, random.zipf(1.4))] for _ in range(words)) + ".\n"


@pytest.fixture
def make(tmp_path):
    def task(raw, **options):
        path = tmp_path / "story.txt"
        path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return tasks.get("language", path=str(path), **{"window": 12, "warm_up": 3, "batch_size": 5, **options})

    return task


@pytest.mark.parametrize("symbols", ["characters", "words"])
@pytest.mark.parametrize("split", ["validation", "evaluation"])
def test_held_out_windows_score_symbols_once_each_in_their_order(make, symbols, split):
    task = make(story(), symbols=symbols)
    part, scored = task.prepared.parts[split], []
    for index in range(int(task.batches(split, {}))):
        batch = task.batch_at(task.data(0), split, jax.random.key(index), jnp.asarray(index), {})
        for column in range(5):
            if batch.weights[0, column]:
                start = task.windows(split)[index * 5 + column]
                shown = part.symbols[start : start + 13]
                np.testing.assert_array_equal(batch.inputs.symbols[:, column], shown[:-1])
                np.testing.assert_array_equal(batch.targets[:, column], shown[4:])
                np.testing.assert_array_equal(batch.characters[:, column], part.characters[start + 4 : start + 13])
                np.testing.assert_allclose(batch.spelling[:, column], part.spelling[start + 4 : start + 13])
                scored += range(start + 4, start + 13)
    assert len(scored) == len(set(scored)) == 9 * len(task.windows(split))
    assert len(part.symbols) - 4 - len(scored) < 9


def test_training_windows_are_of_the_training_section(make):
    task = make(story())
    row = "".join(map(chr, task.prepared.parts["train"].symbols))
    batch = task.batch_at(task.data(0), "train", jax.random.key(0), jnp.asarray(0), {})
    for column in range(5):
        assert "".join(map(chr, np.asarray(batch.inputs.symbols[:, column]))) in row
    assert task.sample(jax.random.key(1), 9).targets.shape == (9, 9)


@pytest.mark.parametrize("symbols", ["characters", "words"])
def test_bits_per_character_of_equal_probabilities_are_those_of_counting(make, symbols):
    task = make(story(), symbols=symbols, most=30)
    sums, bits, characters = {}, 0.0, 0
    part, unknown = task.prepared.parts["evaluation"], task.preparation.vocabulary.unknown
    for index in range(int(task.batches("evaluation", {}))):
        batch = task.batch_at(task.data(0), "evaluation", jax.random.key(0), jnp.asarray(index), {})
        for name, value in task.measure(jnp.zeros((task.outputs, *batch.targets.shape)), batch).items():
            sums[name] = sums.get(name, 0.0) + float(value)
    for start in task.windows("evaluation"):
        for place in range(start + 4, start + 13):
            bits += math.log2(task.outputs) + part.spelling[place] / math.log(2)
            characters += part.characters[place]
            assert (part.spelling[place] > 0) == (part.symbols[place] == unknown)
    found = task.scores(sums)
    assert found["score"] == pytest.approx(bits / characters, rel=1e-5)
    assert found["perplexity"] == pytest.approx(task.outputs, rel=1e-4)
    assert found["characters"] == characters
    assert task.facts.chance == pytest.approx(found["score"], rel=0.25)  # of the training section, and spelling varies


def test_the_score_of_outputs_and_a_public_batch_is_in_bits_of_a_symbol(make):
    task = make(story())
    batch = task.batch(jax.random.key(0), 4)
    assert task.score(jnp.zeros((4, 12, task.outputs)), batch) == pytest.approx(math.log2(task.outputs), rel=1e-5)


def test_texts_of_all_kinds_are_taken_as_they_are(make):
    odd = "Щука e\u0301 👍🏽\r\n" * 300
    task = make(b"\xef\xbb\xbf" + odd.encode())
    assert {"\r", "\n", "\u0301", "👍", "Щ"} <= set(task.preparation.vocabulary.symbols)
    assert "\ufeff" not in task.preparation.vocabulary.symbols
    assert make(odd.encode("utf-16"), encoding="utf-16").preparation == task.preparation
    assert any("stand word for word" in note for note in task.remarks())


@pytest.mark.parametrize(
    ("raw", "options", "line"),
    [
        ("", {}, "is empty"),
        ("abc " * 10, {}, "too short"),
        ("a\xff".encode("latin-1") * 900, {}, "not a text file in UTF-8"),
        ("abc " * 900, {"symbols": "letters"}, "symbols are characters or words"),
        ("abc " * 900, {"warm_up": 12}, "warm_up must be from 0 to window - 1 = 11"),
        ("abc " * 900, {"data_seed": 1}, "data_seed changes nothing"),
    ],
)
def test_what_no_model_can_be_made_of_is_one_line(make, raw, options, line):
    with pytest.raises(CapaxError, match=line):
        make(raw, **options).sizes  # noqa: B018
