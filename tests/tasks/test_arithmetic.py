"""The arithmetic task: strings and answers agree with Python's, at every number of compute
steps.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optuna
import pytest

from capax import tasks
from capax.search import GaussianProcessBandit
from capax.search.space import distribution
from capax.tasks.arithmetic import ALPHABET, written

EDGES = [0, 1, -1, 9, 10, -10, 99, 100, 93851, -343243, 9_999_999, -9_999_999, 10**7, -(10**7)]


def slow(a, b, compute_steps, steps=36, width=9):
    """What is read, what is due, and which steps count, as three strings: by Python's own
    formatting.
    """
    question, answer = f"{a}+{b}=", str(a + b)
    read = question.ljust(steps)
    due = (" " * (len(question) + compute_steps) + answer).ljust(steps)
    end = len(question) + compute_steps + len(answer)
    return read, due, "".join("x" if end - width <= step < end else " " for step in range(steps))


def decode(symbols):
    return ["".join(ALPHABET[symbol] for symbol in column) for column in np.asarray(symbols).T]


def strings(draw):
    counted = ["".join("x" if weight else " " for weight in column) for column in np.asarray(draw.weights, np.int32).T]
    return list(zip(decode(draw.inputs.symbols), decode(draw.targets), counted, strict=True))


def row(numbers):
    return jnp.asarray(numbers, jnp.int32)[None]


@pytest.mark.parametrize("compute_steps", [1, 2, 3, 4, 5, 6])
def test_strings_padding_and_answers_agree_with_python_s(compute_steps):
    pairs = [(a, b) for a in EDGES for b in EDGES]
    draw = tasks.get("arithmetic").write(*(row(part) for part in zip(*pairs, strict=True)), jnp.asarray(compute_steps))
    assert strings(draw) == [slow(a, b, compute_steps) for a, b in pairs]


def test_the_source_s_example():
    draw = tasks.get("arithmetic").write(row([-343243]), row([93851]), jnp.asarray(6))
    ((read, due, counted),) = strings(draw)
    assert read.rstrip() == "-343243+93851=" and len(read) == 36
    assert due.rstrip() == " " * len("-343243+93851=      ") + "-249392"
    assert "".join(character for character, x in zip(due, counted, strict=True) if x == "x") == "  -249392"


@pytest.mark.parametrize("compute_steps", [1, 6])
def test_the_longest_question_and_answer_fit(compute_steps):
    draw = tasks.get("arithmetic").write(row([-(10**7)]), row([-(10**7)]), jnp.asarray(compute_steps))
    ((read, due, counted),) = strings(draw)
    assert due.strip() == "-20000000" and len(due.rstrip()) == 20 + compute_steps + 9 <= 36
    assert counted.strip() == "x" * 9 and read.strip() == "-10000000+-10000000="


def test_the_least_number_of_steps_holds_the_longest_sequence():
    task = tasks.get("arithmetic", largest=9, time_steps=15)
    draw = task.write(row([-9]), row([-9]), jnp.asarray(6))
    assert strings(draw) == [slow(-9, -9, 6, steps=15, width=3)]
    assert strings(draw)[0][1] == " " * 12 + "-18"


def test_numbers_of_any_size_are_written_as_python_writes_them():
    random = np.random.default_rng(0)
    numbers = random.integers(-2e9, 2e9, 2000) // 10 ** random.integers(0, 10, 2000)
    numbers = [*numbers.tolist(), 0, 10**9, -(10**9)]
    symbols, lengths = written(row(numbers), 11)
    assert decode(symbols) == [str(number).rjust(11) for number in numbers]
    assert np.asarray(lengths)[0].tolist() == [len(str(number)) for number in numbers]


@pytest.mark.parametrize("compute_steps", [1, 4])
def test_a_draw_asks_for_the_sums_of_numbers_that_are_uniform(compute_steps):
    task = tasks.get("arithmetic", batch_size=3000)
    scalars = task.scalars({"compute_steps": compute_steps}, 0)
    draw = task.batch_at(task.data(0), "train", jax.random.key(0), jnp.asarray(0), scalars)
    numbers = []
    for read, due, counted in strings(draw):
        a, b = map(int, read.rstrip("= ").rsplit("+", 1))
        assert (read, due, counted) == slow(a, b, compute_steps)
        numbers.append((a, b))
    numbers = np.asarray(numbers) / 1e7
    assert np.abs(numbers).max() <= 1
    # Five standard deviations of the moments of a uniform variable on [-1, 1].
    assert np.abs(numbers.mean(axis=0)).max() < 5 / (3 * 3000) ** 0.5
    assert np.abs((numbers**2).mean(axis=0) - 1 / 3).max() < 5 * (4 / 45 / 3000) ** 0.5
    assert abs((numbers[:, 0] * numbers[:, 1]).mean()) < 5 / 3 / 3000**0.5


def test_small_numbers_all_come_with_both_ends():
    drawn = np.asarray(tasks.get("arithmetic", largest=1, time_steps=14).sample(jax.random.key(0), 500).inputs.symbols)
    questions = {text.strip() for text in decode(drawn)}
    assert questions == {f"{a}+{b}=" for a in (-1, 0, 1) for b in (-1, 0, 1)}


def test_the_sizes_and_the_hyperparameter_are_the_source_s():
    task = tasks.get("arithmetic")
    assert (task.inputs, task.outputs, task.length, task.width) == (14, 14, 36, 9)
    (steps,) = task.hyperparameters()
    assert (steps.name, steps.default, steps.low, steps.high, steps.whole) == ("compute_steps", 6, 1, 6, True)


def test_the_tuner_proposes_whole_compute_steps():
    task = tasks.get("arithmetic")
    study = optuna.create_study(sampler=GaussianProcessBandit(seed=0))
    space = {each.name: distribution(each) for each in task.hyperparameters()}
    for _ in range(12):
        proposed = study.ask(space)
        assert type(proposed.params["compute_steps"]) is int
        study.tell(proposed, -proposed.params["compute_steps"])
    assert {trial.params["compute_steps"] for trial in study.trials} <= set(range(1, 7))
    assert study.best_params["compute_steps"] == 6


def test_a_public_batch_is_one_hot():
    task = tasks.get("arithmetic")
    batch = task.batch(jax.random.key(0), 20)
    assert batch.inputs.shape == (20, 36, 14) and batch.targets.shape == batch.mask.shape == (20, 36)
    np.testing.assert_array_equal(batch.inputs.sum(axis=2), 1)
    np.testing.assert_array_equal(batch.mask.sum(axis=1), 9)


def test_loss_and_score_of_public_outputs():
    task = tasks.get("arithmetic")
    batch = task.batch(jax.random.key(0), 20)
    shape = (20, 36, 14)
    assert task.score(jnp.full(shape, 3.0), batch) == pytest.approx(math.log(14), rel=1e-5)
    assert task.facts.chance == task.facts.chance_loss == math.log(14)
    perfect = 1000 * jax.nn.one_hot(batch.targets, 14)
    assert task.score(perfect, batch) == task.facts.perfect == 0
    assert task.score(perfect * batch.mask[:, :, None], batch) == 0  # the other steps do not count

    outputs = np.random.default_rng(0).normal(size=shape)
    p = np.exp(outputs) / np.exp(outputs).sum(axis=2, keepdims=True)
    chosen = np.take_along_axis(p, np.asarray(batch.targets)[:, :, None], axis=2)[:, :, 0]
    expected = -np.sum(np.log(chosen) * np.asarray(batch.mask)) / (20 * 9)
    assert task.score(jnp.asarray(outputs, jnp.float32), batch) == pytest.approx(expected, rel=1e-5)
    assert float(task.loss(jnp.asarray(outputs, jnp.float32), batch)) == pytest.approx(expected, rel=1e-5)


def test_the_share_of_answers_that_are_right_in_every_character():
    task = tasks.get("arithmetic")
    draw = task.sample(jax.random.key(0), 10)
    outputs = jax.nn.one_hot(draw.targets, 14, axis=0)
    last = int(np.flatnonzero(draw.weights[:, 3])[-1])
    outputs = outputs.at[:, last, 3].set(0.0).at[:, 0, 5].set(0.0)  # one that counts, and one that does not
    sums = {name: float(value) for name, value in task.measure(outputs, draw).items()}
    assert task.scores(sums)["fraction_correct"] == pytest.approx(0.9)


def test_the_baseline_knows_positions_only():
    # The sums of two numbers from -1 to 1 are -2, -1, 0, 1, 2 with odds of 1, 2, 3, 2, 1; each is
    # padded to two characters.
    task = tasks.get("arithmetic", largest=1, time_steps=14, batch_size=20_000, held_out=100_000)
    (baseline,) = task.baselines().values()

    def entropy(*odds):
        return sum(odd / sum(odds) * math.log(sum(odds) / odd) for odd in odds)

    # Before the first character (6 in 9) a space; the first is '-' or a digit; the second (3 in 9)
    # is 1 or 2.
    exact = (0 + entropy(3, 3, 2, 1) + entropy(1, 2) / 3) / 2
    assert baseline == pytest.approx(exact, abs=0.01)  # 200,000 answers counted, 100,000 scored
    (baseline,) = tasks.get("arithmetic", batch_size=512).baselines().values()
    assert math.log(10) / 2 < baseline < math.log(10)


def test_the_baseline_is_a_score_on_the_evaluation_set():
    """The frequencies that it counts, given as logits to the task's own score, at the positions of
    each answer.
    """
    task = tasks.get("arithmetic", largest=99, time_steps=20, batch_size=64, held_out=100)
    logits = np.log(task._character_frequencies())
    loss = weight = 0.0
    for batch in task.evaluation_set():
        targets, due = np.asarray(batch.targets), np.asarray(batch.weights) > 0
        outputs = np.zeros((14, *targets.shape), np.float32)
        for n in np.flatnonzero(due.any(axis=0)):
            answer = targets[due[:, n], n]
            first = int(np.argmax(answer != ALPHABET.index(" ")))
            outputs[:, due[:, n], n] = logits[task.width - first + np.arange(task.width)].T
        sums = task.measure(jnp.asarray(outputs), batch)
        loss, weight = loss + float(sums["loss"]), weight + float(sums["weight"])
    assert weight == 100 * task.width
    assert task.baselines()["position only"] == pytest.approx(loss / weight, rel=1e-5)
