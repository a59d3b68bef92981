"""What a comparison of cells is: a table, and when there are data for it."""

import dataclasses
from collections.abc import Callable, Sequence

import pandas as pd

from capax.report import formatting
from capax.report.view import TaskView


@dataclasses.dataclass(frozen=True)
class Analysis:
    """A table with a title and what must be said of it.

    `task` is the label of the task that it belongs to; `tested` says whether it tests differences.
    """

    name: str
    task: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str]
    tested: bool = False

    def frame(self) -> pd.DataFrame:
        """The table as it reads."""
        return pd.DataFrame(self.rows, columns=pd.Index(self.headers))


Make = Callable[[TaskView], Analysis | None]
"""An analysis of a task, or None where the run does not hold what it needs."""


def without_empty(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """A table without the columns in which no row has a value, such as what a paper did not
    print.
    """
    kept = [place for place in range(len(headers)) if any(row[place] != formatting.MISSING for row in rows)]
    return [headers[place] for place in kept], [[row[place] for place in kept] for row in rows]


def two(value: formatting.Number) -> str:
    """A number with two decimals."""
    return formatting.decimals(value, 2)


def three(value: formatting.Number) -> str:
    """A number with three significant digits."""
    return formatting.significant(value, 3)


def percent(value: formatting.Number) -> str:
    """A fraction in percent."""
    return f"{100 * value:.1f}%"
