"""What of a text stands word for word elsewhere, against slow search."""

import numpy as np
import pytest

from capax.data import text8, text_repeats
from capax.data.text import read
from capax.data.text_repeats import each_paragraph_once, stand_in


def slow(symbols, starts, length, end):
    first = [tuple(symbols[i : i + length]) for i in range(end - length + 1)]
    return [tuple(symbols[start : start + length]) in first for start in starts]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("length", [1, 2, 5, 40])
@pytest.mark.parametrize("chunk", [1, 7, 2**18])  # of 7: windows lie across the borders of chunks
def test_windows_of_an_earlier_part_are_found_wherever_they_stand_there(monkeypatch, chunk, length, kind):
    monkeypatch.setattr(text_repeats, "CHUNK", chunk)
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 3, 400).astype(kind)  # windows of 1, 2, and some of 5 letters stand there by chance
    for place, copied in ((0, 270), (130, 315), (260 - length, 360)):  # at the beginning, inside, at the end
        symbols[copied : copied + length] = symbols[place : place + length]
    starts = np.arange(260, 400 - length + 1)
    expected = slow(symbols, starts, length, 260)
    assert stand_in(symbols, starts, length, 260).tolist() == expected
    assert all(expected[copied - 260] for copied in (270, 315, 360))
    assert length < 40 or expected.count(True) < 10


def test_the_order_of_windows_is_kept_and_a_part_shorter_than_a_window_holds_none():
    symbols = np.frombuffer(b"abcd" * 5 + b"xbcdabcy", np.uint8)
    assert stand_in(symbols, np.array([24, 21, 20, 21]), 4, 20).tolist() == [False, True, False, True]
    assert not stand_in(symbols, np.array([21]), 4, 3).any()


def test_windows_that_differ_in_order_alone_are_other_windows():
    letters = np.random.default_rng(1).permutation(50).astype(np.uint8)
    swapped = letters.copy()
    swapped[[10, 42]] = letters[[42, 10]]
    symbols = np.concatenate([letters, swapped, letters[::-1], letters])
    assert stand_in(symbols, np.array([50, 100, 150]), 50, 50).tolist() == [False, False, True]


def test_a_paragraph_stands_once_whatever_its_layout_and_lines_of_signs_go():
    text = "A title\n*******\n\nSome words,\nand more.\n\n   some words, and\n   more\n \nOthers.\n\n+----+---+\n| a  | b |\n"
    assert each_paragraph_once(text) == "A title\n\nSome words,\nand more.\n\nOthers.\n\n| a  | b |\n"


def test_the_built_in_text_has_no_paragraph_twice():
    found = read().characters
    paragraphs = [text8.clean(paragraph) for paragraph in found.split("\n\n")]
    assert len(paragraphs) > 1000 and len(set(paragraphs)) == len(paragraphs)
    assert each_paragraph_once(found) == found
