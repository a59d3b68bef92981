"""Which columns of a table are labels, texts, sequences, and numbers, for classification and for
labelling.
"""

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from capax.data import roles
from capax.data.labelled import Layout, Said, usual_kind
from capax.data.numerals import signed
from capax.errors import CapaxError, counted

Frame = Any
"""A pandas DataFrame: the type checker cannot tell it from a Series."""

TARGETS = ("label", "labels", "class", "target", "category", "tag", "tags", "upos", "pos", "ner")
"""Names of a column of labels, in the order in which they are taken."""
TARGET_OR_NUMBER = "y"
"""A name of labels, but of a coordinate, too: taken where no column of words may be labels."""
TEXTS = ("text", "word", "token", "form", "sentence", "sequence", "message", "document", "review", "symbol")
SERIES = ("sentence", "sequence", "series")
"""Words in the names of a column that tells sequences apart, beside those of `roles`."""
SPLIT = "split"
FEW = 0.5
"""Labels have at most so many different values a row."""


def classes(frame: Frame, file: str, said: Said) -> tuple[Layout, list[str]]:
    """How a table holds sequences with a label each, and what it was taken for.

    Raises `CapaxError` where that cannot be told; the line says what to name.
    """
    split = _split(frame, file, said)
    target = _target(frame, file, said, split)
    words, numbers = _others(frame, {target, split, said.time})
    text = _named(frame, said.text, "--set text", file)
    series = _series_given(frame, file, said)
    if series is None and text is None and said.series != roles.NO:
        series = _series_of_classes(frame, [*words, *numbers], target) if numbers else None
    numbers = [name for name in numbers if name not in (text, series)]
    words = [name for name in words if name != series]
    if series is not None:
        return _long(frame, file, said, Layout("series", "numbers", target, text, series, split=split), words, numbers)
    if text is None and not words and len(numbers) == 1 and numbers[0].lower() in TEXTS:  # digits
        text, numbers = numbers[0], []
    if text is None and (not numbers or _are_texts(frame, words)) and words:
        text = _usual_text(frame, words)
        _check_signs(frame, file, [text], f"or say --set text={text} if it is a text")
    if text is not None:
        kind = usual_kind([str(cell) for cell in frame[text]]) if said.symbols is None else said.symbols
        notes = [
            f"each row is a text: '{text}', taken as {kind}; otherwise: --set text=COLUMN, --set symbols=characters or words"
        ]
        return _checked(Layout("texts", kind, target, text=text, split=split), [_of_target(target), *notes])
    _check_signs(frame, file, words)
    features, notes = _steps_of_rows(numbers, file, said)
    return _checked(Layout("rows", "numbers", target, split=split, features=features), [_of_target(target), *notes])


def labels(frame: Frame, file: str, said: Said) -> tuple[Layout, list[str]]:
    """How a table holds sequences with a label at each step. Raises as `classes`."""
    split = _split(frame, file, said)
    target = _target(frame, file, said, split)
    words, numbers = _others(frame, {target, split, said.time})
    series = _series_given(frame, file, said)
    if series is None:
        named = [name for name in (*words, *numbers) if _tells_apart(name)]
        blocks = [name for name in words if 1 < _blocks(frame[name]) == frame[name].nunique() <= len(frame) * FEW]
        series = next(iter([*named, *blocks]), None)
    if series is None:
        raise CapaxError(f"{file}: no column tells sentences or sequences apart; name one with --series COLUMN.")
    text = _named(frame, said.text, "--set text", file)
    words = [name for name in words if name != series]
    numbers = [name for name in numbers if name not in (series, text)]
    return _long(frame, file, said, Layout("series", "numbers", target, text, series, split=split), words, numbers)


def _long(
    frame: Frame, file: str, said: Said, layout: Layout, words: list[str], numbers: list[str]
) -> tuple[Layout, list[str]]:
    """The layout of rows that are steps: of numbers, or of words where there are no numbers or a
    text is named."""
    text, time = layout.text, None
    if text is None and words and (not numbers or any(name.lower() in TEXTS for name in words)):
        text = _usual_text(frame, words)
        _check_signs(frame, file, [text], f"or say --set text={text} if it is a text")
    if text is None:
        _check_signs(frame, file, [name for name in words if name != said.time])
    if text is None and not numbers:
        raise CapaxError(f"{file} has neither numbers nor words beside '{layout.target}' and '{layout.series}'.")
    if said.time != roles.NO:
        time = _time(frame, file, said, [*words, *numbers] if text is None else words)
    features = () if text is not None else tuple(name for name in numbers if name != time)
    if text is None and not features:
        raise CapaxError(f"{file} has no numbers beside '{layout.target}', '{layout.series}', and '{time}'.")
    kind = "numbers" if text is None else "words"
    steps = f"words of '{text}'" if text is not None else f"numbers: {_listed(features)}"
    count = frame[layout.series].nunique()
    ordered = f" in the order of '{time}'" if time is not None else " in the order of the file"
    notes = [
        _of_target(layout.target),
        f"sequences: '{layout.series}' tells {count:,} apart; otherwise: --series COLUMN or {roles.NO}",
        f"each row is a step{ordered}, of {steps}; otherwise: --time COLUMN or {roles.NO}, --set text=COLUMN",
    ]
    made = Layout("series", kind, layout.target, text, layout.series, time, layout.split, features)
    return _checked(made, notes)


def _checked(layout: Layout, notes: list[str]) -> tuple[Layout, list[str]]:
    if layout.split is not None:
        notes = [*notes, f"parts: '{layout.split}' says which sequences are for training, validation, and evaluation"]
    return layout, notes


def _of_target(target: str) -> str:
    return f"labels: '{target}'; otherwise: --target COLUMN"


