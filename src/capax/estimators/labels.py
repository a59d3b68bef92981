"""The labels of a user's `y`: their order, and their names in files."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from capax.data.labelled import as_label
from capax.estimators.errors import WrongInput

LEAST = 2


@dataclasses.dataclass(frozen=True)
class Classes:
    """`values`: the different labels in order, in the user's type; `names`: as files have them."""

    values: np.ndarray
    names: tuple[str, ...]

    @staticmethod
    def of(labels: Iterable[Any]) -> "Classes":
        """Those of labels, of which None and NaN are not known. Raises `WrongInput` for fewer than
        two, for numbers among texts, and for texts that differ by the spaces around them alone.
        """
        known = [label for label in labels if not _is_missing(label)]
        try:
            values = np.unique(np.array(known)) if len({isinstance(label, str) for label in known}) < 2 else None
        except TypeError:
            values = None
        if values is None or values.dtype.kind not in "biufU":
            raise WrongInput("labels (classes) must be all of one type: texts, or whole numbers.")
        if len(values) < LEAST:
            shown = f"one class, {values[0]!r}" if len(values) else "no label"
            raise WrongInput(f"y holds {shown}: there is nothing to tell apart; at least two classes are due.")
        names = [as_label(value) for value in values.tolist()]
        if None in names or len(set(names)) < len(names):
            raise WrongInput("a label is empty, or two labels differ by spaces alone; call them something else.")
        return Classes(values, tuple(str(name) for name in names))

    def named(self, labels: Iterable[Any]) -> list[str | None]:
        """The name of each label; None where it is not known."""
        return [None if _is_missing(label) else as_label(label) for label in labels]

    def probabilities(self, table: pd.DataFrame) -> np.ndarray:
        """The probabilities of all classes, (items, classes), from a table of predictions. A label
        that stands in the evaluation part alone has 0.
        """
        found = np.zeros((len(table), len(self.names)))
        by_name: Mapping[str, int] = {name: number for number, name in enumerate(self.names)}
        for column in table:
            name = str(column).removeprefix("predicted ")
            if name.startswith("probability of ") and name.removeprefix("probability of ") in by_name:
                found[:, by_name[name.removeprefix("probability of ")]] = table[column].to_numpy(np.float64)
        return found


def _is_missing(label: Any) -> bool:
    return label is None or label is pd.NA or (isinstance(label, float | np.floating) and bool(np.isnan(label)))
