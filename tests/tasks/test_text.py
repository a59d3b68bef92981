"""The text task: cleaning as text8, sections that never mix, windows that cover, an honest
baseline, clear errors.
"""

import collections
import hashlib
import math
import os
import struct
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.data.text8 import ALPHABET, clean
from capax.errors import CapaxError

WINDOW, WARM_UP, BATCH = 9, 2, 4
LEAST = 400  # letters for a window of 9: two windows and a letter in each section of 5%


def random_letters(number, seed=0):
    """A text that is clean already, and random, so that each window of ten letters stands at one
    place only.
    """
    letters = np.random.default_rng(seed).choice(list(ALPHABET[1:]), number)
    letters[5:-1:7] = " "
    return "".join(letters)


@pytest.fixture
def make(tmp_path):
    """A task on a text that is written to a file of its own."""
    files = iter(range(10**6))

    def task(text, name=None, **options):
        path = tmp_path / (name or f"{next(files)}.txt")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tasks.get(
            "text", path=str(path), **{"window": WINDOW, "warm_up": WARM_UP, "batch_size": BATCH, **options}
        )

    return task


def decode(symbols):
    return "".join(ALPHABET[symbol] for symbol in np.asarray(symbols))


def places(task, text, split, draws=None, key=0):
    """Where in the text the windows that count begin, having checked that they are the text and its
    next letters.
    """
    starts, data = [], task.data(0)
    for index in range(int(task.batches(split, {})) if draws is None else draws):
        draw = task.batch_at(data, split, jax.random.fold_in(jax.random.key(key), index), jnp.asarray(index), {})
        draw = jax.tree.map(np.asarray, draw)
        assert draw.inputs.symbols.shape == (task.window, task.batch_size)
        assert draw.targets.shape == draw.weights.shape == (task.window - task.warm_up, task.batch_size)
        for column in range(task.batch_size):
            weights = draw.weights[:, column]
            assert set(weights) in ({0.0}, {1.0})
            if weights[0]:
                shown, next_letters = decode(draw.inputs.symbols[:, column]), decode(draw.targets[:, column])
                start = text.find(shown + next_letters[-1])
                assert start >= 0
                assert next_letters == text[start + task.warm_up + 1 : start + task.window + 1]
                starts.append(start)
    return starts


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Hello, World!", "hello world"),
        ("In 1984 it was 7am.", "in one nine eight four it was seven am"),
        ("3.14", "three one four"),
        ("don't", "don t"),
        ("naïve café Ærø", "na ve caf r"),  # as in text8, letters outside a-z are not letters
        ("  many\t\n\n spaces -- and_underscores  ", "many spaces and underscores"),
        ("", ""),
        ("¿?!", ""),
        ("0123456789", "zero one two three four five six seven eight nine"),
    ],
)
def test_text_is_cleaned_as_text8_is(raw, cleaned):
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize("letters", [LEAST, 401, 419, 1000, 5003])
def test_the_sections_are_90_5_and_5_percent_and_do_not_overlap(make, letters):
    text = random_letters(letters)
    task = make(text)
    sections = [task.section(split) for split in ("train", "validation", "evaluation")]
    assert sections[0][0] == 0 and sections[2][1] == letters
    assert sections[0][1] == sections[1][0] and sections[1][1] == sections[2][0]
    for begin, end in sections[1:]:
        assert end - begin == math.floor(0.05 * letters)
    assert "".join(decode(task.letters(split)) for split in ("train", "validation", "evaluation")) == text


@pytest.mark.parametrize("split", ["validation", "evaluation"])
@pytest.mark.parametrize("letters", [LEAST, 419, 437, 760, 1000, 5003])
@pytest.mark.parametrize("warm_up", [0, 2, 8])
def test_held_out_windows_lie_side_by_side_and_cover_their_section(make, letters, warm_up, split):
    text = random_letters(letters)
    task = make(text, warm_up=warm_up)
    begin, end = task.section(split)
    starts = places(task, text, split)
    assert min(starts) == begin and max(starts) + WINDOW + 1 <= end
    scored = [start + 1 + step for start in starts for step in range(warm_up, WINDOW)]
    assert len(scored) == len(set(scored))  # no letter is predicted twice
    # As many windows as fit: what is left over of the letters that can be predicted is less than
    # another window.
    assert len(scored) > (end - begin - 1 - warm_up) - (WINDOW - warm_up)


