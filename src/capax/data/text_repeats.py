"""What of a text stands word for word elsewhere: windows by their hashes, paragraphs by their
letters."""

import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt64

from capax.data import text8

BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2**64; its bits look random."""
INVERSE = pow(BASE, -1, 2**64)

CHUNK = 2**18
"""Windows that are hashed at once: arrays of 2 MB."""

FILTER_BITS = 20
"""A table of 2**20 truth values, by a hash's first bits, sorts out nearly all that nobody looks
for."""


def stand_in(
    symbols: Integer[np.ndarray, " symbols"], starts: Int[np.ndarray, " windows"], length: int, end: int
) -> Bool[np.ndarray, " windows"]:
    """Which of the windows of `length` symbols from `starts` on stand, symbol by symbol, in the
    first `end` symbols, too.

    All places of the first part are looked at: of 100 million symbols in about two seconds. Equal
    windows have equal hashes; that any two of 10,000 windows and 100 million places have the same
    one by chance has a probability of 10^-7.
    """
    first, behind = int(starts.min()), int(starts.max()) + length
    of_windows = np.concatenate(list(_hashes(symbols[first:behind], length)))[starts - first]
    sought = np.unique(of_windows)
    shift = np.uint64(64 - FILTER_BITS)
    table = np.zeros(2**FILTER_BITS, bool)
    table[sought >> shift] = True
    found = [np.empty(0, np.uint64)]
    for hashes in _hashes(symbols[:end], length):
        possible = hashes[table[hashes >> shift]]
        found.append(np.intersect1d(possible, sought))
    return np.isin(of_windows, np.concatenate(found))


def _hashes(symbols: Integer[np.ndarray, " symbols"], length: int) -> Iterator[UInt64[np.ndarray, " places"]]:
    """The hashes of the windows at all places, in order, a chunk at a time.

    Of symbols s_0 .. s_{L-1}: sum s_j BASE^j modulo 2^64, as a difference of two sums from the
    chunk's beginning, divided by BASE^place.
    """
    places = max(CHUNK, length)
    powers = _powers(BASE, places + length - 1)
    inverses = _powers(INVERSE, places)
    for begin in range(0, len(symbols) - length + 1, places):
        piece = symbols[begin : begin + places + length - 1]
        sums = np.zeros(len(piece) + 1, np.uint64)
        np.cumsum(piece.astype(np.uint64) * powers[: len(piece)], out=sums[1:])
        here = sums[length:] - sums[:-length]
        yield here * inverses[: len(here)]


def _powers(base: int, count: int) -> UInt64[np.ndarray, " count"]:
    """base^0 .. base^(count - 1) modulo 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def each_paragraph_once(text: str) -> str:
    """The text without paragraphs whose letters stood before, as text8 has letters, and without
    lines of nothing but four signs and more (underlines, rules of tables), which repeat themselves,
    too."""
    seen, kept = {""}, []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"(?m)^ *[^\w\s][^\w\n]{3,}\n", "", text)):
        letters = text8.clean(paragraph)
        if letters not in seen:
            seen.add(letters)
            kept.append(paragraph)
    return "\n\n".join(kept)
