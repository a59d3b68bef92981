"""Pairs of texts, a source and its target each, from a table with two columns of text, from lines
with a tab between, or from lists.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capax.data import delimited, table
from capax.data.content import content
from capax.data.decoding import decode
from capax.errors import CapaxError, closest, counted

SOURCES = (
    "source",
    "src",
    "input",
    "from",
    "word",
    "spelling",
    "grapheme",
    "graphemes",
    "question",
    "lemma",
    "text",
    "x",
)
TARGETS = (
    "target", "tgt", "output", "to", "pronunciation", "phonemes", "phones", "sound", "ipa", "translation", "answer",
    "form", "y",
)  # fmt: skip
"""Names of columns by which they are known."""

Frame = Any
"""A pandas DataFrame: the type checker cannot tell it from a Series."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """`sources` and `targets`, without spaces around them, and none of them empty; `columns`, the
    names of both; `notes`, what the file was taken for, one line each."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    columns: tuple[str, str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sources)


def read(
    path: Path,
    *,
    source: str | None = None,
    target: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> Pairs:
    """Pairs from a file: CSV, TSV, Parquet, or lines with a tab between source and target.

    **Arguments:** `source` and `target`: the columns of these, by name; `header`: whether the first
    line names the columns (default: where it has names that are usual, or those that are given).

    Raises `CapaxError` for a file that cannot be read, has one column, or has more than two and no
    names that are known.
    """
    if path.suffix.lower() in table.PARQUET:
        frame, notes = table.columns(path)
        return of_frame(frame, source=source, target=target, where=str(path), notes=notes)
    text, used = decode(content(path), str(path), encoding)
    frame, notes = cells(text, str(path), (source, target), header)
    if used != "utf-8":
        notes.append(f"encoding: {used.upper()}")
    return of_frame(frame, source=source, target=target, where=str(path), notes=notes)


def of_frame(
    frame: Frame,
    *,
    source: str | None = None,
    target: str | None = None,
    where: str = "the table",
    notes: Sequence[str] = (),
) -> Pairs:
    """Pairs from two columns of a DataFrame. Raises as `read`."""
    names = [str(name) for name in frame]
    one, other = _columns(names, source, target, where)
    said = [f"source: '{one}', target: '{other}'; otherwise: --set source=COLUMN, --target COLUMN"]
    by_name = {str(name): frame[name] for name in frame}
    return of_texts(_texts(by_name[one]), _texts(by_name[other]), (one, other), where, [*notes, *said])


def of_texts(
    sources: Sequence[str],
    targets: Sequence[str],
    columns: tuple[str, str] = ("source", "target"),
    where: str = "the data",
    notes: Sequence[str] = (),
) -> Pairs:
    """Pairs from two lists; those without a source or a target are left out, and counted.

    Raises `CapaxError` for lists of unequal length, and where no pair is left.
    """
    if len(sources) != len(targets):
        raise CapaxError(
            f"{where} has {counted(len(sources), 'source')} and {counted(len(targets), 'target')}; one for one is due."
        )
    both = [(one.strip(), other.strip()) for one, other in zip(sources, targets, strict=True)]
    known = [(one, other) for one, other in both if one and other]
    if not known:
        raise CapaxError(f"{where} has no pair of a source and a target.")
    if len(known) < len(both):
        missing = len(both) - len(known)
        notes = [*notes, f"{counted(missing, 'row')} without a source or a target: left out"]
    return Pairs(tuple(one for one, _ in known), tuple(other for _, other in known), columns, tuple(notes))


def cells(
    text: str, name: str, given: Sequence[str | None] = (), header: bool | None = None
) -> tuple[Frame, list[str]]:
    """The cells of a text as texts, and what it was taken for.

    Lines with tabs are split there alone, whatever quotes they have, since texts have quotes of
    their own. Raises `CapaxError` for lines of unequal numbers of cells.
    """
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if not lines:
        raise CapaxError(f"{name} is empty.")
    if sum("\t" in line for line in lines) > 0.5 * len(lines):
        rows, between = [[_unquoted(cell) for cell in line.split("\t")] for line in lines], "tabs"
    else:
        # A line above, so that none of the file's own is taken for names of columns.
        frame, separator, _ = delimited.parse(text, name, lambda cell: False)
        rows = [[str(column) for column in frame], *frame.to_numpy().tolist()]
        between = delimited.SEPARATORS.get(separator, "")
    if len(rows[0]) < 2:
        raise CapaxError(
            f"{name} has one column; pairs are due, a source and a target, in two columns or with a tab between."
        )
    wrong = next((number for number, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if wrong is not None:
        raise CapaxError(
            f"{name}: line {_line(text, lines[wrong])} has {counted(len(rows[wrong]), 'cell')} where "
            f"{counted(len(rows[0]), 'is', 'are')} due."
        )
    named = _is_header(rows, given) if header is None else header
    names = _distinct(rows[0]) if named else _numbered(len(rows[0]))
    first = "the first line names the columns" if named else "the first line is a pair like the others"
    rows = rows[1:] if named else rows
    notes = [
        f"{name}: {counted(len(rows), 'pair')}, separated by {between}; {first}; otherwise: --set header={str(not named).lower()}"
    ]
    return pd.DataFrame(rows, columns=pd.Index(names), dtype="str"), notes


def _numbered(count: int) -> list[str]:
    return ["source", "target"] if count == 2 else [f"column {number + 1}" for number in range(count)]


def _distinct(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for number, name in enumerate(names):
        name = name.strip() or f"column {number + 1}"
        found.append(name if name not in found else f"{name} {number + 1}")
    return found


def _unquoted(cell: str) -> str:
    """A cell as spreadsheets write it: quotes around it, and two for each inside."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and cell[1:-1].replace('""', "").count('"') == 0:
        return cell[1:-1].replace('""', '"')
    return cell


def _line(text: str, line: str) -> int:
    return text[: text.index(line)].count("\n") + 1


def _is_header(rows: Sequence[Sequence[str]], given: Sequence[str | None]) -> bool:
    """Whether the first line has a name that is given, or usual ones for both roles, or in a column
    of texts of several words a single one that stands in none of them."""
    first = [cell.strip() for cell in rows[0]]
    if any(name in first for name in given if name is not None):
        return True
    if all(any(cell.lower() in usual for cell in first) for usual in (SOURCES, TARGETS)):
        return True
    for number, cell in enumerate(first):
        below = [row[number].split() for row in rows[1:200]]
        several = sum(len(words) > 1 for words in below) > 0.9 * len(below) > 4
        if several and cell and len(cell.split()) == 1 and not any(cell in words for words in below):
            return True
    return False


def _columns(names: list[str], source: str | None, target: str | None, where: str) -> tuple[str, str]:
    for name, role in ((source, "source"), (target, "target")):
        if name is not None and name not in names:
            raise CapaxError(
                f"{where} has no column '{name}'{closest(name, names)} for {role}; it has {', '.join(names)}."
            )
    if source is not None and source == target:
        raise CapaxError(f"{where}: column '{source}' cannot be both source and target.")
    if len(names) < 2:
        raise CapaxError(f"{where} has one column, '{names[0]}'; pairs are due, a source and a target.")
    usual = [
        next((name for known in role for name in names if name.lower() == known), None) for role in (SOURCES, TARGETS)
    ]
    one, other = (
        source or (usual[0] if usual[0] != target else None),
        target or (usual[1] if usual[1] != source else None),
    )
    if len(names) == 2:
        one = one if one is not None and one != other else next(name for name in names if name != other)
        other = next(name for name in names if name != one)
    if one is None or other is None:
        missing, option = ("source", "--set source=COLUMN") if one is None else ("target", "--target COLUMN")
        raise CapaxError(
            f"{where} has {counted(len(names), 'column')}; say which holds the {missing}s: {option}, of {', '.join(names)}."
        )
    return one, other


def _texts(column: Any) -> list[str]:
    """A column as texts; missing values are empty. Whole numbers have no decimal point."""
    return ["" if missing else _text(value) for value, missing in zip(column, pd.isna(column), strict=True)]


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def new_sources(path: Path, name: str, *, encoding: str | None = None) -> tuple[Frame, list[str]]:
    """New sources from a file, and what stands beside them: a table where its first line, or its
    schema, names the column of sources; else each line is a source, up to the first tab.

    Raises `CapaxError` for a file that cannot be read, or is empty.
    """
    if path.suffix.lower() in table.PARQUET:
        frame, _ = table.columns(path)
        return frame, source_texts(frame, name, str(path))
    text, _ = decode(content(path), str(path), encoding)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    if not text.strip():
        raise CapaxError(f"{path} is empty.")
    first = [cell.strip().strip('"') for cell in re.split(r"[\t;|,]", lines[0])]
    if len(first) > 1 and name in first:
        frame, _ = cells(text, str(path), (name,), True)
        return frame, source_texts(frame, name, str(path))
    lines = lines[1:] if first == [name] else lines
    found = [line.split("\t")[0].strip() for line in lines]
    return pd.DataFrame({name: found}, dtype="str"), found


def source_texts(frame: Frame, name: str, where: str) -> list[str]:
    """The texts of a table's column of sources, or of its only column. Raises `CapaxError` where
    there is none of the name."""
    names = [str(column) for column in frame]
    if name not in names and len(names) != 1:
        raise CapaxError(f"{where} has no column '{name}'{closest(name, names)}; it has {', '.join(names)}.")
    column = frame.iloc[:, names.index(name) if name in names else 0]
    return [text.strip() for text in _texts(column)]