def test_long_held_out_sections_are_scored_on_evenly_spaced_windows(make, monkeypatch):
    monkeypatch.setattr("capax.tasks.text.MOST_WINDOWS", 6)
    text = random_letters(5000)
    task = make(text)
    begin, end = task.section("evaluation")
    starts = places(task, text, "evaluation")
    assert len(starts) == 6 and starts[0] == begin and len(set(np.diff(starts))) == 1
    assert end - 6 <= starts[-1] + WINDOW + 1 <= end


def test_held_out_draws_do_not_depend_on_the_key(make):
    text = random_letters(1000)
    task = make(text)
    assert places(task, text, "evaluation") == places(task, text, "evaluation", key=1)


def test_training_windows_are_everywhere_in_the_training_section_and_never_beyond(make):
    text = random_letters(LEAST)
    task = make(text, batch_size=3000)
    starts = places(task, text, "train")
    # Each of 351 places is missed by 3000 draws with probability 2e-4; with this key none is.
    assert set(starts) == set(range(task.section("train")[1] - WINDOW))
    assert set(places(task, text, "train", key=1)) == set(starts) and places(task, text, "train", key=1) != starts


def test_a_fresh_sample_is_of_the_training_section(make):
    text = random_letters(LEAST)
    task = make(text)
    batch = task.batch(jax.random.key(0), 200)
    assert batch.inputs.shape == (200, WINDOW, 27) and batch.targets.shape == batch.mask.shape == (200, WINDOW)
    np.testing.assert_array_equal(np.sum(batch.inputs, axis=2), 1)
    np.testing.assert_array_equal(batch.mask, np.tile([0] * WARM_UP + [1] * (WINDOW - WARM_UP), (200, 1)))
    symbols, targets = np.argmax(batch.inputs, axis=2), np.asarray(batch.targets)
    np.testing.assert_array_equal(symbols[:, WARM_UP + 1 :], targets[:, WARM_UP:-1])
    train = text[: task.section("train")[1]]
    assert all(decode(row) + decode(last) in train for row, last in zip(symbols, targets[:, -1:], strict=True))


def test_loss_and_score_of_public_outputs(make):
    task = make(random_letters(LEAST))
    batch = task.batch(jax.random.key(0), 20)
    shape = (20, WINDOW, 27)
    assert task.score(jnp.full(shape, 3.0), batch) == pytest.approx(math.log2(27), rel=1e-6)
    assert task.facts.chance == math.log2(27) and task.facts.chance_loss == math.log(27)
    assert float(task.loss(jnp.zeros(shape), batch)) == pytest.approx(math.log(27), rel=1e-6)
    assert task.score(1000 * jax.nn.one_hot(batch.targets, 27), batch) == task.facts.perfect == 0

    outputs = np.random.default_rng(0).normal(size=shape)
    p = np.exp(outputs) / np.exp(outputs).sum(axis=2, keepdims=True)
    chosen = np.take_along_axis(p, np.asarray(batch.targets)[:, :, None], axis=2)[:, WARM_UP:]
    assert task.score(jnp.asarray(outputs, jnp.float32), batch) == pytest.approx(-np.log2(chosen).mean(), rel=1e-5)
    ignored = jnp.asarray(outputs, jnp.float32).at[:, :WARM_UP].set(0.0)
    assert task.score(ignored, batch) == pytest.approx(-np.log2(chosen).mean(), rel=1e-5)


