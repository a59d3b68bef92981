"""Rounds through a fixed set in random order, without making the order: which samples a training
step takes is computed from the step alone.

In each round, sample number j of the order is (factor j + addend) mod p, where p is the least prime
that is not below the number of samples, and factor and addend are drawn for the round. Such a map
is one-to-one, so each sample comes once a round; the few numbers from the set's size to p weigh
nothing. The samples of capacity are in random order to begin with, so that equal distances say
nothing of what is alike.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt32

from capax.errors import CapaxError

SIZES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Numbers of samples of a training step that tasks with a fixed set offer; 0: all."""

MOST = 2**24
"""Above this, 32 bits do not hold what is computed."""


def prime(least: int) -> int:
    """The least prime that is not below a number. Raises `CapaxError` where it is above `MOST`."""
    found = max(2, least)
    while any(found % divisor == 0 for divisor in range(2, int(found**0.5) + 1)):
        found += 1
    if found > MOST:
        raise CapaxError(
            f"minibatches are of at most {MOST - 3:,} samples, not {least:,}: take all samples at each step."
        )
    return found


def places(key: Array, step: Int[Array, ""], size: int, prime: UInt32[Array, ""]) -> Int[Array, " size"]:
    """The numbers, from 0 to prime - 1, of the samples of training step `step`, from 0."""
    first, second = jax.random.key_data(key)
    # The step's first place is step * size, in rounds of `prime` places: without products that
    # 32 bits do not hold.
    cycles, step = jnp.divmod(step.astype(jnp.uint32), prime)
    before, rest = _times(step, jnp.uint32(size), prime)
    place = rest + jnp.arange(size, dtype=jnp.uint32)
    round_ = cycles * jnp.uint32(size) + before + place // prime
    drawn = _mixed(round_ ^ first)
    factor = 1 + drawn % jnp.minimum(prime - 1, jnp.uint32(2**32 - 1) // prime)
    addend = _mixed(drawn ^ second) % prime
    found = factor * (place % prime) % prime + addend
    return jnp.where(found >= prime, found - prime, found).astype(jnp.int32)


def _times(a: UInt32[Array, ""], b: UInt32[Array, ""], modulus: UInt32[Array, ""]) -> tuple[Array, Array]:
    """Quotient and remainder of a b / modulus, for a < modulus <= 2^24 and b <= 2^16, by parts of 8
    bits of b.
    """
    quotient, remainder = jnp.uint32(0), jnp.uint32(0)
    for shift in (8, 0):
        part = (b >> shift) & 255
        # (remainder 2^8 + a part) < 2^24 2^8 + 2^24 2^8: halves are divided apart.
        up, remainder = jnp.divmod(remainder << 8, modulus)
        more, added = jnp.divmod(a * part, modulus)
        over = (remainder + added) // modulus
        remainder = (remainder + added) % modulus
        quotient = (quotient << 8) + up + more + over
    return quotient, remainder


def _mixed(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Bits mixed so that each depends on all (the finaliser of MurmurHash3, Appleby 2011)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
