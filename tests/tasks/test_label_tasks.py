"""The tasks of labels: batches, pooling, scores, held-out sets, files by their content."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from capax import tasks
from capax.cells.sequence import Dense, MultiHot, OneHot
from capax.errors import CapaxError
from capax.tasks.batch import SequenceBatch
from capax.tasks.classify import pool
from capax.tasks.labelled import sums
from capax.testing import tasks as checks

WORDS = ["the dog sees a cat", "a cat runs", "the bird sees the dog", "dogs run", "a bird sings in the tree"]


@pytest.fixture
def classify(tmp_path):
    """A task of 40 sequences of 2 to 5 numbers, two at a step; the label is the sign of the sum."""

    def make(**options):
        random = np.random.default_rng(0)
        lengths = random.integers(2, 6, size=40)
        values = random.normal(size=(lengths.sum(), 2))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        labels = [str(values[b:e].sum() > 0) for b, e in itertools.pairwise(offsets)]
        np.savez(tmp_path / "data.npz", values=values, offsets=offsets, y=np.array(labels))
        return tasks.get("classify", path=str(tmp_path / "data.npz"), batch_size=8, **options)

    return make


@pytest.fixture
def label(tmp_path):
    """A task of 60 sentences; the label says whether a word has an s."""

    def make(**options):
        random = np.random.default_rng(0)
        sentences = [random.permutation(WORDS[number % 5].split()) for number in range(60)]
        text = "\n\n".join("\n".join(f"{word}\t{'S' if 's' in word else 'N'}" for word in each) for each in sentences)
        (tmp_path / "words.conll").write_text(text)
        return tasks.get("label", path=str(tmp_path / "words.conll"), batch_size=16, **options)

    return make


CHECKS = [
    *(checks.shapes, checks.values, checks.keys, checks.loss, checks.mask, checks.sums, checks.results),
    *(checks.best_score, checks.chance, checks.chance_loss, checks.held_out, checks.options, checks.training),
]


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("kind", ["classify", "label"])
def test_the_tasks_keep_the_contract_of_tasks(kind, classify, label):
    under_test = checks.TaskUnderTest({"classify": classify, "label": label}[kind]())
    failed = [found for check in CHECKS if not (found := check(under_test)).passed]
    assert not failed


def test_held_out_sets_go_through_each_sequence_once(label):
    task = label()
    data = task.data(0)
    for name in ("validation", "evaluation"):
        part, split = task.prepared.parts[name], name
        seen, weight = [], 0.0
        for index in range(int(task.batches(split, {}))):
            batch = task.batch_at(data, split, jax.random.key(0), jnp.asarray(index), {})
            counted = np.asarray(batch.weights).any(axis=0)
            weight += float(batch.weights.sum())
            seen += [np.asarray(batch.inputs.symbols)[..., place] for place in np.flatnonzero(counted)]
        np.testing.assert_array_equal(seen, part.values)
        assert weight == (part.targets >= 0).sum()


def test_a_training_batch_is_of_training_sequences(classify):
    task = classify()
    batch = task.batch_at(task.data(0), "train", jax.random.key(3), jnp.asarray(0), {})
    training = {row.tobytes() for row in task.prepared.training.values}
    rows = np.ascontiguousarray(np.moveaxis(np.asarray(batch.inputs.values), 2, 0))
    assert len(rows) == 8 and all(row.tobytes() in training for row in rows)


def test_inputs_are_numbers_one_symbol_or_several_a_step(classify, label, tmp_path):
    assert isinstance(classify().sample(jax.random.key(0), 2).inputs, Dense)
    words = label()
    batch = words.sample(jax.random.key(0), 2)
    assert isinstance(batch.inputs, MultiHot) and batch.inputs.values_at_every_step().shape[1] == words.inputs
    pd.DataFrame({"text": ["abba", "baab"] * 10, "label": ["x", "y"] * 10}).to_csv(tmp_path / "t.csv", index=False)
    text = tasks.get("classify", path=str(tmp_path / "t.csv"))
    assert isinstance(text.sample(jax.random.key(0), 2).inputs, OneHot) and text.inputs == 3


def test_pooling_by_hand():
    outputs = jnp.asarray([[[1.0, 5.0], [3.0, 7.0], [100.0, 9.0]]])  # one output, three steps, two sequences
    weights = jnp.asarray([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(pool(outputs, weights, "mean"), [[2, 7]])
    np.testing.assert_allclose(pool(outputs, weights, "last"), [[3, 9]])


def test_a_label_that_training_has_not_is_an_error_and_has_no_cross_entropy():
    logits = jnp.log(jnp.asarray([[[0.25, 0.25, 0.5]], [[0.75, 0.75, 0.5]]]))
    found = sums(logits, jnp.asarray([[1, 2, 0]]), jnp.asarray([[1.0, 1.0, 0.0]]))
    assert float(found["loss"]) == pytest.approx(-np.log(0.75))
    assert (float(found["weight"]), float(found["correct"]), float(found["count"])) == (1, 1, 2)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_what_is_behind_a_sequence_changes_no_score(classify, pooling):
    task = classify(pooling=pooling)
    batch = task.sample(jax.random.key(0), 8)
    noise = jax.random.normal(jax.random.key(1), (2, task.length, 8))
    behind = jnp.arange(task.length)[:, None] >= batch.lengths[None]
    assert behind.any()
    for one, other in zip(
        task.measure(noise, batch).values(),
        task.measure(jnp.where(behind[None], 1e6, noise), batch).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_the_score_is_the_cross_entropy_of_sequences_by_hand(classify):
    task = classify()
    batch = task.sample(jax.random.key(0), 8)
    outputs = jnp.zeros((2, task.length, 8)).at[1].set(1.0)
    labels = np.asarray(batch.targets[0])
    by_hand = np.log(1 + np.e) - labels.mean()
    found = task.scores({name: float(value) for name, value in task.measure(outputs, batch).items()})
    assert found["score"] == pytest.approx(by_hand, rel=1e-6) and found["accuracy"] == labels.mean()


def test_the_majority_baseline_by_hand(classify, label):
    for task in (classify(), label()):
        train, held_out = (task.prepared.parts[name].targets for name in ("train", "evaluation"))
        share = np.mean(train[train >= 0])
        held_out = held_out[held_out >= 0]
        by_hand = -np.mean(held_out * np.log(share) + (1 - held_out) * np.log(1 - share))
        assert task.baselines()["majority"] == pytest.approx(by_hand)


def test_a_file_is_known_by_its_content(label, tmp_path):
    task = label()
    assert task.contents()[0].sha256 == task.sha256 and task.contents()[0].option == "path"
    (tmp_path / "words.conll").write_text("a\tX\n\nb\tY\n")
    with pytest.raises(CapaxError, match=r"words\.conll is not the file that it was"):
        dataclasses.replace(task)


def test_a_further_file_is_known_by_its_content_too(label, tmp_path):
    more = tmp_path / "test.conll"
    more.write_text("dogs\tS\nrun\tN\n\nthe\tN\n")
    task = label(evaluation_file=str(more))
    assert [content.option for content in task.contents()] == ["path", "evaluation_file"]
    assert len(task.prepared.parts["evaluation"].lengths) == 2
    more.write_text("dogs\tS\nrun\tN\n\nthe\tN\n\nthe\tN\n")
    with pytest.raises(CapaxError, match=r"test\.conll is not the file that it was"):
        dataclasses.replace(task)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"pooling": "max"}, "pooling must be mean or last, not 'max'"),
        ({"symbols": "pixels"}, "symbols must be one of numbers, characters, words"),
        ({"evaluation_file": "/nowhere/test.csv"}, "/nowhere/test.csv cannot be read"),
        ({"longest": -1}, "longest must be a whole number"),
    ],
)
def test_a_wrong_option_is_one_line(classify, options, line):
    with pytest.raises(CapaxError, match=line):
        _ = classify(**options).prepared


def test_the_model_file_knows_what_was_learned(classify):
    given = classify(pooling="last").preprocessing()
    assert given["job"] == "classify" and given["pooling"] == "last" and given["labels"] == ["False", "True"]


def test_notes_say_what_the_file_was_taken_for(label):
    assert any("60 sentences" in note for note in label().remarks())


def test_a_batch_for_users_has_the_task_s_shapes(label):
    task = label()
    batch = task.batch(jax.random.key(0), 3)
    assert batch.inputs.shape == (3, task.length, task.inputs)
    assert isinstance(batch.inside(0), SequenceBatch)
