"""The capacity task: information in bits, distinct random inputs, and exactly b samples."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capax import tasks
from capax.errors import CapaxError
from capax.tasks.capacity import CHUNK, compression_bound, mutual_information, wilson_interval

fractions = st.floats(0, 1)
counts = st.integers(1, 10**6).map(float)


@settings(deadline=None, derandomize=True)
@given(samples=counts, p=st.floats(0.5, 1, exclude_min=True, exclude_max=True))
def test_mutual_information_is_that_of_a_binary_channel(samples, p):
    # By another way: b times the divergence of the joint distribution of label and output from its
    # product of margins.
    joint = np.asarray([[p, 1 - p], [1 - p, p]]) / 2
    expected = samples * np.sum(joint * np.log2(joint / 0.25))
    np.testing.assert_allclose(mutual_information(samples, p), expected, rtol=1e-9, atol=samples * 1e-12)


def test_mutual_information_at_known_points():
    # 1 - H(.11) = .5 to three digits: the channel of capacity one half in every textbook.
    assert mutual_information(1000.0, 0.89) == pytest.approx(500, abs=0.1)
    assert mutual_information(1000.0, 1.0) == 1000
    assert mutual_information(1000.0, 0.75) == pytest.approx(1000 * (0.75 * math.log2(3) - 1))


@given(samples=counts, p=st.floats(0, 0.5))
def test_no_better_than_chance_stores_nothing(samples, p):
    assert mutual_information(samples, p) == 0.0


@given(samples=counts, bits=st.floats(-1e6, 1e9))
def test_the_compression_bound_is_between_zero_and_the_number_of_samples(samples, bits):
    assert 0 <= compression_bound(samples, bits) <= samples


def test_the_compression_bound_is_what_the_labels_shrink_by():
    assert compression_bound(100.0, 30.0) == 70.0
    assert compression_bound(100.0, 130.0) == 0.0
    assert compression_bound(100.0, 0.0) == 100.0


@settings(deadline=None, derandomize=True)
@given(samples=counts, p=st.floats(0.501, 0.999), confidence=st.floats(0.001, 0.999))
def test_no_constant_confidence_beats_perfect_calibration(samples, p, confidence):
    """Outputs that are right with probability p and say so with `confidence`: at best, at
    confidence = p, eq. 22.
    """
    total = -samples * (p * math.log2(confidence) + (1 - p) * math.log2(1 - confidence))
    calibrated = -samples * (p * math.log2(p) + (1 - p) * math.log2(1 - p))
    assert compression_bound(samples, total) <= mutual_information(samples, p) + 1e-9 * samples
    np.testing.assert_allclose(
        compression_bound(samples, calibrated), mutual_information(samples, p), rtol=1e-9, atol=1e-9 * samples
    )


@pytest.mark.parametrize(
    ("correct", "samples", "low", "high"),
    [
        (81.0, 263.0, 0.2553, 0.3662),
        (15.0, 148.0, 0.0624, 0.1605),
        (0.0, 20.0, 0.0, 0.1611),
        (1.0, 29.0, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_that_of_the_published_examples(correct, samples, low, high):
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3; four digits are
    # printed.
    np.testing.assert_allclose(wilson_interval(correct, samples), (low, high), rtol=0, atol=5.1e-5)


@given(samples=counts, share=fractions)
def test_the_interval_holds_the_fraction_and_is_symmetric(samples, share):
    correct = float(round(share * samples))
    low, high = wilson_interval(correct, samples)
    assert 0 <= low <= correct / samples <= high <= 1
    np.testing.assert_allclose(wilson_interval(samples - correct, samples), (1 - high, 1 - low), atol=1e-9)


def columns(bits, number, seed=0):
    inputs, labels = tasks.get("capacity", bits=bits)._columns(jax.random.key(seed), number)
    return np.asarray(inputs), np.asarray(labels)


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize(
    ("bits", "number"), [(4, 1), (4, 15), (4, 16), (5, 32), (6, 33), (9, 512), (10, 1000), (13, 8192), (20, 20_000)]
)
def test_all_inputs_are_distinct(bits, number):
    inputs, labels = columns(bits, number)
    assert inputs.shape == (bits, number) and labels.shape == (number,)
    assert set(np.unique(inputs)) <= {0.0, 1.0} and set(np.unique(labels)) <= {0.0, 1.0}
    assert len(np.unique(inputs, axis=1).T) == number


@pytest.mark.parametrize("seed", [0, 1])
def test_inputs_and_labels_are_balanced_and_independent_of_each_other(seed):
    number = 20_000
    inputs, labels = columns(20, number, seed)
    sampling_error = 5 / number**0.5  # five standard deviations of the mean of independent +-1
    signs = 2 * np.concatenate([inputs, labels[None]]) - 1
    assert np.abs(signs.mean(axis=1)).max() < sampling_error
    products = signs @ signs.T / number
    assert np.abs(products - np.eye(21)).max() < sampling_error
    shifted = signs[:, 1:] @ signs[:, :-1].T / number  # of neighbouring samples
    assert np.abs(shifted).max() < sampling_error
    assert np.abs(signs[:, 2:] @ signs[:, :-2].T / number).max() < sampling_error


def test_another_key_gives_other_inputs_and_labels():
    (one, label), (other, other_label) = columns(20, 1000), columns(20, 1000, seed=1)
    assert 0.4 < (one != other).mean() < 0.6 and 0.4 < (label != other_label).mean() < 0.6


def test_the_data_are_fixed_and_a_smaller_network_gets_the_beginning_of_them():
    task = tasks.get("capacity")
    (small, small_labels), (large, large_labels), again = task.data(60), task.data(170), task.data(60)
    assert small.shape[1] < large.shape[1]
    np.testing.assert_array_equal(small, large[:, : small.shape[1]])
    np.testing.assert_array_equal(small, again[0])
    np.testing.assert_array_equal(small_labels, again[1])
    # Labels too, so that studies at two budgets ask for the same associations.
    np.testing.assert_array_equal(small_labels, large_labels[: small.shape[1]])


@pytest.mark.parametrize("samples", [1, CHUNK - 1, CHUNK, CHUNK + 1, 1234, 1230])
def test_the_draws_cover_exactly_b_samples(samples):
    task, parameters = tasks.get("capacity"), 123
    # 1230 is the most for 123 parameters; 1234 is past it, and within the last whole draw.
    scalars = task.scalars({"samples_per_parameter": samples / parameters}, parameters)
    assert int(scalars["samples"]) == samples
    data, key = task.data(parameters), jax.random.key(0)
    shown, targets = [], []
    for index in range(int(task.batches("train", scalars))):
        draw = task.batch_at(data, "train", key, jnp.asarray(index), scalars)
        assert draw.inputs.shown.shape == (20, CHUNK)
        inside = np.asarray(draw.weights[0]) == 1
        assert inside.sum() == np.asarray(draw.weights).sum()
        shown.append(np.asarray(draw.inputs.shown)[:, inside])
        targets.append(np.asarray(draw.targets)[0, inside])
    np.testing.assert_array_equal(np.concatenate(shown, axis=1), data[0][:, :samples])
    np.testing.assert_array_equal(np.concatenate(targets), data[1][:samples])


def test_b_and_the_input_are_hyperparameters():
    task = tasks.get("capacity")
    samples, always, batch_size = task.hyperparameters()
    assert (samples.name, samples.low, samples.high, samples.log) == ("samples_per_parameter", 0.1, 10.0, True)
    assert always.name == "input_always" and set(always.choices) == {True, False}
    assert task.samples({"samples_per_parameter": 0.1}, 1003) == 100
    assert task.samples({"samples_per_parameter": 10.0}, 1003) == 10_030
    assert bool(task.scalars({"input_always": False}, 10)["always"]) is False
    assert (batch_size.name, batch_size.default, batch_size.tuned) == ("batch_size", 0, False)
    assert task.minibatch({}) is task.minibatch({"batch_size": 0}) is None and task.minibatch({"batch_size": 64}) == 64


def test_minibatches_go_through_exactly_b_samples_in_each_round():
    task, parameters, size = tasks.get("capacity"), 123, 32
    scalars = task.scalars(
        {"samples_per_parameter": 300 / parameters, "batch_size": size}, parameters
    )  # a prime, 307, is next
    data, key = task.data(parameters), jax.random.key(0)
    draws = [task.minibatch_at(data, size, jnp.asarray(step), key, scalars) for step in range(20)]
    shown, targets, weights = (
        np.concatenate([np.asarray(part) for part in parts], axis=-1)[..., :307]
        for parts in zip(*((draw.inputs.shown, draw.targets, draw.weights) for draw in draws), strict=True)
    )
    inside = weights[0] == 1
    assert inside.sum() == weights.sum() == 300
    rows = lambda x, y: sorted(map(tuple, np.vstack([x, y]).T.tolist()))  # noqa: E731
    assert rows(shown[:, inside], targets[:, inside]) == rows(data[0][:, :300], data[1][None, :300])
    assert task.work({"batch_size": 32}, parameters) == 32 * 5 < task.work({}, parameters)


def test_a_public_batch_has_the_input_at_every_step_and_counts_the_last_output():
    task = tasks.get("capacity", bits=6, time_steps=3)
    batch = task.batch(jax.random.key(0), 10)
    assert batch.inputs.shape == (10, 3, 6) and batch.targets.shape == batch.mask.shape == (10, 3)
    np.testing.assert_array_equal(batch.inputs[:, 0], batch.inputs[:, 2])
    np.testing.assert_array_equal(batch.mask, np.tile([0, 0, 1], (10, 1)))


def test_loss_and_score_of_public_outputs():
    task = tasks.get("capacity", bits=10, time_steps=3)
    batch = task.batch(jax.random.key(0), 200)
    right = 2 * batch.targets[..., None] - 1
    assert float(task.loss(jnp.zeros((200, 3, 1)), batch)) == pytest.approx(math.log(2), rel=1e-6)
    assert task.facts.chance_loss == pytest.approx(math.log(2))
    assert task.score(5 * right, batch) == 200
    assert task.score(-5 * right, batch) == task.facts.chance == 0
    assert task.score((5 * right).at[:, :2].multiply(-1), batch) == 200  # the outputs before the last do not count
    half_wrong = (5 * right).at[:20].multiply(-1)
    assert task.score(half_wrong, batch) == pytest.approx(mutual_information(200.0, 0.9), rel=1e-6)
    expected = np.mean(np.where(np.arange(200) < 20, np.log1p(np.exp(5.0)), np.log1p(np.exp(-5.0))))
    assert float(task.loss(half_wrong, batch)) == pytest.approx(expected, rel=1e-5)


def test_the_scores_of_a_whole_set_agree_with_each_other():
    task = tasks.get("capacity")
    scores = task.scores({"loss": 300 * 0.3, "weight": 300.0, "correct": 270.0})
    assert scores["score"] == mutual_information(300.0, 0.9)
    assert scores["score_low"] < scores["score"] < scores["score_high"] < 300
    assert (scores["fraction_low"], scores["fraction_high"]) == wilson_interval(270.0, 300.0)
    assert scores["loss"] == pytest.approx(0.3) and scores["samples"] == 300
    assert scores["compression_bits"] == pytest.approx(300 * (1 - 0.3 / math.log(2)))
    assert task.reporting.memorised and task.reporting.direction == "maximise"


def test_too_many_samples_for_distinct_inputs_are_refused_with_the_bits_that_would_do():
    task = tasks.get("capacity", bits=10)
    task.check(100)  # 1000 samples
    with pytest.raises(CapaxError, match="set bits to 11 or more") as caught:
        task.check(103)
    assert "\n" not in str(caught.value)
    with pytest.raises(CapaxError):
        task.batch(jax.random.key(0), 1025)
