"""Numbers as people read them; every number of a report is formatted here."""

import math

Number = float | int
MISSING = "–"

WHOLE_BITS = 99.95
"""From here on bits are shown without decimals."""


def count(value: Number) -> str:
    """A whole number: 12,345."""
    return MISSING if math.isnan(value) else f"{value:,.0f}"


def significant(value: Number, digits: int = 4) -> str:
    """At least so many significant digits, no exponent between 1e-3 and 1e15: 1,234; 12.35;
    0.01235.
    """
    if math.isnan(value):
        return MISSING
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    if abs(value) < 1e-3:
        return f"{value:.{digits - 1}g}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def bits(value: Number) -> str:
    """Stored bits: 1,234 or 12.3."""
    return MISSING if math.isnan(value) else f"{value:,.0f}" if abs(value) >= WHOLE_BITS else f"{value:.1f}"


def decimals(value: Number, places: int) -> str:
    """A fixed number of decimals."""
    return MISSING if math.isnan(value) else f"{value:,.{places}f}"


def seconds(value: Number) -> str:
    """Core-seconds: 1,234 or 1.2."""
    return MISSING if math.isnan(value) else f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def capital(text: str) -> str:
    """With a capital letter at the beginning, as a sentence has it."""
    return text[:1].upper() + text[1:]


def layers(depth: int) -> str:
    """1 layer, 2 layers."""
    return f"{depth} layer" if depth == 1 else f"{depth} layers"


def listed(words: list[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number(count_: int, noun: str, nouns: str | None = None) -> str:
    """1 trial, 2 trials, no trials; `nouns` where the plural is another word: 2 studies."""
    plural = nouns or f"{noun}s"
    return f"1 {noun}" if count_ == 1 else f"{count(count_) if count_ else 'no'} {plural}"
