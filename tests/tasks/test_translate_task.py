"""The task of pairs: batches are pairs of the file, held-out sets are whole, losses are in nats."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.networks.encoder_decoder import EncoderDecoder
from capax.tasks.task import cross_entropy


def words(count, longest=6):
    random = np.random.default_rng(0)
    found = ["".join(random.choice(list("abcde"), random.integers(3, longest + 1))) for _ in range(count)]
    return list(dict.fromkeys(found))


@pytest.fixture
def make(tmp_path):
    def task(lines, **options):
        path = tmp_path / "pairs.tsv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return tasks.get("translate", path=str(path), **{"batch_size": 7, **options})

    return task


def lines(count=150):
    return [f"{word}\t{' '.join(word.upper())}" for word in words(count)]


def shown(task, batch):
    """The pairs of a batch as texts, with their weights."""
    side, target = task.preparation.source, task.preparation
    for column in range(batch.lengths.shape[0]):
        source = batch.inputs.symbols[: int(batch.lengths[column]), column]
        source = source[::-1] if target.backwards else source
        symbols = np.asarray(batch.targets[: int(batch.target_lengths[column]), column])
        assert symbols[-1] == target.end
        yield "".join(side.vocabulary.decode(np.asarray(source))), "".join(target.answer(symbols)), column


@pytest.mark.parametrize("split", ["validation", "evaluation"])
def test_a_held_out_set_has_every_pair_of_its_part_once(make, split):
    task, seen = make(lines()), []
    for index in range(int(task.batches(split, {}))):
        batch = task.batch_at(task.data(0), split, jax.random.key(index), jnp.asarray(index), {})
        for source, target, column in shown(task, batch):
            assert target == source.upper()
            weights = np.asarray(batch.weights[:, column])
            if weights.any():
                seen.append(source)
                assert weights.sum() == batch.target_lengths[column] and weights[: int(weights.sum())].all()
    assert sorted(seen) == sorted(task.prepared.parts[split].texts)


def test_training_draws_pairs_of_the_training_part_alone(make):
    task, seen = make(lines(), batch_size=400), set()
    for step in range(3):
        batch = task.batch_at(task.data(0), "train", jax.random.key(step), jnp.asarray(0), {})
        seen |= {source for source, target, _ in shown(task, batch) if target == source.upper()}
        assert batch.inputs.symbols.shape == (task.length, 400) and batch.weights.sum() == batch.target_lengths.sum()
    assert seen == set(task.prepared.parts["train"].texts)


def test_sources_can_be_read_forwards_and_then_are_the_others_turned_round(make):
    forth, back = make(lines(), backwards=False), make(lines())
    for split in ("train", "evaluation"):
        one, other = (
            task.batch_at(task.data(0), split, jax.random.key(3), jnp.asarray(0), {}) for task in (forth, back)
        )
        np.testing.assert_array_equal(one.targets, other.targets)
        for column, length in enumerate(np.asarray(one.lengths)):
            turned = other.inputs.symbols[:length, column][::-1]
            np.testing.assert_array_equal(one.inputs.symbols[:length, column], turned)
            assert not one.inputs.symbols[length:, column].any() and not other.inputs.symbols[length:, column].any()


def test_the_loss_is_the_cross_entropy_of_a_symbol(make):
    task = make(lines())
    batch = task.sample(jax.random.key(0), 5)
    network = EncoderDecoder.create(
        "gru", inputs=task.inputs, outputs=task.outputs, units=4, attention="dot", key=jax.random.key(1)
    )
    logits = network.teach(batch.inputs, network.given(batch.targets), batch.lengths, batch.target_lengths)
    sums = {name: float(value) for name, value in task.measure(logits, batch).items()}
    assert sums["weight"] == int(batch.target_lengths.sum())
    assert sums["loss"] == pytest.approx(float(cross_entropy(logits, batch.targets, batch.weights)))
    found = task.scores(sums)
    assert found["score"] == found["loss"] == sums["loss"] / sums["weight"]
    uniform = task.measure(jnp.zeros_like(logits), batch)
    assert float(uniform["loss"] / uniform["weight"]) == pytest.approx(task.facts.chance_loss, rel=1e-5)
    assert task.facts.chance_loss == math.log(task.outputs)


def test_it_says_what_a_model_file_needs_and_what_the_file_was_taken_for(make):
    task = make(lines())
    assert task.preprocessing()["job"] == "translate" and "path" not in str(task.preprocessing())
    said = " ".join(task.remarks())
    assert "characters" in said and "words" in said and "for evaluation" in said
    assert task.contents()[0].name == "pairs.tsv"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"source_symbols": "letters"}, "source_symbols are characters or words"),
        ({"target": "meaning"}, "has no column 'meaning'"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_options_that_cannot_be_are_one_line(make, options, line):
    with pytest.raises(CapaxError, match=line):
        make(lines(), **options).sizes  # noqa: B018


def test_other_content_is_another_task(make):
    one, other = make(lines()), make(lines(140))
    assert one != other and one.sha256 != other.sha256
    with pytest.raises(CapaxError, match="is not the file that it was"):
        make(lines(), sha256=other.sha256)