def _listed(names: Iterable[str], most: int = 5) -> str:
    every = list(names)
    shown = ", ".join(every[:most])
    return shown if len(every) <= most else f"{shown}, .. ({len(every):,} columns)"


def _named(frame: Frame, column: str | None, option: str, file: str) -> str | None:
    return None if column is None else roles.existing(column, list(frame), option, file)


def _series_given(frame: Frame, file: str, said: Said) -> str | None:
    return _named(frame, said.series, "--series", file) if roles.says(said.series) else None


def _split(frame: Frame, file: str, said: Said) -> str | None:
    if said.split == roles.NO:
        return None
    if said.split is not None:
        return roles.existing(said.split, list(frame), "--set split", file)
    return next((name for name in frame if name.lower() == SPLIT and name != said.target), None)


def _is_number(column: Any) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _others(frame: Frame, taken: set[str | None]) -> tuple[list[str], list[str]]:
    """The columns of words, and those of numbers, that have no role yet."""
    rest = [name for name in frame if name not in taken]
    plain = [name for name in rest if not pd.api.types.is_datetime64_any_dtype(frame[name])]
    return [n for n in plain if not _is_number(frame[n])], [n for n in plain if _is_number(frame[n])]


def _target(frame: Frame, file: str, said: Said, split: str | None) -> str:
    if said.target is not None:
        return roles.existing(said.target, list(frame), "--target", file)
    rest = [name for name in frame if name not in (split, said.series, said.text, said.time)]
    by_name = [name for target in TARGETS for name in rest if name.lower() == target]
    few = [name for name in rest if 1 <= frame[name].nunique() <= max(2, FEW * len(frame))]
    words = [name for name in few if not _is_number(frame[name]) and not _tells_apart(name)]
    whole = [name for name in few if _is_number(frame[name]) and (frame[name].dropna() % 1 == 0).all()]
    without_names = all(re.fullmatch(r"column \d+", name) for name in frame) and len(frame.columns) > 2
    ends = [name for name in (rest[0] if without_names else rest[-1], rest[-1]) if name in whole] if rest else []
    either = [name for name in whole if name.lower() == TARGET_OR_NUMBER]
    found = [*by_name, *reversed(words), *either, *ends]
    if not found:
        raise CapaxError(
            f"{file}: which column holds the labels? Say it with --target COLUMN, of {_listed(frame, 12)}."
        )
    _check_signs(frame, file, found[:1], f"or say --target {found[0]} if it is a label")
    return found[0]


def _check_signs(frame: Frame, file: str, names: list[str], otherwise: str = "or leave the column out") -> None:
    """Raise `CapaxError` for a column of numbers with a sign of a currency or of percent, which
    were taken for words.
    """
    for name in names:
        cell = None if _is_number(frame[name]) else signed(frame[name])
        if cell is not None:
            raise CapaxError(f"{file}: '{cell}' in column '{name}' is no number; take the sign away, {otherwise}.")


def _tells_apart(name: str) -> bool:
    words = re.split(r"[\W_]+", name.lower())
    return any(word in roles.IDENTITIES or word in SERIES for word in words)


def _blocks(column: Any) -> int:
    """How often a column changes from row to row, and once."""
    return int((column != column.shift()).sum())


def _series_of_classes(frame: Frame, candidates: list[str], target: str) -> str | None:
    """A column within each of whose values, several rows each, labels are the same."""
    found = []
    for name in candidates:
        if _is_number(frame[name]) and not _tells_apart(name):
            continue
        if frame[name].nunique() > FEW * len(frame) or frame[name].nunique() < 2:
            continue
        if (frame.groupby(name, sort=False)[target].nunique() <= 1).all():
            found.append((_tells_apart(name), frame[name].nunique(), name))
    return max(found)[2] if found else None


def _are_texts(frame: Frame, words: list[str]) -> bool:
    """Whether a column of words has texts: several words a row, nearly all of them different."""
    return any(
        frame[name].nunique() > 0.9 * len(frame) and frame[name].str.split().str.len().mean() > 2 for name in words
    )


def _usual_text(frame: Frame, words: list[str]) -> str:
    """The column that is called a text, or else the one with the longest cells."""
    by_name = [name for text in TEXTS for name in words if name.lower() == text]
    return by_name[0] if by_name else max(words, key=lambda name: frame[name].str.len().mean())


def _time(frame: Frame, file: str, said: Said, candidates: list[str]) -> str | None:
    if said.time is not None:
        return roles.existing(said.time, list(frame), "--time", file)
    moments = [name for name in frame if pd.api.types.is_datetime64_any_dtype(frame[name])]
    rest = frame[[*moments, *candidates]]
    _, time, _, _ = roles.assign(rest, file, time=None, series=roles.NO) if rest.shape[1] else (rest, None, None, [])
    return time


def _steps_of_rows(numbers: list[str], file: str, said: Said) -> tuple[tuple[str, ...], list[str]]:
    """The columns that are the steps of a sequence a row: the most that are called alike but for a
    number."""
    stems: dict[str, list[str]] = {}
    for name in numbers:
        stems.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    best = max(stems.values(), key=len, default=[])
    chosen = best if len(best) > 1 else numbers
    if len(chosen) < 2:
        raise CapaxError(
            f"{file}: no sequence was found in it: neither texts, nor several columns of numbers a row, nor a column that "
            "tells sequences of rows apart; name one with --set text=COLUMN or --series COLUMN."
        )
    left = [name for name in numbers if name not in chosen]
    notes = [f"each row is a sequence of {counted(len(chosen), 'step')}: {_listed(chosen)}; otherwise: --series COLUMN"]
    return tuple(chosen), [*notes, *([f"left out: {_listed(left)}"] if left else [])]
