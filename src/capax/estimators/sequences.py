"""Sequences, as people hand them over, in one form; and as a file of the job's format."""

import dataclasses
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from capax.estimators.base import write_once
from capax.estimators.errors import WrongInput
from capax.search.store import DATA

Kind = Literal["numbers", "texts", "symbols"]

SEQUENCE, SYMBOL, TEXT, LABEL = "sequence", "symbol", "text", "label"
"""Columns of the tables that are written."""


@dataclasses.dataclass(frozen=True)
class Given:
    """Sequences of one kind: "numbers", each an array (time, features), NaN for what is missing;
    "texts", each a text; "symbols", each a list of texts, such as words.
    """

    kind: Kind
    items: list[Any]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def features(self) -> int | None:
        """Numbers of a step; None where steps are symbols."""
        return int(self.items[0].shape[1]) if self.kind == "numbers" else None

    @property
    def as_symbols(self) -> "Given":
        """Texts as lists of their characters."""
        return Given("symbols", [list(text) for text in self.items]) if self.kind == "texts" else self


def given(X: Any, *, name: str = "X") -> Given:
    """Sequences: an array (sequences, time, features), or (sequences, time) with one number a step;
    or a list of arrays (time, features) or (time,), of texts, or of lists of texts.

    Raises `WrongInput` for anything else, and for a sequence without steps. scikit-learn's own
    errors for arrays are ValueErrors and TypeErrors.
    """
    if isinstance(X, str):
        raise WrongInput(f"{name} is one text; a list of sequences is due, such as [text].")
    if sparse.issparse(X):
        check_array(X)  # raises what scikit-learn says of sparse input
    if isinstance(X, pd.DataFrame) or (hasattr(X, "__array__") and not isinstance(X, pd.Series)):
        array = np.asarray(X)
        if array.ndim != 1:
            return _of_array(array, name)
        X = array.tolist() if array.dtype.kind in "OUT" else array
    try:
        items = list(X)
    except TypeError:
        raise WrongInput(f"{name} must be an array or a list of sequences, not {type(X).__name__}.") from None
    if not items:
        raise WrongInput(f"{name} holds no sequence: found array with 0 sample(s) while a minimum of 1 is required.")
    found = _of_list(items, name)
    empty = next((number for number, item in enumerate(found.items) if not len(item)), None)
    if empty is not None:
        raise WrongInput(f"{name}: sequence {empty} (counted from 0) has no step.")
    return found


def _of_array(array: np.ndarray, name: str) -> Given:
    found = checked(array, name, allow_nd=True)
    if found.ndim == 2:
        found = found[..., None]
    if found.ndim != 3:
        raise WrongInput(f"{name} must be of shape (sequences, time, features), not {array.shape}.")
    if not found.shape[2]:
        raise WrongInput(f"{name} has no feature: its shape is {array.shape}.")
    return Given("numbers", list(found.astype(np.float64)))


def _of_list(items: list[Any], name: str) -> Given:
    if all(isinstance(item, str) for item in items):
        return Given("texts", items)
    if all(_is_list_of_texts(item) for item in items) and any(len(item) for item in items):
        return Given("symbols", [list(map(str, item)) for item in items])
    found = []
    for number, item in enumerate(items):
        where = f"{name}: sequence {number} (counted from 0)"
        try:
            array = np.asarray(item, np.float64)
        except (TypeError, ValueError):
            raise WrongInput(
                f"{where} is neither an array of numbers, nor a text, nor a list of texts, as the others are."
            ) from None
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise WrongInput(
                f"{where} must be of shape (time, features) or (time,), not {array.shape}. Reshape your data: one "
                "sequence alone is [sequence]."
            )
        if np.isinf(array).any():
            raise WrongInput(f"{where} has a number that is not finite: infinity.")
        found.append(array)
    odd = next((number for number, array in enumerate(found) if array.shape[1] != found[0].shape[1]), None)
    if odd is not None:
        raise WrongInput(
            f"{name}: sequence {odd} (counted from 0) has {found[odd].shape[1]} features and the first has {found[0].shape[1]}."
        )
    return Given("numbers", found)


def _is_list_of_texts(item: Any) -> bool:
    sequence = isinstance(item, Sequence | np.ndarray | pd.Series) and not isinstance(item, str)
    return sequence and np.ndim(item) == 1 and all(isinstance(symbol, str) for symbol in item)


def checked(array: Any, name: str, **options: Any) -> np.ndarray:
    """An array of numbers, NaN allowed. Raises scikit-learn's ValueErrors and TypeErrors else."""
    check: Any = check_array  # its types forbid "allow-nan", which its documentation has
    return check(array, dtype="numeric", ensure_all_finite="allow-nan", input_name=name, **options)


def check_features(sequences: Given, kind: Kind, features: int | None, estimator: str) -> None:
    """Raises `WrongInput` for sequences of another kind than those of the training."""
    if sequences.kind != kind:
        raise WrongInput(f"X holds {sequences.kind}; {estimator} was fitted to {kind}.")
    if sequences.features != features:
        raise WrongInput(
            f"X has {sequences.features} features, but {estimator} is expecting {features} features as input."
        )


def one_each(labels: Sequence[Any] | np.ndarray, sequences: Given) -> None:
    """Raises `WrongInput` where there are not as many labels as sequences."""
    if len(labels) != len(sequences):
        raise WrongInput(
            f"Found input variables with inconsistent numbers of samples: {len(sequences)} sequences and {len(labels)} labels."
        )


def written(directory: Path, sequences: Given, labels: Sequence[Any]) -> Path:
    """A file that holds the sequences with their labels, one each or one a step: `data.npz` of
    numbers, `data.parquet` of texts and of symbols.
    """
    if sequences.kind == "numbers":
        flat: list[Any] = list(itertools.chain(*labels)) if _at_steps(labels) else list(labels)
        arrays = {
            "values": np.concatenate(sequences.items),
            "offsets": np.cumsum([0, *map(len, sequences.items)]),
            LABEL: np.array(["" if label is None else label for label in flat], dtype=np.str_),
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return write_once(directory / DATA / "data.npz", buffer.getvalue())
    return write_once(directory / DATA / "data.parquet", _parquet(_table(sequences, labels)))


def _at_steps(labels: Sequence[Any]) -> bool:
    return any(label is not None and not isinstance(label, str) for label in labels)


def _table(sequences: Given, labels: Sequence[Any]) -> pd.DataFrame:
    if sequences.kind == "texts":
        return pd.DataFrame({TEXT: sequences.items, LABEL: list(labels)}, dtype=object)
    lengths = [len(item) for item in sequences.items]
    steps = labels if _at_steps(labels) else [[label] * length for label, length in zip(labels, lengths, strict=True)]
    return pd.DataFrame(
        {
            SEQUENCE: np.repeat([f"{number:08d}" for number in range(len(lengths))], lengths),
            SYMBOL: [symbol for item in sequences.items for symbol in item],
            LABEL: [label for each in steps for label in each],
        },
        dtype=object,
    )


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def columns(kind: Kind) -> dict[str, Any]:
    """The options of a job that say how `written` names the columns."""
    if kind == "numbers":
        return {}
    if kind == "texts":
        return {"target": LABEL, "text": TEXT, "series": "none", "split": "none"}
    return {"target": LABEL, "text": SYMBOL, "series": SEQUENCE, "time": "none", "split": "none"}
