"""Rounds through a fixed set: each sample once a round, against Python's own whole numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax.errors import CapaxError
from capax.tasks import shuffling


def drawn(samples, size, steps, seed=0, begin=0):
    prime, key = shuffling.prime(samples), jax.random.key(seed)
    at = jax.jit(lambda step: shuffling.places(key, step, size, jnp.uint32(prime)))
    return prime, np.concatenate([np.asarray(at(jnp.int32(step))) for step in range(begin, begin + steps)])


@pytest.mark.parametrize(("samples", "size"), [(1, 32), (5, 32), (100, 32), (4459, 256), (70_000, 4096)])
def test_each_sample_comes_once_a_round(samples, size):
    prime, found = drawn(samples, size, steps=2 * shuffling.prime(samples) // size + 2)
    for round_ in (found[:prime], found[prime : 2 * prime]):
        np.testing.assert_array_equal(np.sort(round_), np.arange(prime))
    assert prime == 2 or not np.array_equal(found[:prime], found[prime : 2 * prime]) or samples < 5


@pytest.mark.parametrize("samples", [4459, 1_000_003, 16_000_000])
@pytest.mark.parametrize("step", [1, 123_456, 2_000_000_001])
def test_no_step_is_too_late_and_no_set_too_large(samples, step):
    """The places of a step are those of exact whole numbers."""
    size = 512
    prime, found = drawn(samples, size, steps=1, begin=step)
    places = [(step * size + number) % prime for number in range(size)]
    end = places.index(0) if 0 in places[1:] else size
    factor = (int(found[1]) - int(found[0])) % prime if end > 1 else 0
    expected = [(int(found[0]) + number * factor) % prime for number in range(end)]
    np.testing.assert_array_equal(found[:end], expected)
    assert 0 < factor < prime and found.min() >= 0 and found.max() < prime


def test_places_of_a_round_follow_from_places_of_all_steps():
    """Two sizes go through the same orders: place number n is the same sample."""
    one, other = (drawn(1000, size, steps=4096 // size)[1] for size in (32, 64))
    np.testing.assert_array_equal(one, other)


def test_orders_differ_from_round_to_round_and_from_key_to_key():
    prime, found = drawn(997, 64, steps=16 * 40)
    rounds = found[: found.size // prime * prime].reshape(-1, prime)
    assert len({tuple(row) for row in rounds.tolist()}) == len(rounds) == 41
    assert not np.array_equal(drawn(997, 64, steps=16, seed=1)[1], found[: 16 * 64])


def test_a_set_that_32_bits_do_not_hold_is_refused():
    assert shuffling.prime(2**24 - 3) == 2**24 - 3
    with pytest.raises(CapaxError, match="at most 16,777,213 samples, not 16,777,214"):
        shuffling.prime(2**24 - 2)


def test_primes():
    assert [shuffling.prime(n) for n in (0, 1, 2, 3, 4, 90, 4459, 1_000_000)] == [2, 2, 2, 3, 5, 97, 4463, 1_000_003]
