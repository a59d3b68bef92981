"""Sequences with labels from tables and arrays, in a layout that was found, or that a model
knows.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capax.data import archive, arrays, conllu, label_roles, roles, table
from capax.data.labelled import Label, Labelled, Layout, Said, as_label, part, symbols_of
from capax.data.numerals import signed
from capax.data.places import place
from capax.errors import CapaxError, counted

Frame = Any
"""A pandas DataFrame: the type checker cannot tell it from a Series."""
ROW = "row of the file"
ARRAYS_OF_LABELS = ("y", "labels", "label", "target")
"""Names of an array of labels in a .npz file."""


def read_classes(path: Path, said: Said, *, encoding: str | None = None, decimal: str | None = None) -> Labelled:
    """Sequences with a label each: from NumPy arrays, a .ts file, or a table.

    Raises `CapaxError` for a file that cannot be read so; the line says what to name.
    """
    if path.suffix.lower() in arrays.SUFFIXES:
        return _of_arrays(path, None)
    if path.suffix.lower() == archive.SUFFIX:
        return _of_archive(path, None)
    frame, notes = table.columns(path, encoding=encoding, decimal=decimal, texts=_texts(said.text, said.series))
    layout, found = label_roles.classes(frame, str(path), said)
    if layout.text is not None and said.text is None:  # numbers in a text stay as they are written
        frame, _ = table.columns(path, encoding=encoding, decimal=decimal, texts=_texts(layout.text, layout.series))
    made = _by_layout(frame, str(path), layout, a_label_each=True)
    return dataclasses.replace(made, notes=(*notes, *found, *made.notes))


def read_labels(path: Path, said: Said, *, encoding: str | None = None, decimal: str | None = None) -> Labelled:
    """Sequences with a label at each step: from CoNLL-U, from columns with empty lines between
    sentences, from a table, or from NumPy arrays. Raises as `read_classes`.
    """
    if path.suffix.lower() in arrays.SUFFIXES:
        return _of_arrays(path, None, at_steps=True)
    if path.suffix.lower() not in table.PARQUET:
        text = conllu.text_of(path, encoding)
        if conllu.is_conllu(path, text):
            return conllu.read(path, text, said)
        if conllu.is_columns(path, text):
            return conllu.read_columns(path, text, said)
    frame, notes = table.columns(path, encoding=encoding, decimal=decimal, texts=_texts(said.text, said.series))
    layout, found = label_roles.labels(frame, str(path), said)
    made = _by_layout(frame, str(path), layout, a_label_each=False)
    return dataclasses.replace(made, notes=(*notes, *found, *made.notes))


def read_again(
    source: Any,
    layout: Layout,
    *,
    a_label_each: bool,
    encoding: str | None = None,
    decimal: str | None = None,
    as_written: bool = False,
) -> Labelled:
    """New data in the layout of those that a model was trained on; labels need not be there.

    **Arguments:** `source`: a path, a DataFrame, or a list of sequences, each a text, a list of
    words, or an array (time, features); `as_written`: whether columns that the layout does not
    read, and those of series and of labels, are kept as the source has them.

    Raises `CapaxError` for data of another layout.
    """
    layout = dataclasses.replace(layout, split=None)  # new data are no part of the training's
    typed = _read_as_numbers(layout) if as_written else None
    if isinstance(source, pd.DataFrame):
        frame, _ = table.columns(source, typed=typed)
        found = _by_layout(frame, "the table", layout, a_label_each=a_label_each)
        given = source.reset_index() if any(source.index.names) else source
        if as_written and layout.time in given and layout.time in found.rows:  # it may bear a zone
            found.rows[layout.time] = given[layout.time].set_axis(found.rows.index)
        return found
    if not isinstance(source, str | Path):
        return _of_list(source, layout, a_label_each=a_label_each)
    path = Path(source)
    if path.suffix.lower() in arrays.SUFFIXES:
        return _of_arrays(path, layout, at_steps=not a_label_each)
    if path.suffix.lower() == archive.SUFFIX and a_label_each:
        return _of_archive(path, layout)
    if layout.form in ("conllu", "columns") and path.suffix.lower() not in table.PARQUET:
        return conllu.of_words(path, conllu.text_of(path, encoding), layout)
    texts = _texts(layout.text, layout.series)
    frame, _ = table.columns(path, encoding=encoding, decimal=decimal, texts=texts, typed=typed)
    return _by_layout(frame, str(path), layout, a_label_each=a_label_each)


def _read_as_numbers(layout: Layout) -> tuple[str, ...] | None:
    """The columns that may become numbers or time stamps; None for all, where rows without names of
    columns may come without the one of labels."""
    if layout.form == "rows" and all(name.startswith("column ") for name in layout.features):
        return None
    return (*layout.features, *_texts(layout.time))


def _texts(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


def _as_texts(column: Any) -> Any:
    """Cells as texts, what is missing as an empty one."""
    return column.astype("str").where(column.notna(), "").astype("str")


def _by_layout(frame: Frame, file: str, layout: Layout, *, a_label_each: bool) -> Labelled:
    if layout.form == "texts":
        _require(frame, file, [str(layout.text)])
        texts = _as_texts(frame[layout.text]).tolist()
        steps: list[Any] = [symbols_of(text, layout.kind) for text in texts]
        return _of_rows(frame, file, layout, steps)
    if layout.form == "rows":
        return _of_rows(frame, file, layout, [row[:, None] for row in _cut(_numbers_of_rows(frame, file, layout))])
    if layout.form in ("series", "conllu", "columns"):
        return _by_series(frame, file, layout, a_label_each=a_label_each)
    raise CapaxError(f"{file}: the model was trained on NumPy arrays; give .npy, .npz, or a list of arrays.")


def _require(frame: Frame, file: str, names: list[str]) -> None:
    missing = [name for name in names if name not in frame]
    if missing:
        raise CapaxError(
            f"{file} has no column '{missing[0]}', which the model reads; it has {', '.join(list(frame)[:12])}."
        )


def _of_rows(frame: Frame, file: str, layout: Layout, steps: list[Any]) -> Labelled:
    """Each row is a sequence."""
    found: list[Label] = [None] * len(frame)
    if layout.target in frame:
        found = [as_label(value) for value in frame[layout.target]]
    parts = None
    if layout.split is not None and layout.split in frame:
        parts = tuple(
            part(str(as_label(cell)), f"{file}, {place(frame, n)}") for n, cell in enumerate(frame[layout.split])
        )
    places = tuple(np.array([number]) for number in range(len(frame)))
    return Labelled(tuple(steps), tuple(found), layout, frame.reset_index(drop=True), places, parts)


def _numbers_of_rows(frame: Frame, file: str, layout: Layout) -> np.ndarray:
    """The numbers of rows that are sequences. Where a table without names of columns has no column
    of labels, the columns in their order are taken."""
    names = list(layout.features)
    numbers = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    without_labels = len(numbers) == len(names) and all(name.startswith("column ") for name in numbers)
    if without_labels:
        names = numbers
    _require(frame, file, names)
    for name in names:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise _no_numbers(frame, file, name)
    return frame[names].to_numpy(np.float64)


def _no_numbers(frame: Frame, file: str, name: str) -> CapaxError:
    cell = signed(_as_texts(frame[name]))
    if cell is not None:
        return CapaxError(f"{file}: '{cell}' in column '{name}' is no number; take the sign away.")
    return CapaxError(f"{file}: column '{name}' has no numbers, though the model reads it as numbers.")


def _cut(rows: np.ndarray) -> list[np.ndarray]:
    """Each row up to its last known value: what is missing at the end was never there."""
    known = ~np.isnan(rows)
    ends = np.where(known.any(axis=1), rows.shape[1] - known[:, ::-1].argmax(axis=1), 0)
    return [row[:end] for row, end in zip(rows, ends, strict=True)]


def _by_series(frame: Frame, file: str, layout: Layout, *, a_label_each: bool) -> Labelled:
    """Rows that are steps. `a_label_each`: a sequence has one label, else each step has."""
    series = str(layout.series)
    _require(frame, file, [series, *_texts(layout.text, layout.time), *layout.features])
    rows, names, notes = _in_order(frame, file, series, layout.time)
    bounds = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
    spans = list(zip(bounds.tolist(), [*bounds[1:].tolist(), len(names)], strict=True))
    where = [f"{file}: sequence '{names[begin]}'" for begin, _ in spans]
    ordered = frame.iloc[rows]
    target = [as_label(v) for v in ordered[layout.target]] if layout.target in frame else [None] * len(frame)
    each = [tuple(target[begin:end]) for begin, end in spans]
    parts = None
    if layout.split is not None and layout.split in frame:
        cells = [as_label(value) for value in ordered[layout.split]]
        named = [_one(cells[begin:end], "parts", at) for (begin, end), at in zip(spans, where, strict=True)]
        parts = tuple(part(str(name), at) for name, at in zip(named, where, strict=True))
    steps = tuple(_steps(ordered, file, layout, begin, end) for begin, end in spans)
    if not a_label_each:
        places = tuple(rows[begin:end] for begin, end in spans)
        return Labelled(steps, tuple(each), layout, frame.reset_index(drop=True), places, parts, tuple(notes))
    found = tuple(_one(of_steps, "labels", at) for of_steps, at in zip(each, where, strict=True))
    answers = _constant(ordered, names, bounds, [*layout.features, *_texts(layout.text, layout.time)])
    places = tuple(np.array([number]) for number in range(len(spans)))
    return Labelled(steps, found, layout, answers, places, parts, tuple(notes))


def _in_order(frame: Frame, file: str, series: str, time: str | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The numbers of rows by series and time, the series of each, and what is to be said of
    order."""
    names = _filled(frame[series], file)
    kept = pd.DataFrame({series: names, **({} if time is None else {time: frame[time]})})
    kept[ROW] = np.arange(len(frame), dtype=np.float64)
    ordered, _, _, notes = roles.assign(kept, file, time=time or roles.NO, series=series, gridded=True)
    notes = [note for note in notes if not note.startswith(("series:", "time:"))]  # said already
    return ordered[ROW].to_numpy(np.int64), ordered[series].to_numpy(str), notes


