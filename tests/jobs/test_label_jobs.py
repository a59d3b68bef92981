"""Files as three parts with what was learned of the training part: no leakage, oddities, notes."""

import collections
import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from capax import jobs
from capax.data.labelled import Said
from capax.errors import CapaxError
from capax.jobs import classify, label
from capax.jobs.labelled import Choices
from capax.jobs.splitting import split

RNG = np.random.default_rng(0)


def long_table(sequences=40, seed=0):
    """Sequences of 3 to 6 steps with two features, whose label is a or b."""
    random = np.random.default_rng(seed)
    rows = [
        {"id": f"s{s}", "t": t, "u": random.normal() + 10, "v": random.normal(), "kind": "ab"[s % 2]}
        for s in range(sequences)
        for t in range(3 + s % 4)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def prepared(tmp_path):
    def prepare(frame, name="data.csv", job=classify, **choices):
        path = tmp_path / name
        if isinstance(frame, str):
            path.write_text(frame, encoding="utf-8")
        else:
            frame.to_csv(path, index=False)
        return job.prepare(path, Choices(**choices))

    return prepare


def test_parts_are_tenths_by_whole_sequences_with_each_label_in_its_share():
    strata = ["a"] * 100 + ["b"] * 50 + ["c"]
    parts = split(strata, 0, None, "file")
    assert [len(parts[name]) for name in ("train", "validation", "evaluation")] == [121, 15, 15]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(151))
    for name in ("validation", "evaluation"):
        counts = collections.Counter(strata[number] for number in parts[name])
        assert counts["a"] == 10 and counts["b"] == 5
    assert 150 in parts["train"]
    assert not np.array_equal(split(strata, 1, None, "file")["evaluation"], parts["evaluation"])


def test_the_split_is_in_the_order_of_hashes_of_seed_and_number():
    parts = split(["a"] * 10 + ["b"] * 10, 7, None, "file")
    order = sorted(range(20), key=lambda number: hashlib.sha256(f"7:{number}".encode()).hexdigest())
    of_a, of_b = [n for n in order if n < 10], [n for n in order if n >= 10]
    assert parts["evaluation"].tolist() == [of_a[0], of_b[0]]
    assert parts["validation"].tolist() == [of_a[1], of_b[1]]


def test_parts_that_a_file_names_are_followed_and_validation_is_taken_of_training_where_it_is_missing():
    named = ["train"] * 30 + ["evaluation"] * 5
    parts = split(["a", "b"] * 17 + ["a"], 0, named, "file")
    assert parts["evaluation"].tolist() == [30, 31, 32, 33, 34] and len(parts["validation"]) == 3
    with pytest.raises(CapaxError, match="no sequence with a label in the train part"):
        split(["a"] * 4, 0, ["evaluation", "evaluation", "validation", "validation"], "file")


def test_changed_evaluation_sequences_leave_preparation_and_training_arrays_as_they_were(prepared):
    frame = long_table()
    before = prepared(frame)
    rows = before.parts["evaluation"].data.rows
    names = set(rows["id"].iloc[[int(p[0]) for p in before.parts["evaluation"].data.places]])
    held = frame["id"].isin(names)
    changed = frame.copy()
    changed.loc[held, ["u", "v"]] = RNG.normal(size=(held.sum(), 2)) * 1e6
    after = prepared(changed)
    assert after.preparation == before.preparation
    for name in ("train", "validation"):
        for array in ("values", "lengths", "targets"):
            np.testing.assert_array_equal(
                getattr(after.parts[name], array), getattr(before.parts[name], array), strict=True
            )
    assert not np.array_equal(after.parts["evaluation"].values, before.parts["evaluation"].values)


def test_scales_are_those_of_training_sequences(prepared):
    found = prepared(long_table())
    training = np.concatenate(found.parts["train"].data.numbers)
    np.testing.assert_allclose(found.preparation.view.scaler.mean, training.mean(axis=0))
    real = np.arange(found.parts["train"].time) < found.parts["train"].lengths[:, None]
    np.testing.assert_allclose(found.parts["train"].values[real].mean(axis=0), 0, atol=1e-6)


CONLL = "\n\n".join(
    "\n".join(f"{word}\t{'N' if word[0] in 'dcb' else 'V'}" for word in sentence)
    for sentence in [RNG.choice(["dog", "cat", "runs", "sees", "bird"], size) for size in (3, 4, 5, 2) * 10]
)


def test_words_that_only_evaluation_has_are_not_in_the_vocabulary(prepared):
    before = prepared(CONLL, name="words.txt", job=label)
    data = before.parts["evaluation"].data
    lines, sentences = [], CONLL.split("\n\n")
    firsts = {int(data.rows["sentence"].iloc[places[0]]) for places in data.places}
    for number, sentence in enumerate(sentences, start=1):
        lines.append("\n".join(f"new{line}" for line in sentence.split("\n")) if number in firsts else sentence)
    after = prepared("\n\n".join(lines), name="words.txt", job=label)
    assert after.preparation == before.preparation
    np.testing.assert_array_equal(after.parts["train"].values, before.parts["train"].values)
    assert (after.parts["evaluation"].values != before.parts["evaluation"].values).any()


