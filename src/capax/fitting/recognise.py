"""What a file asks for, where the user does not say: by its name, and by the columns of a table."""

import dataclasses
from pathlib import Path
from typing import Any

from capax.data import table
from capax.data.arrays import SUFFIXES, loaded
from capax.data.label_roles import TARGETS
from capax.data.numerals import signed
from capax.data.table import Table
from capax.errors import CapaxError, closest
from capax.fitting.kinds import KINDS

CONLLU = (".conllu", ".conll")
TEXTS = (".txt", ".text", ".md", ".rst")
LABELS = ("y", "label", "labels", "target", "targets", "class", "classes")
"""Names of the array, in a .npz, that holds labels."""
MOST_CLASSES = 50
"""A column of words with more different ones is no column of labels of sequences."""


@dataclasses.dataclass(frozen=True)
class Recognised:
    """The job, and why it was taken for it, in a sentence; empty where the user said the job."""

    job: str
    why: str


def recognise(path: Path, given: str | None, options: dict[str, Any]) -> Recognised:
    """The job of a file. `options`: of the task, as the user gave them.

    Raises `CapaxError` for an unknown job, a file that cannot be read, and one that asks for no
    job that we know.
    """
    if given is not None:
        if given not in KINDS:
            raise CapaxError(f"unknown job '{given}'{closest(given, list(KINDS))}; choose of {', '.join(KINDS)}.")
        return Recognised(given, "")
    if not path.exists():
        raise CapaxError(f"there is no file {path}.")
    job, why = _by_name(path) or _by_columns(path, options)
    others = ", ".join(other for other in KINDS if other != job)
    return Recognised(job, f"job: {job} ({why}); otherwise: --job {others.replace(', ', ' or ')}")


def _by_name(path: Path) -> tuple[str, str] | None:
    suffix = path.suffix.lower()
    if suffix in CONLLU:
        return "label", "a CoNLL file has a label for each word"
    if suffix == ".ts":
        return "classify", "a file of the archive of time series classification"
    if suffix in TEXTS:
        return "language", "a plain text"
    if suffix == ".npz":
        return _by_arrays(path)
    if suffix in SUFFIXES:
        return "forecast", "an array of numbers without labels"
    return None


def _by_arrays(path: Path) -> tuple[str, str]:
    arrays = loaded(path)
    named = next((name for name in arrays if name.lower() in LABELS), None)
    whole = named is None or arrays[named].ndim == 1
    steps = arrays["values"].shape[:1] if "values" in arrays else None
    of_steps = named is not None and arrays[named].shape[:1] == steps and "offsets" in arrays
    if named is None:
        return "forecast", "arrays of numbers without labels"
    if whole and not of_steps:
        return "classify", f"array '{named}' has a label for each sequence"
    return "label", f"array '{named}' has a label for each step"


def _by_columns(path: Path, options: dict[str, Any]) -> tuple[str, str]:
    reading: dict[str, Any] = {key: options.get(key) for key in ("time", "series", "encoding", "decimal")}
    target = options.get("target")
    taken = [name for key in ("target", "covariates", "future") for name in table.named(options.get(key))]
    found = table.read(path, **reading, taken=taken)
    for word in found.words if target is None else {target}.intersection(found.words):
        if (cell := signed(found.frame[word])) is not None:
            raise CapaxError(f"{path}: '{cell}' in column '{word}' is no number; take the sign away.")
    if target in found.words:
        return _of_labels(found, target)
    if found.numbers and (found.time is not None or not found.words):
        return "forecast", "numbers in the order of time"
    if found.series is not None and len(found.words) == 1:
        return _of_labels(found, found.words[0])
    if found.series is not None and len(found.words) == 2:
        return "label", f"'{found.words[0]}' and '{found.words[1]}' in each row of a sequence"
    if len(found.words) == 2 and not found.numbers:
        few = [word for word in found.words if _different(found, word) <= _most(found)]
        if few:
            return "classify", f"a text and one of {_different(found, few[-1])} labels ('{few[-1]}') in each row"
        return "translate", f"two texts in each row, '{found.words[0]}' and '{found.words[1]}'"
    if len(found.words) == 1 and len(found.numbers) > 2:
        return "classify", f"a sequence of numbers and a label ('{found.words[0]}') in each row"
    raise CapaxError(
        f"{path}: which job this is cannot be told from its columns ({', '.join(map(str, found.frame))}); say it with "
        f"--job {' or '.join(KINDS)}{_likely(found)}."
    )


def _likely(found: Table) -> str:
    """How to name what is to be predicted, of columns of words the one that may be labels."""
    few = [word for word in found.words if _different(found, word) <= _most(found)]
    by_name = [word for word in found.words if word.lower() in TARGETS]
    likely = next(iter([*by_name, *reversed(few)]), None)
    return "" if likely is None else f", or name the column that is to be predicted, such as --target {likely}"


def _of_labels(found: Table, target: str) -> tuple[str, str]:
    """Whether sequences or their steps have the labels."""
    if found.series is None:
        return "classify", f"a label ('{target}') in each row"
    pairs = found.frame[[found.series, target]].drop_duplicates()
    if len(pairs) == _different(found, found.series):
        return "classify", f"'{target}' is one label for each sequence"
    return "label", f"'{target}' is a label for each step"


def _different(found: Table, column: str) -> int:
    return len(set(found.frame[column]))


def _most(found: Table) -> int:
    return min(MOST_CLASSES, max(2, len(found.frame) // 4))