def _filled(column: Any, file: str) -> Any:
    """Names of series; an empty cell has the name above it, as in tables that say a sentence's name
    once."""
    column = column if pd.api.types.is_numeric_dtype(column) else _as_texts(column)
    missing = column.isna() if pd.api.types.is_numeric_dtype(column) else column.str.strip() == ""
    if not missing.any():
        return column
    if missing.iloc[0]:
        raise CapaxError(
            f"{file}: column '{column.name}', {place(column, 0)} is empty: to which sequence does it belong?"
        )
    return column.mask(missing).ffill()


def _steps(ordered: Frame, file: str, layout: Layout, begin: int, end: int) -> Any:
    if layout.text is not None:
        return tuple(_as_texts(ordered[layout.text].iloc[begin:end]))
    odd = next((name for name in layout.features if not pd.api.types.is_numeric_dtype(ordered[name])), None)
    if odd is not None:
        raise _no_numbers(ordered, file, odd)
    return ordered[list(layout.features)].iloc[begin:end].to_numpy(np.float64)


def _one(values: Sequence[Label], what: str, where: str) -> Label:
    """The one value that all rows of a sequence have, where they have any."""
    known = list(dict.fromkeys(value for value in values if value is not None))
    if len(known) > 1:
        raise CapaxError(f"{where} has several {what}, '{known[0]}' and '{known[1]}'; one a sequence is due.")
    return known[0] if known else None


