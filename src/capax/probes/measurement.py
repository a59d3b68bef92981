"""What a probe says: a few numbers, a table, and the arrays that its figure needs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class Measurement:
    """`probe`, its name; `subject`, what was measured, in words and numbers; `summary`, the answer
    by name, each number's unit in its name or in the probe's docstring; `frame`, a tidy table, one
    row a measured thing; `arrays`, what else the figure needs; `notes`, what the data were taken
    for, one line each.

    What is infinite, as in an unstable network, is infinite here: it is a result."""

    probe: str
    subject: Mapping[str, Any]
    summary: Mapping[str, Any]
    frame: pd.DataFrame
    arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def finite_or_infinite(values: Any) -> np.ndarray:
    """Numbers in double precision where what overflowed on its way, and is no number for that, is
    infinite."""
    found = np.asarray(values, np.float64)
    return np.where(np.isnan(found), np.inf, found)
