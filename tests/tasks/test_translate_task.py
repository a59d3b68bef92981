"""The task of pairs: batches are pairs of the file, held-out sets are whole, losses are in nats."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.tasks.task import cross_entropy
from capax.training import responding


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


def test_with_ctc_the_loss_is_that_of_a_target_in_places_of_its_source(make):
    task = make([f"{word}\t{' '.join(c.upper() + ' ' + c for c in word)}" for word in words(150)], decoder="ctc")
    preparation, kinds = task.preparation, task.preparation.end + 1
    assert preparation.slots == 2 and task.outputs == 2 * kinds and not preparation.backwards
    batch = task.sample(jax.random.key(0), 5)
    assert task.architecture().kind == "bidirectional"
    network = Bidirectional.create("gru", inputs=task.inputs, outputs=task.outputs, units=4, key=jax.random.key(1))
    outputs = responding.outputs(network, batch, 0)
    sums = task.measure(outputs, batch)
    assert sums["weight"] == int(batch.target_lengths.sum())
    logits = np.asarray(outputs).reshape(2, kinds, -1, 5).transpose(3, 2, 0, 1).reshape(5, -1, kinds)
    due = 0.0
    for row in range(5):
        places, symbols = 2 * int(batch.lengths[row]), int(batch.target_lengths[row]) - 1
        due += float(
            optax.ctc_loss(
                logits[row : row + 1, :places],
                jnp.zeros((1, places)),
                batch.targets[:symbols, row][None],
                jnp.zeros((1, symbols)),
                blank_id=kinds - 1,
            )[0]
        )
    assert float(sums["loss"]) == pytest.approx(due, rel=1e-4)
    public = task.batch(jax.random.key(0), 5)
    assert float(task.loss(outputs.T, public)) == pytest.approx(due / float(sums["weight"]), rel=1e-4)


def test_pairs_that_do_not_fit_are_no_training_with_ctc_and_all_are_held_out(make):
    apart = [line for line in lines(800) if all(a != b for a, b in itertools.pairwise(line))]
    task = make([*apart, "ab\tA B A B A B"], decoder="ctc")
    kept, every = (each.prepared.parts for each in (task, dataclasses.replace(task, decoder="attention")))
    assert len(apart) > 200 and task.preparation.slots == 1 and "ab" in every["train"].texts
    assert [every["train"].texts[row] for row in set(every["train"].rows) - set(kept["train"].rows)] == ["ab"]
    assert len(kept["evaluation"].rows) == len(kept["evaluation"].texts)


def test_targets_that_are_much_longer_than_sources_have_no_ctc(make):
    task = make([f"{word}\t{' '.join(word.upper() * 9)}" for word in words(150)])
    assert task.alternatives() == {} and make(lines()).alternatives() == {"decoder": ["attention", "ctc"]}
    with pytest.raises(CapaxError, match="decoder=ctc takes targets of at most 6 symbols"):
        make([f"{word}\t{' '.join(word.upper() * 9)}" for word in words(150)], decoder="ctc").sizes  # noqa: B018


def test_a_public_loss_of_pairs_counts_targets_that_are_longer_than_their_source(make):
    task = make([f"{word}\t{' '.join(word.upper() * 3)}" for word in words(150)])
    batch = task.sample(jax.random.key(0), 5)
    logits = jax.random.normal(jax.random.key(1), (task.outputs, *batch.targets.shape))
    due = {name: float(value) for name, value in task.measure(logits, batch).items()}
    assert float(task.loss(logits.T, batch.public(0))) == pytest.approx(due["loss"] / due["weight"], rel=1e-5)


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
        ({"decoder": "beam"}, "decoder is attention or ctc, not 'beam'"),
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
