"""The parentheses task: counts agree with counting, symbols come as often as they should, ten
errors are summed.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capax import tasks
from capax.tasks.parentheses import ALPHABET, BRACKETS, TYPES, count, count_distribution


def slow_count(text, brackets):
    """One character after the other."""
    opened = 0
    for character in text:
        if character == brackets[0]:
            opened = min(9, opened + 1)
        elif character == brackets[1]:
            opened = max(0, opened - 1)
    return opened


def counted(text):
    """The count of each type when every stream reads the same text, after some noise (few lengths,
    few compilations).
    """
    text = text.rjust(math.ceil(len(text) / 45) * 45, "a")
    symbols = jnp.asarray([ALPHABET.index(character) for character in text])
    repeated = jnp.broadcast_to(symbols[:, None, None], (len(text), TYPES, 1))
    return dict(zip(BRACKETS, np.asarray(count(repeated))[:, 0], strict=True))


@pytest.mark.parametrize(
    ("text", "brackets", "opened"),
    [
        ("(a<a<bcb>[[[)", "<>", 1),  # the source's example
        ("(a<a<bcb>[[[)", "()", 0),
        ("(a<a<bcb>[[[)", "[]", 3),
        ("(a<a<bcb>[[[)", "{}", 0),
        (")", "()", 0),
        (")))((", "()", 2),  # never below 0: what was closed too often does not count against what is opened
        ("(" * 9, "()", 9),
        ("(" * 30, "()", 9),
        ("(" * 30 + ")", "()", 8),  # saturated, then closed
        ("(" * 30 + ")" * 9, "()", 0),
        ("(" * 30 + ")" * 12 + "(", "()", 1),
        ("[" * 30, "()", 0),
        ("abcdefghij", "()", 0),
    ],
)
def test_known_texts_have_known_counts(text, brackets, opened):
    assert slow_count(text, brackets) == counted(text)[brackets] == opened


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.sampled_from("(()))[]a"), min_size=1, max_size=12).map("".join), st.sampled_from([1, 7, 30]))
def test_the_count_of_any_text_is_that_of_counting(text, repeats):
    text = text * repeats  # counts run into both ends
    counts = counted(text)
    assert counts["()"] == slow_count(text, "()") and counts["[]"] == slow_count(text, "[]")


def decode(batch):
    """For each sequence the ten texts."""
    symbols = np.asarray(batch.inputs).reshape(*batch.inputs.shape[:2], TYPES, len(ALPHABET))
    np.testing.assert_array_equal(symbols.sum(axis=3), 1)
    characters = np.asarray(list(ALPHABET))[symbols.argmax(axis=3)]
    return [["".join(characters[i, :, stream]) for stream in range(TYPES)] for i in range(len(characters))]


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("steps", [1, 2, 3, 50, 175])
def test_a_batch_has_the_counts_of_its_streams(steps):
    task = tasks.get("parentheses", time_steps=steps)
    batch = task.batch(jax.random.key(0), 40)
    assert batch.inputs.shape == (40, steps, 300) and batch.targets.shape == (40, steps, TYPES)
    np.testing.assert_array_equal(batch.mask, np.eye(steps)[[-1] * 40])
    expected = [
        [slow_count(text, brackets) for text, brackets in zip(texts, BRACKETS, strict=True)] for texts in decode(batch)
    ]
    np.testing.assert_array_equal(batch.targets[:, -1], expected)


def test_the_sizes_are_the_source_s():
    task = tasks.get("parentheses")
    assert (task.inputs, task.outputs, task.length, task.first) == (300, 100, 175, 174)
    assert len(set(ALPHABET)) == 30 and len(BRACKETS) == 10


def test_half_of_the_symbols_are_noise_and_all_of_a_kind_are_equally_likely():
    symbols = np.asarray(tasks.get("parentheses").sample(jax.random.key(0), 100).inputs.symbols)
    share = np.bincount(symbols.ravel(), minlength=30) / symbols.size
    # Five standard deviations of the share among 175,000 symbols.
    np.testing.assert_allclose(share[:20], 1 / 40, rtol=0, atol=5 * (1 / 40 / symbols.size) ** 0.5)
    np.testing.assert_allclose(share[20:], 1 / 20, rtol=0, atol=5 * (1 / 20 / symbols.size) ** 0.5)
    # Streams and steps are independent: neighbours agree as often as chance has it.
    chance = 20 / 40**2 + 10 / 20**2
    for one, other in ((symbols[1:], symbols[:-1]), (symbols[:, 1:], symbols[:, :-1])):
        assert (one == other).mean() == pytest.approx(chance, abs=5 * (chance / one.size) ** 0.5)


@pytest.mark.parametrize("steps", [1, 175])
def test_the_counts_are_distributed_as_by_the_baseline(steps):
    targets = np.asarray(tasks.get("parentheses", time_steps=steps).sample(jax.random.key(1), 2000).targets)
    share = np.bincount(targets.ravel(), minlength=10) / targets.size
    np.testing.assert_allclose(share, count_distribution(steps), rtol=0, atol=5 * (0.25 / targets.size) ** 0.5)
    assert count_distribution(1)[:2] == pytest.approx([39 / 40, 1 / 40])


def test_loss_and_score_sum_ten_cross_entropies():
    task = tasks.get("parentheses", time_steps=4)
    batch = task.batch(jax.random.key(0), 50)
    shape = (50, 4, 100)
    assert task.score(jnp.full(shape, 3.0), batch) == pytest.approx(10 * math.log(10), rel=1e-6)
    assert task.facts.chance == task.facts.chance_loss == 10 * math.log(10)
    perfect = 1000 * jax.nn.one_hot(batch.targets, 10).reshape(shape)
    assert task.score(perfect, batch) == task.facts.perfect == 0
    assert task.score(perfect.at[:, :3].set(0.0), batch) == 0  # only the last step counts

    outputs = np.random.default_rng(0).normal(size=shape)
    p = np.exp(outputs).reshape(50, 4, 10, 10)
    p /= p.sum(axis=3, keepdims=True)
    expected = -np.log(np.take_along_axis(p, np.asarray(batch.targets)[..., None], axis=3))[:, 3].sum(axis=(1, 2))
    assert task.score(jnp.asarray(outputs, jnp.float32), batch) == pytest.approx(expected.mean(), rel=1e-5)
    assert float(task.loss(jnp.asarray(outputs, jnp.float32), batch)) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize(("steps", "held_out", "score"), [(20, 512, 8.259), (40, 1024, 11.379)])
def test_the_baseline_is_what_the_frequencies_of_the_counts_score_on_the_evaluation_set(steps, held_out, score):
    task = tasks.get("parentheses", time_steps=steps, held_out=held_out)
    logits = jnp.tile(jnp.log(jnp.asarray(np.maximum(count_distribution(steps), 1e-30), jnp.float32)), 10)
    measured = [
        task.measure(jnp.broadcast_to(logits[:, None, None], (100, 1, 32)), batch) for batch in task.evaluation_set()
    ]
    (baseline,) = task.baselines().values()
    assert sum(float(sums["weight"]) for sums in measured) == task.held_out
    assert baseline == pytest.approx(sum(float(sums["loss"]) for sums in measured) / task.held_out, rel=1e-5)
    assert baseline == pytest.approx(score, abs=5e-4)  # found by a referee's own count