def _constant(ordered: Frame, names: np.ndarray, bounds: np.ndarray, left: list[str]) -> Any:
    """A row for each sequence, with the columns that are the same in all of its rows."""
    by_sequence = ordered.groupby(names, sort=False)
    kept = [name for name in ordered if name not in left and by_sequence[name].nunique(dropna=False).max() <= 1]
    return ordered.iloc[bounds][kept].reset_index(drop=True)


def _of_arrays(path: Path, layout: Layout | None, *, at_steps: bool = False) -> Labelled:
    """Sequences from NumPy arrays, with their labels (an array `y` or `labels`) where these are
    there, and the part of each (`split`).

    Raises `CapaxError` for another number of features than the layout has, for labels that do not
    fit, and where there is no layout yet, and no labels.
    """
    sequences, beside = arrays.read_beside(path, (*ARRAYS_OF_LABELS, label_roles.SPLIT))
    steps = [row[:length] for row, length in zip(sequences.values, sequences.lengths, strict=True)]
    target = next((name for name in ARRAYS_OF_LABELS if name in beside), None)
    if layout is None and target is None:
        raise CapaxError(
            f"{path} has no labels: an array named {' or '.join(ARRAYS_OF_LABELS[:2])} is due beside the sequences."
        )
    labels = None if target is None else _array_labels(beside[target], steps, target, path, at_steps=at_steps)
    parts = None
    if label_roles.SPLIT in beside:
        cells = beside[label_roles.SPLIT].tolist()
        if len(cells) != len(steps):
            raise CapaxError(f"{path}: split has {counted(len(cells), 'value')} for {counted(len(steps), 'sequence')}.")
        parts = tuple(part(str(cell), f"{path}: split") for cell in cells)
    layout = Layout("arrays", "numbers", str(target), features=sequences.features) if layout is None else layout
    _check_features(steps, layout, str(path))
    notes = [*sequences.notes, *([] if target is None else [f"labels: the array '{target}'"])]
    return _plain(steps, labels, layout, parts, notes, a_label_each=not at_steps)


def _of_archive(path: Path, layout: Layout | None) -> Labelled:
    """The sequences of a .ts file. Raises as `_of_arrays`."""
    steps, labels = archive.read(path)
    if layout is None and labels is None:
        raise CapaxError(f"{path} has no labels: a line @classLabel true is due.")
    if layout is None:
        features = tuple(f"feature {number + 1}" for number in range(steps[0].shape[1]))
        layout = Layout("arrays", "numbers", "label", features=features)
    _check_features(steps, layout, str(path))
    lengths = [len(each) for each in steps]
    note = (
        f"{path}: {counted(len(steps), 'sequence')} of {min(lengths):,} to {max(lengths):,} steps, "
        f"{counted(steps[0].shape[1], 'number')} each, with a label each"
    )
    return _plain(steps, labels, layout, None, (note,), a_label_each=True)


