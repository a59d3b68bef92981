"""The last steps of one series that goes on, row by row, in constant memory."""

import collections
import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from capax.data.grid import Step, shown
from capax.errors import CapaxError

Row = Float[np.ndarray, " columns"]


class Steps:
    """The last `most` steps, and of each column the last value that was known before them."""

    def __init__(self, most: int, columns: int):
        self._rows: collections.deque[Row] = collections.deque(maxlen=most)
        self._before = np.full(columns, np.nan)
        self._most = most

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, row: Row) -> None:
        """One more step."""
        if len(self._rows) == self._most:
            first = self._rows[0]
            self._before = np.where(np.isnan(first), self._before, first)
        self._rows.append(row)

    def replace(self, row: Row) -> None:
        """Another last step."""
        self._rows[-1] = row

    def skip(self, steps: int) -> None:
        """Steps without any value."""
        for _ in range(min(steps, self._most)):
            self.append(np.full(len(self._before), np.nan))

    def table(self) -> Float[np.ndarray, "most_and_one columns"]:
        """All of them, at the end; the step before them is of the values known before; and what was
        never is missing.
        """
        found = np.full((self._most + 1, len(self._before)), np.nan)
        if len(self._rows):
            found[-len(self._rows) :] = self._rows
        found[-len(self._rows) - 1] = self._before
        return found


@dataclasses.dataclass
class Last:
    """The last step: the sums of its rows' known values, and how many these are."""

    sums: Row
    counts: Row

    def with_row(self, row: Row) -> "Last":
        """With one more row of the same time."""
        return Last(self.sums + np.nan_to_num(row), self.counts + ~np.isnan(row))

    @property
    def mean(self) -> Row:
        """NaN where nothing is known."""
        return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), np.nan)


class History:
    """A series from its first known target on.

    `behind`: the steps behind its last known target, at most `horizon`. Positions count from the
    first row.
    """

    def __init__(self, step: Step, columns: int, targets: int, most: int, horizon: int):
        self._step, self._targets, self._horizon, self._columns = step, targets, horizon, columns
        self._steps = Steps(most, columns)
        self._frozen: np.ndarray | None = None
        self._last: Last | None = None
        self._first: Any = None
        self._begin: int | None = None
        self._position = self._known = -1
        self.behind: list[Row] = []

    @property
    def known(self) -> int:
        """Steps from the first known target to the last."""
        return 0 if self._begin is None else self._known - self._begin + 1

    def table(self) -> np.ndarray:
        """The steps until the last known target, as `Steps.table` gives them."""
        return self._steps.table() if self._frozen is None else self._frozen

    def stamps(self, behind: np.ndarray) -> np.ndarray | None:
        """Time stamps of steps, counted from the one behind the last known target."""
        if self._step.kind == "rows" or self._begin is None:
            return None
        first = self._step.stamps(self._first, np.array([self._begin]))
        return None if first is None else self._step.stamps(first[0], self.known + behind)

    def add(self, row: Row, stamp: Any) -> None:
        """One more row. Raises `CapaxError` for one that lies before the last."""
        position = self.position(stamp)
        if position < self._position:
            raise CapaxError(
                f"a row of {shown(stamp)} comes after a later one: a stream takes rows in the order of time."
            )
        is_again = position == self._position and self._last is not None
        if is_again:
            assert self._last is not None
            self._last = self._last.with_row(row)
        else:
            self._last = Last(np.nan_to_num(row), (~np.isnan(row)).astype(float))
        if self._first is None:
            self._first = stamp
        row, before = self._last.mean, self._position
        self._position = position
        self._take(row, position - before - 1, is_again)

    def position(self, stamp: Any) -> int:
        """How many steps a stamp is behind the first; of rows without stamps, the next."""
        if self._step.kind == "rows":
            return self._position + 1
        if self._first is None:
            return 0
        return int(np.round(self._step.positions(self._first, np.array([stamp])))[0])

    def place(self, stamp: Any, number: int) -> int:
        """How many steps a row lies behind the first that is to be forecast; of rows without
        stamps, by its number behind the last row.
        """
        last = self._position - self._known
        if self._step.kind == "rows" or stamp is None:
            return last + number
        return self.position(stamp) - self._known - 1

    def _take(self, row: Row, skipped: int, is_again: bool) -> None:
        is_known = bool((~np.isnan(row[: self._targets])).any())
        if self._begin is None:
            if not is_known:
                return
            self._begin = self._position
            skipped, is_again = 0, False
        if is_known:
            self._frozen, self.behind, self._known = None, [], self._position
        elif self._frozen is None:
            self._frozen = self._steps.table()
        if not is_known:
            self._put_behind(row)
        if is_again:
            self._steps.replace(row)
        else:
            self._steps.skip(skipped)
            self._steps.append(row)

    def _put_behind(self, row: Row) -> None:
        place = self._position - self._known - 1
        while len(self.behind) < min(place, self._horizon):
            self.behind.append(np.full(self._columns, np.nan))
        if place < self._horizon:
            self.behind[place:] = [row]
