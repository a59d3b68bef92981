"""Labelled words from CoNLL-U files (Universal Dependencies), and from columns of words and labels
with an empty line between sentences, as the shared tasks of CoNLL had them.
"""

import dataclasses
from pathlib import Path
from typing import Any

import conllu
import conllu.exceptions
import numpy as np
import pandas as pd

from capax.data.content import content
from capax.data.decoding import decode
from capax.data.labelled import Label, Labelled, Layout, Said
from capax.errors import CapaxError, closest, counted

SUFFIXES = (".conllu", ".conll-u")
FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
UNKNOWN = "_"
TARGET = "upos"
DOCUMENT = "-DOCSTART-"
"""What some files of columns have between documents; it is no word."""
SPACED = (".txt", ".conll", ".conll03", ".bio", ".iob", ".iob2", ".tsv", ".tags")
"""Names of files that may hold columns with empty lines between sentences."""


def is_conllu(path: Path, text: str) -> bool:
    """Whether a file is CoNLL-U: by its name, or because its first line of words has ten cells."""
    if path.suffix.lower() in SUFFIXES:
        return True
    first = next((line for line in text[:100_000].splitlines() if line.strip() and not line.startswith("#")), "")
    cells = first.split("\t")
    return len(cells) == len(FIELDS) and cells[0].split("-")[0].isdecimal()


def is_columns(path: Path, text: str) -> bool:
    """Whether a file has a word and its label a line, and empty lines between sentences."""
    lines = [line.strip() for line in text.strip().splitlines()]
    words = [len(line.split()) for line in lines if line and not _beside(line)]
    by_name = path.suffix.lower() in SPACED or not path.suffix
    return by_name and "" in lines and bool(words) and min(words) > 1 and len(set(words)) == 1


def text_of(path: Path, encoding: str | None = None) -> str:
    """A file's text. Raises `CapaxError` as `decode` does."""
    return decode(content(path), str(path), encoding)[0]


def read(path: Path, text: str, said: Said | None = None) -> Labelled:
    """The sentences of a CoNLL-U file with the labels of a column, by default `upos`.

    Ranges of words written together and empty nodes are no words of their own, and are left out.
    `_`, or a column that a line lacks, is a label that is not known. Rows of answers: `sentence`,
    `id`, and the file's columns.

    Raises `CapaxError` for a file that is no CoNLL-U, or has no such column.
    """
    target = TARGET if said is None or said.target is None else said.target
    if target not in FIELDS[2:]:
        raise CapaxError(
            f"{path} has no column '{target}'{closest(target, list(FIELDS))} for --target; it has {', '.join(FIELDS)}."
        )
    plain: Any = {name: _as_it_is for name in FIELDS[1:]}
    try:
        sentences = conllu.parse(text, fields=FIELDS, field_parsers=plain)
    except conllu.exceptions.ParseException as error:
        raise CapaxError(f"{path} is no CoNLL-U file: {str(error).splitlines()[0].rstrip('.')}.") from None
    words = [[token for token in sentence if isinstance(token["id"], int)] for sentence in sentences]
    words = [sentence for sentence in words if sentence]
    if not words:
        raise CapaxError(f"{path} holds no sentence.")
    # Some treebanks leave the last columns of a line out.
    rows = {name: [token.get(name, UNKNOWN) for sentence in words for token in sentence] for name in FIELDS}
    layout = Layout("conllu", "words", target, text="form", series="sentence")
    return _labelled(path, layout, [len(sentence) for sentence in words], rows, "a CoNLL-U file")


def read_columns(path: Path, text: str, said: Said | None = None) -> Labelled:
    """Sentences of words and labels in columns, parted by tabs or spaces: "column 1", .. Words are
    in the first one, labels in the last, where the user says nothing else.

    Raises `CapaxError` for lines of unequal numbers of cells, and for columns that there are not.
    """
    said = Said() if said is None else said
    sentences = _sentences(path, text)
    names = [f"column {number + 1}" for number in range(len(sentences[0][0]))]
    chosen = {"text": said.text or names[0], "target": said.target or names[-1]}
    for option, column in chosen.items():
        if column not in names:
            raise CapaxError(f"{path} has no column '{column}' for {option}; it has {', '.join(names)}.")
    cells = list(zip(*(word for sentence in sentences for word in sentence), strict=True))
    rows = {name: list(column) for name, column in zip(names, cells, strict=True)}
    layout = Layout("columns", "words", chosen["target"], text=chosen["text"], series="sentence")
    return _labelled(
        path, layout, [len(sentence) for sentence in sentences], rows, "words with their labels in columns"
    )


def of_words(path: Path, text: str, layout: Layout) -> Labelled:
    """A file in a layout that is known. Labels need not be there."""
    if layout.form == "conllu":
        return read(path, text, Said(target=layout.target))
    lines = [line.split() for line in text.splitlines() if line.strip() and not _beside(line)]
    if lines and {len(line) for line in lines} == {1}:  # words alone
        text = "\n".join(f"{line.strip()}\t{UNKNOWN}" if line.strip() else "" for line in text.splitlines())
        alone = read_columns(path, text)
        rows = alone.rows.drop(columns="column 2")
        return dataclasses.replace(alone, rows=rows)
    return read_columns(path, text, Said(target=layout.target, text=layout.text))


def _beside(line: str) -> bool:
    """Whether a line of columns is a comment (`# sent_id = 1`), or stands between documents."""
    return line.startswith(DOCUMENT) or (line.startswith("# ") and "=" in line)


def _sentences(path: Path, text: str) -> list[list[list[str]]]:
    sentences: list[list[list[str]]] = [[]]
    due = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if _beside(line):
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            sentences.append([])
            continue
        due = due or len(cells)
        if len(cells) != due or due < 2:
            raise CapaxError(f"{path}: line {number} has {counted(len(cells), 'cell')} where {max(2, due)} are due.")
        sentences[-1].append(cells)
    found = [sentence for sentence in sentences if sentence]
    if not found:
        raise CapaxError(f"{path} holds no sentence.")
    return found


def _labelled(path: Path, layout: Layout, lengths: list[int], rows: dict[str, list[Any]], what: str) -> Labelled:
    ends = np.cumsum(lengths)
    sentence = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    words, labels = rows[str(layout.text)], [_label(value) for value in rows[layout.target]]
    bounds = list(zip(ends - lengths, ends, strict=True))
    known = sum(label is not None for label in labels)
    note = (
        f"{path}: {what}: {counted(len(lengths), 'sentence')} of {counted(len(words), 'word')}; labels: '{layout.target}', "
        f"known of {counted(known, 'word')}; otherwise: --target COLUMN"
    )
    return Labelled(
        steps=tuple(tuple(words[begin:end]) for begin, end in bounds),
        labels=tuple(tuple(labels[begin:end]) for begin, end in bounds),
        layout=layout,
        rows=pd.DataFrame({"sentence": sentence, **rows}),
        places=tuple(np.arange(begin, end) for begin, end in bounds),
        notes=(note,),
    )


def _label(value: str) -> Label:
    return None if value in ("", UNKNOWN) else value


def _as_it_is(line: list[str], place: int) -> str:
    return line[place]