def _array_labels(given: np.ndarray, steps: list[Any], name: str, path: Path, *, at_steps: bool) -> list[Any]:
    """Labels of sequences, one each; or of steps: (sequences, time), or of all steps after each
    other."""
    if given.dtype.kind not in "fiubU":
        raise CapaxError(f"{path}: labels are numbers or texts, not {given.dtype} ('{name}').")
    given = given.reshape(len(given), -1) if given.ndim > 2 or (given.ndim == 2 and 1 in given.shape) else given
    lengths = [len(each) for each in steps]
    if not at_steps:
        if given.size != len(steps):
            raise CapaxError(
                f"{path}: '{name}' has the shape {given.shape} for {counted(len(steps), 'sequence')}: a label each is due."
            )
        return [as_label(value) for value in given.ravel().tolist()]
    if given.ndim == 2 and given.shape[0] == len(steps) and given.shape[1] >= max(lengths):
        return [[as_label(v) for v in row[:length].tolist()] for row, length in zip(given, lengths, strict=True)]
    if given.size == sum(lengths):
        parts = np.split(given.ravel(), np.cumsum(lengths)[:-1])
        return [[as_label(value) for value in row.tolist()] for row in parts]
    raise CapaxError(
        f"{path}: '{name}' has the shape {given.shape}; a label a step is due, (sequences, time), or one after the other."
    )


def _of_list(source: Any, layout: Layout, *, a_label_each: bool) -> Labelled:
    """A list of sequences: texts, lists of words, or arrays of numbers."""
    if isinstance(source, np.ndarray) and source.ndim == 2 and len(layout.at_a_step) == 1:
        source = source[..., None]
    given = list(source)
    if not given:
        raise CapaxError("there is no sequence to answer.")
    if layout.kind == "numbers":
        try:
            steps = [np.asarray(each, np.float64) for each in given]
        except (TypeError, ValueError):
            raise CapaxError("the model reads sequences of numbers, arrays of shape (time, features).") from None
        one = len(layout.at_a_step) == 1
        steps = [each[:, None] if each.ndim == 1 and one else each for each in steps]
        _check_features(steps, layout, "the list")
    else:
        steps = [_symbols(each, layout, number) for number, each in enumerate(given)]
    return _plain(steps, None, layout, None, (), a_label_each=a_label_each)


def _symbols(given: Any, layout: Layout, number: int) -> tuple[str, ...]:
    if isinstance(given, str):
        return symbols_of(given, layout.kind)
    if isinstance(given, Sequence) and all(isinstance(word, str) for word in given):
        return tuple(given)
    raise CapaxError(f"sequence {number + 1}: the model reads {layout.kind}: a text, or a list of texts, is due.")


def _check_features(steps: Sequence[np.ndarray], layout: Layout, file: str) -> None:
    due = len(layout.at_a_step)
    for number, each in enumerate(steps):
        if each.ndim != 2 or each.shape[1] != due:
            raise CapaxError(
                f"{file}: sequence {number + 1} has the shape {each.shape}; the model reads (time, {due})."
            )
        if np.isinf(each).any():
            raise CapaxError(f"{file}: sequence {number + 1} has a number that is not finite.")


def _plain(
    steps: Sequence[Any],
    labels: Sequence[Any] | None,
    layout: Layout,
    parts: tuple[str, ...] | None,
    notes: Sequence[str],
    *,
    a_label_each: bool,
) -> Labelled:
    """Sequences without a table: rows of answers have the numbers of sequence and step."""
    lengths = [len(each) for each in steps]
    numbers = np.arange(1, len(steps) + 1)
    if a_label_each:
        rows = pd.DataFrame({"sequence": numbers})
        places = tuple(np.array([number]) for number in range(len(steps)))
        found = tuple([None] * len(steps) if labels is None else labels)
    else:
        within = [np.arange(1, length + 1) for length in lengths]
        rows = pd.DataFrame({"sequence": np.repeat(numbers, lengths), "step": np.concatenate(within)})
        if layout.kind != "numbers":
            rows[layout.text or "text"] = [symbol for each in steps for symbol in each]
        ends = np.cumsum(lengths)
        places = tuple(np.arange(end - length, end) for end, length in zip(ends, lengths, strict=True))
        found = tuple([(None,) * length for length in lengths] if labels is None else map(tuple, labels))
    return Labelled(tuple(steps), found, layout, rows, places, parts, tuple(notes))