def slow_markov(train, validation, evaluation, order):
    """Bits per character of the interpolated Markov model by dictionaries, letter by letter."""
    strengths = [10 ** (-2 + 5 * i / 25) for i in range(26)]
    seen = [collections.Counter(train[i : i + k] for i in range(len(train) - k + 1)) for k in range(order + 2)]
    fitted = []

    def probability(text, i, chosen):
        p = 1 / 27
        for k, a in enumerate(chosen):
            context = text[i - k : i]
            total = sum(seen[k + 1][context + letter] for letter in ALPHABET)
            p = (seen[k + 1][context + text[i]] + a * p) / (total + a)
        return p

    def bits(text, chosen):
        return -sum(math.log2(probability(text, i, chosen)) for i in range(order, len(text))) / (len(text) - order)

    for _ in range(order + 1):
        fitted.append(min(strengths, key=lambda a: bits(validation, [*fitted, a])))
    return bits(evaluation, fitted)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_markov_baseline_is_that_of_a_slow_dictionary(make, order):
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "the",
        "mat",
        "and",
        "a",
        "dog",
        "saw",
        "the",
        "cat",
        "run",
        "to",
        "the",
        "house",
        "on",
        "a",
        "hill",
    ]
    text = " ".join(np.random.default_rng(1).choice(words, 250))
    task = make(text)
    parts = [decode(task.letters(split)) for split in ("train", "validation", "evaluation")]
    assert task.markov(order) == pytest.approx(slow_markov(*parts, order), rel=1e-9)


def test_the_markov_baselines_of_simple_texts_are_known(make):
    periodic = make("abc" * 400)
    assert periodic.markov(0) == pytest.approx(math.log2(3), abs=0.01)
    assert periodic.markov(1) < 0.01
    random = make("".join(np.random.default_rng(0).choice(list(ALPHABET[1:]), 20_000)))
    assert random.markov(1) == pytest.approx(math.log2(26), abs=0.05)  # 1000 letters: sampling error
    baselines = random.baselines()
    assert baselines["order-1 Markov"] == random.markov(1)
    assert list(baselines) == ["order-1 Markov", "order-2 Markov", "order-3 Markov"]


def test_the_default_text_is_real_english():
    task = tasks.get("text")
    assert task.window == 50 and task.warm_up == 13
    letters = sum(len(task.letters(split)) for split in ("train", "validation", "evaluation"))
    assert letters > 300_000
    assert 2.0 < task.markov(2) < task.markov(1) < task.markov(0) < 4.3 < task.facts.chance


@pytest.mark.parametrize("alphabet", ["text8", "unicode"])
@pytest.mark.parametrize("split", ["validation", "evaluation"])
def test_less_than_a_hundredth_of_the_default_text_that_is_held_out_stands_in_its_training_section(alphabet, split):
    """Python's help texts as they are have 17% of the evaluation section there."""
    task = tasks.get("text", alphabet=alphabet)
    begin, end = task.section(split)
    windows = (end - begin - 1 - task.warm_up) // (task.window - task.warm_up)
    assert windows > 300 and task.repeated(split) < 0.01 * windows
    (said,) = [remark for remark in task.remarks() if "word for word" in remark]
    assert "known by heart" not in said and f"of {windows} in the {split} section" in said


@pytest.mark.parametrize("warm_up", [0, 2, 8])
def test_held_out_windows_that_stand_in_the_training_section_are_counted_and_said(make, warm_up):
    text = random_letters(5000)
    begin = 4750  # of the evaluation section
    text = text[:begin] + text[1000:1100] + text[begin + 100 :]
    task = make(text, warm_up=warm_up)
    assert task.section("evaluation") == (begin, 5000)
    known = [start for start in places(task, text, "evaluation") if start <= 1100 - WINDOW - 1]  # as `find` has them
    windows = len(places(task, text, "evaluation"))
    assert task.repeated("evaluation") == len(known) > 0.3 * windows
    assert task.repeated("validation") == 0
    said = task.remarks()[-1]
    share = f"{len(known)} of {windows} in the evaluation section ({len(known) / windows:.1%})"
    assert "0 of " in said and share in said and "all 10 characters" in said and "known by heart" in said


def test_windows_are_compared_over_their_whole_length(make):
    text = random_letters(5000)
    text = text[:4750] + text[1000:1100] + text[4850:]
    counts = {window: make(text, window=window).repeated("evaluation") for window in (9, 98, 99, 100, 120)}
    assert [counts[window] > 0 for window in counts] == [True, True, True, False, False]