def test_steps_without_a_label_are_read_and_not_scored(prepared):
    text = "\n\n".join("a\tX\nb\t_\nc\tY" for _ in range(5)) + "\n\nd\t_\n"
    found = prepared(text, name="words.txt", job=label)
    np.testing.assert_array_equal(found.parts["train"].targets, [[0, -1, 1]] * 3)
    assert "1 of 6 sequences without any label: left out" in found.notes


def test_a_label_that_only_evaluation_has_is_counted_and_has_a_number_of_its_own(prepared):
    rows = [("aa", "x", "train"), ("bb", "y", "train"), ("ab", "x", "val"), ("ba", "z", "test"), ("bb", "y", "test")]
    found = prepared(pd.DataFrame(rows * 2, columns=["text", "label", "split"]))
    assert found.preparation.labels == ("x", "y")
    assert found.parts["evaluation"].targets.tolist() == [2, 1, 2, 1]
    assert "2 labels of the evaluation part that training has not seen: counted as errors" in found.notes


def test_labels_that_are_numbers_are_in_their_order(prepared):
    frame = pd.DataFrame({"text": ["abc"] * 36, "label": [10, 9, 1] * 12})
    assert prepared(frame, said=Said(target="label")).preparation.labels == ("1", "9", "10")


def test_empty_sequences_and_those_without_a_label_are_left_out_and_counted(prepared):
    frame = pd.DataFrame({"text": ["abc", "", "b", "c", "d", "e"] * 3, "label": ["x", "x", "y", None, "x", "y"] * 3})
    found = prepared(frame)
    assert sum(len(part.lengths) for part in found.parts.values()) == 12
    assert "3 sequences without steps: left out" in found.notes
    assert "3 of 15 sequences without a label: left out" in found.notes


def test_longest_cuts_sequences_and_says_so(prepared):
    found = prepared(long_table(), longest=4)
    assert found.parts["train"].time == 4 and found.preparation.longest == 4
    assert "20 sequences longer than 4 steps: cut there" in found.notes
    new = found.preparation.read_again([np.zeros((9, 2))])
    assert len(new.steps[0]) == 4


def test_training_pads_to_nearly_all_and_held_out_parts_are_whole(prepared):
    lengths = [5] * 199 + [500]
    frame = pd.DataFrame({"text": ["ab" * n for n in lengths], "label": ["x", "y"] * 100})
    for seed in range(5):
        found = prepared(frame, seed=seed)
        if found.parts["train"].time == 1000:
            break
    assert found.training_time == 10 and found.training.values.shape[1] == 10
    assert found.training.lengths.max() == 10 and found.parts["train"].lengths.max() == 1000
    assert any("in training, 1 sequence longer than 10 steps: cut there" in note for note in found.notes)


def test_further_files_are_the_parts_that_they_are_named_for(prepared, tmp_path):
    more = tmp_path / "test.txt"
    more.write_text("dog\tN\nflies\tV\n\ncat\tN\n")
    found = prepared(CONLL, name="words.txt", job=label, evaluation=more)
    assert [words for words in found.parts["evaluation"].data.symbols] == [("dog", "flies"), ("cat",)]
    assert len(found.parts["train"].lengths) == 36 and len(found.parts["validation"].lengths) == 4
    rows, places = found.parts["evaluation"].data.rows, found.parts["evaluation"].data.places
    assert list(rows["column 1"].iloc[places[0]]) == ["dog", "flies"]


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (pd.DataFrame({"text": ["a", "b"] * 5, "label": ["x"] * 10}), "every label of the training part is 'x'"),
        (pd.DataFrame({"text": ["a"], "label": ["x"]}), "has 1 sequence with labels"),
        (pd.DataFrame({"text": [""] * 5, "label": ["x", "y"] * 2 + ["x"]}), "has neither|no sequence with steps|no sequence was found"),
        (long_table().assign(kind=""), "which column holds the labels|no column"),
        (long_table().assign(u=np.nan, v=np.nan), "no numbers beside|no sequence was found|neither numbers"),
    ],
)  # fmt: skip
def test_what_no_classification_can_be_made_of_is_one_line(prepared, frame, line):
    with pytest.raises(CapaxError, match=line) as error:
        prepared(frame)
    assert "\n" not in str(error.value)


def test_a_column_without_any_value_is_left_out_and_missing_values_are_said(prepared):
    frame = long_table().assign(empty=np.nan)
    frame.loc[3, "u"] = np.nan
    found = prepared(frame)
    assert found.preparation.layout.features == ("u", "v")
    assert any("'empty' has no value and is left out" in note for note in found.notes)
    assert any(note.startswith("1 value missing") for note in found.notes)
    assert np.isfinite(found.parts["train"].values).all()


def test_a_preparation_survives_json_and_a_changed_one_is_refused(prepared):
    for found in (prepared(long_table()), prepared(CONLL, name="words.txt", job=label)):
        given = json.loads(json.dumps({"job": found.preparation.job, **found.preparation.to_json()}))
        assert jobs.from_json(given) == found.preparation
        other_view = {"kind": "numbers", "mean": [0.0] * 3, "deviation": [1.0] * 3}
        for key, value in {"labels": ["x"], "longest": -1, "view": other_view, "layout": None}.items():
            with pytest.raises(CapaxError):
                jobs.from_json({**given, key: value})
    given = {"job": "classify", **prepared(long_table()).preparation.to_json(), "pooling": "os.system"}
    with pytest.raises(CapaxError, match="pooling must be mean or last"):
        jobs.from_json(given)
