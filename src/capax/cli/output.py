"""What the commands print: tables for people, one JSON object for scripts."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import rich.table
from rich.text import Text

from capax.cli import terminal
from capax.errors import CapaxError
from capax.report import Report, Table, formatting, tables

if TYPE_CHECKING:
    from capax.report.probe_report import ProbeReport


def results(report: Report, as_json: bool) -> None:
    """The end of a run: its tables and where the report is."""
    if report.fault is not None:
        print(f"capax: {report.fault}.", file=sys.stderr)
    if as_json:
        print(json.dumps(as_json_of(report.directory, str(report.directory), report.frame)))
        return
    tables_of(report.frame, report.plan)
    print(f"report: {report.path}")


def as_json_of(directory: Path | None, place: str, frame: pd.DataFrame) -> dict[str, Any]:
    """A run's studies, for scripts. `directory`: None where it is read from a database alone."""
    report = None if directory is None else directory / "report.html"
    keys = [
        "task",
        "cell",
        "depth",
        "budget",
        "units",
        "parameters",
        "search",
        "trials",
        "infeasible",
        "stopping",
        "stopped",
        "converged",
        "reruns",
        "infeasible_reruns",
    ]
    studies = [
        {
            **{key: row[key] for key in keys},
            "best": _number(row["best"]),
            "interval": [_number(row["low"]), _number(row["high"])],
            "seconds": row["seconds"],
        }
        for row in frame.to_dict("records")
    ]
    return {"directory": place, "report": str(report) if report and report.exists() else None, "studies": studies}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


MOST_ROWS = 12
"""Of a probe's table, on the terminal: from the first to the last, evenly spaced."""

LEFT_OUT_FIRST = (
    "budget",
    "compression bound per parameter",
    "fraction correct",
    "diverged reruns",
    "samples b",
    "median",
    "units",
    "reruns",
    "core-seconds",
    "infeasible",
    "stopped",
)
"""Columns that a narrow terminal does without, in this order; the report has them all.

What tells rows apart stays: the cell, and the depth where there are several.
"""
SAME_DEPTH = "depth"
GAP = 2


def tables_of(frame: pd.DataFrame, plan: Any) -> None:
    """Print a run's tables."""
    console = terminal.output()
    for table in tables(frame, plan):
        kept, missing = _fitting(table, console.width)
        shown = rich.table.Table(
            title=table.title,
            title_justify="left",
            box=None,
            pad_edge=False,
            padding=(0, GAP, 0, 0),
            header_style="bold",
        )
        for number, column in enumerate(kept):
            justify = "left" if number == 0 else "right"
            shown.add_column(table.headers[column], justify=justify, min_width=_width(table, column), vertical="bottom")
        for row in table.rows:
            shown.add_row(*(Text(row[column]) for column in kept))
        console.print(shown)
        said = table.notes_for([table.headers[column] for column in kept])
        terminal.say(console, [*said, *([f"Left out for want of width: {', '.join(missing)}."] if missing else [])])
        console.print()


def _width(table: Table, column: int) -> int:
    """What a column needs: its longest entry, or the longest word of its header, which may be
    broken at spaces.
    """
    return max(len(text) for text in [*table.headers[column].split(), *(row[column] for row in table.rows)])


def _fitting(table: Table, width: int) -> tuple[list[int], list[str]]:
    """The columns that fit, and the names of those that do not."""
    kept, missing = list(range(len(table.headers))), []
    depths = {row[table.headers.index(SAME_DEPTH)] for row in table.rows[: table.studies]}
    for name in (*([SAME_DEPTH] if len(depths) < 2 else []), *LEFT_OUT_FIRST):
        if sum(_width(table, column) + GAP for column in kept) <= width:
            break
        found = [column for column in kept if table.headers[column] == name]
        kept = [column for column in kept if column not in found]
        missing += [name] if found else []
    return kept, missing


def probe_settings(texts: list[str], task: str | None) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The settings of a probe's command line: the probe's own options, the task's, and
    hyperparameters.

    Raises `CapaxError` for a setting of a task that drives nothing.
    """
    from capax.experiments.design import parse_setting, task_and_option

    own: dict[str, Any] = {}
    of_task: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    for key, value in map(parse_setting, texts):
        whose, name = task_and_option(key)
        if not name:
            own[key] = value
        elif whose == "hyperparameters":
            hyperparameters[name] = value
        elif whose == task:
            of_task[name] = value
        else:
            raise CapaxError(f"--set {key}: '{whose}' is not the task; name it with --task {whose}.")
    return own, of_task, hyperparameters


def measurement(report: "ProbeReport", as_json: bool) -> None:
    """A probe's numbers, its table, and where its figure is; on standard error, what the data were
    taken for.
    """
    from capax.report import probe_report

    for note in report.measurement.notes:
        print(f"data: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps({**probe_report.as_json(report.measurement), "directory": str(report.directory)}))
        return
    of = {key: value for key, value in report.measurement.subject.items() if value is not None}
    print(", ".join(f"{key} {value}" for key, value in of.items()))
    for name, value in report.summary.items():
        print(f"  {name:<34}{_shown(value)}")
    frame = report.frame
    rows = sorted({round(place) for place in np.linspace(0, len(frame) - 1, min(len(frame), MOST_ROWS))})
    table = rich.table.Table(box=None, pad_edge=False)
    for column in frame.columns:
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        table.add_column(str(column), justify="right" if numeric else "left")
    for row in frame.iloc[rows].itertuples(index=False):
        table.add_row(*(_shown(value) for value in row))
    terminal.output().print(table)
    if len(rows) < len(frame):
        print(f"{len(rows)} of {len(frame)} rows; all of them are in {report.path.name}.csv")
    print(report.files)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or formatting.MISSING
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return formatting.MISSING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def whole_numbers(option: str, text: str) -> list[int]:
    """A list such as 1,2,4. Raises `CapaxError` for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise CapaxError(f"{option} must be whole numbers with commas, such as 1,2,4, not {text!r}.") from None


def hyperparameters(cell: str | None, task: str | None, as_json: bool) -> None:
    """All hyperparameters of a cell on a task; without a cell, those that the optimiser and every
    task have.
    """
    from capax.search.space import described

    found = described(cell, task)
    if as_json:
        print(json.dumps(found))
        return
    rows = [("name", "default", "range", "scale", ""), *map(_hyperparameter, found)]
    widths = [max(map(len, column)) + 2 for column in zip(*(row[:-1] for row in rows), strict=True)]
    for *columns, meaning in rows:
        print("".join(f"{text:<{width}}" for text, width in zip(columns, widths, strict=True)).rstrip())
        if meaning:
            print(f"    {meaning}")
    print("A value that an experiment gives may lie outside the tuner's range: --json says what is allowed.")


def _hyperparameter(described: dict[str, Any]) -> tuple[str, str, str, str, str]:
    words = [str(end).lower() if isinstance(end, bool) else str(end) for end in described["range"]]
    between = ", " if described["scale"] == "choice" else " to "
    scale = [described["scale"], *(["whole"] if described["whole"] else []), *([] if described["tuned"] else ["fixed"])]
    default = described["default"]
    default = str(default).lower() if isinstance(default, bool) else str(default)
    return described["name"], default, between.join(words), ", ".join(scale), described["meaning"]