def zipped(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


def test_a_zip_file_with_one_text_is_the_same_as_the_text(make, tmp_path):
    text = random_letters(LEAST)
    archive = zipped(tmp_path / "made.zip", {"text8": text})
    from_archive, plain = make(archive, "text8.zip"), make(text)
    np.testing.assert_array_equal(from_archive.data(0), plain.data(0))
    inside_a_folder = zipped(tmp_path / "made.zip", {"folder/": "", "folder/text8": text})
    np.testing.assert_array_equal(make(inside_a_folder, "folder.zip").data(0), plain.data(0))


def test_a_relative_path_means_the_file_of_the_directory_where_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(random_letters(LEAST))
    monkeypatch.chdir(tmp_path)
    task = tasks.get("text", path="text.txt", window=WINDOW, warm_up=WARM_UP)
    assert task.path == str(tmp_path / "text.txt")


def refused(path):
    with pytest.raises(CapaxError) as caught:
        tasks.get("text", path=str(path), window=WINDOW, warm_up=WARM_UP)
    line = str(caught.value)
    assert "\n" not in line and str(path) in line
    return line


def test_a_missing_file_is_told_where_text8_is(tmp_path):
    assert "mattmahoney.net" in refused(tmp_path / "text8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no letters"),
        (b" 0 1 2 \n", "letters"),
        ("одно и то же".encode(), "no letters"),
        (b"too short", "has 9 letters"),
        (random_letters(LEAST - 1).encode(), f"needs {LEAST} or more"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe" * 100, "not a text file"),
        (b"some text\0" * 100, "not a text file"),
        ("Grüße ".encode("latin-1") * 100, "UTF-8"),
        (b"PK\x03\x04 cut off \xff", "damaged zip file, not a text file"),
    ],
    ids=["empty", "digits", "other letters", "short", "one too short", "image", "NUL", "latin-1", "cut-off zip"],
)
def test_a_file_that_is_no_long_enough_text_is_refused(tmp_path, content, said):
    path = tmp_path / "text8"
    path.write_bytes(content)
    assert said in refused(path)


@pytest.mark.parametrize("files", [{}, {"one": "a b c", "two": "d e f"}])
def test_a_zip_file_without_one_file_is_refused(tmp_path, files):
    zipped(tmp_path / "text8.zip", files)
    assert f"holds {len(files)} files" in refused(tmp_path / "text8.zip")


def damage(path, kind):
    """A zip file of one text whose contents, checksum, compression method, or encryption flag
    cannot be read.
    """
    content = bytearray(zipped(path, {"text8": random_letters(3000)}))
    directory = content.rfind(b"PK\x01\x02")
    if kind == "contents":
        content[60:400] = bytes(b ^ 0xFF for b in content[60:400])
    elif kind == "checksum":
        content[directory + 16] ^= 1
    elif kind == "method":
        for place in (8, directory + 10):
            content[place : place + 2] = struct.pack("<H", 99)
    else:
        for place in (6, directory + 8):
            content[place] |= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("kind", ["contents", "checksum", "method", "encryption"])
def test_a_zip_file_that_cannot_be_unpacked_is_refused(tmp_path, kind):
    damage(tmp_path / "text8.zip", kind)
    assert "zip" in refused(tmp_path / "text8.zip")


def test_a_directory_is_refused(tmp_path):
    assert "directory" in refused(tmp_path)


def test_a_path_that_no_file_can_have_is_refused(tmp_path):
    refused(tmp_path / ("long" * 100))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_or_folder_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "text8"
    path.write_text(random_letters(LEAST))
    path.chmod(0)
    assert "cannot be read" in refused(path)
    folder.chmod(0)
    try:
        assert "cannot be read" in refused(path)
    finally:
        folder.chmod(0o700)


RUSSIAN = "все счастливые семьи 👩🏽\u200d🚀\r\n"


def test_a_unicode_alphabet_takes_every_character_as_it_is(make):
    text = RUSSIAN * 100 + "zq" * 60  # z and q stand in the held-out sections alone
    task = make(text, alphabet="unicode")
    known = len(set(RUSSIAN))
    assert task.inputs == task.outputs == known + 1 and task.facts.chance == math.log2(known + 1)
    begin, end = task.section("train")
    symbols = {character: symbol for character, symbol in zip(text, task.letters("train"), strict=False)}
    assert len(set(symbols.values())) == known
    assert [symbols[character] for character in text[:end]] == task.letters("train").tolist() and begin == 0
    assert set(task.letters("evaluation")[-50:]) == {known}  # one symbol for all that training did not have
    (first, *_) = task.remarks()
    assert f"{len(text):,} characters, {known} different ones in the training section; 120 others" in first
    assert task.batch(jax.random.key(0), 3).inputs.shape == (3, WINDOW, known + 1)


