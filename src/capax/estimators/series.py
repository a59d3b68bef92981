"""Targets and covariates, as people hand them over, as one table with a row for each time step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from capax.data.grid import Step
from capax.errors import counted
from capax.estimators.errors import WrongInput
from capax.estimators.sequences import checked

Frame = Any
"""A pandas DataFrame: the type checker cannot tell it from a Series."""
TIME = "time"
"""The column of time stamps, where their index has no name."""


def targets(y: Any) -> Frame:
    """The series that are forecast, a column each: of a Series, a DataFrame, or an array of shape
    (time,) or (time, targets). Raises `WrongInput` for anything else.
    """
    if y is None:
        raise WrongInput("y is missing: it holds the series that are forecast. (requires y to be passed)")
    if isinstance(y, pd.Series):
        return _numbers(y.to_frame("y" if y.name is None else str(y.name)), "y")
    return _numbers(_frame(y, "y"), "y")


def covariates(X: Any) -> Frame | None:
    """The covariates, a column each: of a DataFrame or an array of shape (time, covariates). Those
    of an array are called x0, x1, and so on. Raises `WrongInput` for anything else.
    """
    if X is None:
        return None
    if isinstance(X, pd.Series):
        X = X.to_frame("x0" if X.name is None else str(X.name))
    return _numbers(_frame(X, "x", always_numbered=True), "X")


def together(X: Frame | None, y: Frame) -> Frame:
    """Targets and covariates side by side, with the index of the one that has time stamps.

    Raises `WrongInput` for another number of rows, other time stamps, or names that stand twice.
    """
    if X is None:
        X = pd.DataFrame(index=y.index)
    if len(X) != len(y):
        raise WrongInput(f"X has {counted(len(X), 'row')} and y has {len(y):,}; a row of covariates a step is due.")
    twice = [name for name in X if name in set(y)]
    if twice:
        raise WrongInput(f"column '{twice[0]}' stands in X and in y; leave it out of X, or call it something else.")
    both = isinstance(X.index, pd.DatetimeIndex) and isinstance(y.index, pd.DatetimeIndex)
    if both and not X.index.equals(y.index):
        raise WrongInput("X and y have different time stamps; a row of X is of the same time as that of y.")
    index = X.index if isinstance(X.index, pd.DatetimeIndex) else y.index
    return pd.concat([y.set_axis(index), X.set_axis(index)], axis=1)


def ahead(rows: Frame, history: Frame, names: Sequence[str], step: Step) -> Frame:
    """What is known of the steps behind a history: the columns `names`, all others missing.

    Rows with time stamps are those behind the history's last; rows without any follow it step by
    step. Raises `WrongInput` where that cannot be told.
    """
    last = history.index[-1]
    if isinstance(history.index, pd.DatetimeIndex) and isinstance(rows.index, pd.DatetimeIndex):
        _same_zone(rows.index, history.index)
        rows = rows[rows.index > history.index.max()]
        if not len(rows):
            raise WrongInput(f"X has no row behind {last}, the last step of y: it must hold {', '.join(names)} there.")
    elif isinstance(history.index, pd.DatetimeIndex):
        if step.kind == "rows":
            raise WrongInput("y has time stamps without a common step: give X as a DataFrame with time stamps, too.")
        rows = rows.set_axis(_following(history.index, step, len(rows)))
    else:
        rows = rows.set_axis(following(history, len(rows)))
    return rows[list(names)].reindex(columns=list(history))


def following(history: Frame, steps: int) -> pd.Index:
    """The index of the steps behind a history without time stamps."""
    begin = int(history.index[-1]) + 1 if isinstance(history.index, pd.RangeIndex) else len(history)
    return pd.RangeIndex(begin, begin + steps)


def with_time(table: Frame, name: str | None) -> Frame:
    """The table with its time stamps as a column of this name; without its index where None."""
    return table.reset_index(drop=True) if name is None else table.reset_index(names=name)


def as_stamps(column: Any, like: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Time stamps in the time zone of others."""
    found = pd.DatetimeIndex(column, name=like.name)
    return found if like.tz is None else found.tz_localize("UTC").tz_convert(like.tz)


def _following(index: pd.DatetimeIndex, step: Step, steps: int) -> pd.DatetimeIndex:
    plain = index if index.tz is None else index.tz_convert("UTC").tz_localize(None)
    found = step.stamps(plain.to_numpy().max(), np.arange(1, steps + 1))
    return as_stamps(found, index)


def _same_zone(one: pd.DatetimeIndex, other: pd.DatetimeIndex) -> None:
    if (one.tz is None) != (other.tz is None):
        raise WrongInput("the time stamps of X and y differ: one has a time zone, and the other has none.")


def _frame(given: Any, name: str, *, always_numbered: bool = False) -> Frame:
    """A DataFrame as it is, else an array with columns by number."""
    if isinstance(given, pd.DataFrame):
        return given.set_axis([str(column) for column in given], axis=1)
    array = checked(given, "X" if name == "x" else name, ensure_2d=False)
    array = array[:, None] if array.ndim == 1 and not always_numbered else array
    if array.ndim != 2:
        raise WrongInput(f"{name} must be of shape (time, columns), not {array.shape}. Reshape your data.")
    numbered = always_numbered or array.shape[1] > 1
    return pd.DataFrame(array, columns=[f"{name}{n}" if numbered else name for n in range(array.shape[1])])


def _numbers(frame: Frame, role: str) -> Frame:
    """The columns as float64. Raises `WrongInput` for one that holds something else."""
    names = list(frame)
    for name in names:
        if names.count(name) > 1:
            raise WrongInput(f"{role} has two columns named '{name}'; give each a name of its own.")
        if "," in name:
            raise WrongInput(f"{role}: column '{name}' has a comma in its name; give it another.")
        if not (pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name])):
            raise WrongInput(f"{role}: column '{name}' holds no numbers ({frame[name].dtype}); encode or leave it out.")
    if isinstance(frame.index, pd.PeriodIndex):
        frame = frame.set_axis(frame.index.to_timestamp())
    return frame.astype("float64")
