"""Cleaning as in text8 (Mahoney 2011): 26 letters and the space, and how much of a text that leaves
out."""

import re

import numpy as np
from jaxtyping import UInt8

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def clean(text: str) -> str:
    """Lower case, digits spelled out, anything else than a-z a single space, none at the ends.

    As in text8, only A-Z have a lower case: accented letters, and signs such as the kelvin's,
    become spaces. A text that is clean already is left as it is, the space that text8 begins with
    included.
    """
    if re.search("[^a-z ]|  ", text) is None:
        return text
    lower = text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    spelled = re.sub("[0-9]", lambda digit: f" {DIGITS[int(digit[0])]} ", lower)
    return re.sub("[^a-z]+", " ", spelled).strip()


def symbols(cleaned: str) -> UInt8[np.ndarray, " letters"]:
    """The letters of a clean text as numbers, 0 for the space and 1 to 26 for a to z."""
    codes = np.frombuffer(cleaned.encode("ascii"), np.uint8)
    return np.where(codes == ord(" "), 0, codes - ord("a") + 1).astype(np.uint8)


def share_dropped(text: str) -> float:
    """The share of a text's letters, in the sense of Unicode, that `clean` drops: all but a-z and
    A-Z."""
    others = sum(map(str.isalpha, "".join(re.findall("[^\\x00-\\x7f]+", text))))
    kept = len(re.findall("[A-Za-z]", text)) if others else 1
    return others / (others + kept)
