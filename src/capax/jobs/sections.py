"""Sections of a text, the windows on which held-out ones are scored, and what of these stands in
the training section."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, Integer

from capax.data import text_repeats

HELD_OUT = 0.05
"""The share of the text in the validation section, and in the evaluation section after it: text8's
usual 90, 5, and 5 percent."""
HELD_OUT_SPLITS = ("validation", "evaluation")
MOST_WINDOWS = 4096
"""Windows of a held-out section that are scored, evenly spaced; shorter sections are scored whole.
"""
LEAST_EVALUATED = 5_000
"""Of a shorter evaluation section it is said that scores on it are rough."""
MOST_REPEATED = 0.01
"""Where more of a held-out section stands in the training section, too, it is said what that does
to scores."""


def section(split: str, letters: int) -> tuple[int, int]:
    """Begin and end of a split's section of a text."""
    held_out = int(letters * HELD_OUT)
    ends = {"train": letters - 2 * held_out, "validation": letters - held_out, "evaluation": letters}
    return (0 if split == "train" else ends[split] - held_out), ends[split]


def windows(symbols: int, window: int, warm_up: int, most: int) -> tuple[int, int]:
    """How many windows of a held-out section of so many symbols are scored, and how far it is from
    one to the next: side by side, so that no symbol is predicted twice, or evenly spaced where
    there were more than `most`."""
    count = min(most, (symbols - 1 - warm_up) // (window - warm_up))
    return count, (symbols - 1 - window) // max(1, count - 1)


def repeated(
    symbols: Integer[np.ndarray, " symbols"], starts: Mapping[str, Int[np.ndarray, " _"]], length: int, end: int
) -> dict[str, int]:
    """How many of the windows of `length` symbols from these starts on stand word for word in the
    first `end` symbols, too."""
    found = text_repeats.stand_in(symbols, np.concatenate(list(starts.values())), length, end)
    ends = np.cumsum([len(each) for each in starts.values()])[:-1]
    return {name: int(part.sum()) for name, part in zip(starts, np.split(found, ends), strict=True)}


def said_of_repeats(counts: Mapping[str, tuple[int, int]], length: int, what: str = "characters") -> str:
    """A sentence on the windows that stand in the training section, too, of how many in all."""
    shares = [
        f"{count:,} of {windows:,} in the {split} section ({count / windows:.1%})"
        for split, (count, windows) in counts.items()
    ]
    said = (
        f"Of the windows that are scored, {' and '.join(shares)} stand word for word, all {length:,} "
        f"{what}, in the training section."
    )
    many = any(count > MOST_REPEATED * windows for count, windows in counts.values())
    return f"{said} They may be known by heart, so scores are better than on new text." if many else said


def caution(letters: int) -> tuple[str, ...]:
    """That scores are rough, where the evaluation section is short."""
    begin, end = section("evaluation", letters)
    if end - begin >= LEAST_EVALUATED:
        return ()
    return (f"A small text: its evaluation section has {end - begin:,} characters, so that scores on it are rough.",)