def test_a_large_alphabet_has_the_markov_baseline_of_a_small_one():
    from capax.baselines import markov

    letters = np.random.default_rng(0).zipf(1.5, 6000).clip(max=30) - 1
    parts = letters[:5000], letters[5000:5500], letters[5500:]
    counted = [markov.bits_per_symbol(*parts, 30, order) for order in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markov, "MOST_COUNTERS", 0)
        assert [markov.bits_per_symbol(*parts, 30, order) for order in range(4)] == counted


def test_the_share_of_letters_that_cleaning_drops_is_a_fact_of_the_task(make):
    (size, dropped, caution, repeats) = make("gr\u00f6\u00dfer als " * 200).remarks()
    assert "(100.0%)" in repeats
    assert "cleaned as text8 is: " in size and "evaluation section has" in caution
    assert "dropped 0.22 of the text's letters" in dropped and "text.alphabet=unicode" in dropped  # 2 of 9
    plain = make(random_letters(200_000)).remarks()
    assert len(plain) == 2 and "200,000 letters and spaces" in plain[0]
    assert "0 of 1,428 in the evaluation section (0.0%)" in plain[1]


def test_a_small_text_is_said_to_give_rough_scores(make):
    assert (
        "evaluation section has 99 characters, so that scores on it are rough"
        in make(random_letters(1999)).remarks()[1]
    )


def test_the_task_knows_its_text_by_content(make, monkeypatch):
    text = random_letters(LEAST)
    task = make(text, "one.txt")
    assert task.source.name == "one.txt" and task.source.size == LEAST
    assert task.sha256 == task.source.sha256 == hashlib.sha256(text.encode()).hexdigest()
    same = make(text, "other.txt")
    assert same.markov(1) == task.markov(1) and same.source.sha256 == task.sha256
    assert (same.source.name, same.source.option) == ("other.txt", "path") and same.contents() == (same.source,)
    monkeypatch.setattr("capax.tasks.text._PREPARED", {})  # as in a new process
    with pytest.raises(CapaxError, match=r"one.txt is not the text that it was \(SHA-256"):
        make(random_letters(LEAST, seed=1), "one.txt", sha256=task.sha256)


def test_a_file_that_changes_is_another_task_with_other_baselines(make):
    before = make(random_letters(2000), "text.txt")
    markov, letters = before.markov(1), before.letters("train").copy()
    after = make("abc" * 1000, "text.txt")
    assert after != before and after.markov(1) < 0.1 < markov
    assert before.markov(1) == markov
    np.testing.assert_array_equal(before.letters("train"), letters)


def test_the_name_of_the_built_in_text_is_in_the_message():
    with pytest.raises(CapaxError, match=r"help texts of Python .* has \d+ letters; a window of 20000 needs 800040"):
        tasks.get("text", window=20_000)


@pytest.mark.parametrize(("options", "said"), [
    ({"alphabet": "ascii"}, "alphabet must be text8 or unicode, not 'ascii'"),
    ({"encoding": "klingon"}, "unknown encoding 'klingon'"),
])  # fmt: skip
def test_options_that_there_are_not_are_refused(make, options, said):
    with pytest.raises(CapaxError, match=said):
        make(random_letters(LEAST), **options)


def test_another_encoding_can_be_named(make):
    text = random_letters(LEAST)
    np.testing.assert_array_equal(make(text.encode("utf-16-le"), encoding="utf-16-le").data(0), make(text).data(0))
    with pytest.raises(CapaxError, match=r"such as text\.encoding cp1252"):
        make(b"caf\xe9 " * 200)


def test_runs_that_have_no_place_in_a_whole_number_have_the_markov_baseline_of_those_that_have():
    from capax.baselines import markov

    letters = np.random.default_rng(0).zipf(1.5, 6000).clip(max=30) - 1
    parts = letters[:5000], letters[5000:5500], letters[5500:]
    expected = markov.bits_per_symbol(*parts, 30, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markov, "MOST_KINDS", 2000)
        assert markov.bits_per_symbol(*parts, 30, 4) == expected
