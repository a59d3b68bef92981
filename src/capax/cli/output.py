"""What the commands print: tables for people, one JSON object for scripts."""

import inspect
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from capax.errors import CapaxError, closest
from capax.experiments import results as experiment_results
from capax.report import Report, tables


def results(report: Report, as_json: bool) -> None:
    """The end of a run: its tables and where the report is."""
    if as_json:
        print(json.dumps(_as_json(report.directory, report.frame)))
        return
    _tables(report.frame, report.plan)
    print(f"report: {report.path}")


def status(directory: Path, as_json: bool) -> bool:
    """What has been done so far; True when nothing is left to do."""
    store, plan = experiment_results.read(directory)
    frame = experiment_results.studies(store, plan)
    done = int(frame[["trials", "reruns"]].to_numpy().sum())
    planned = sum(study.trials + study.reruns for study in plan.studies)
    if as_json:
        print(json.dumps(_as_json(directory, frame)))
    else:
        _tables(frame, plan)
        print(f"{directory}: {done} of {planned} trials and reruns done")
    return done >= planned


def _as_json(directory: Path, frame: pd.DataFrame) -> dict[str, Any]:
    report = directory / "report.html"
    keys = [
        "task",
        "cell",
        "depth",
        "budget",
        "units",
        "parameters",
        "trials",
        "infeasible",
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
    return {"directory": str(directory), "report": str(report) if report.exists() else None, "studies": studies}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _tables(frame: pd.DataFrame, plan: Any) -> None:
    console = Console()
    for table in tables(frame, plan):
        shown = Table(title=table.title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for number, header in enumerate(table.headers):
            shown.add_column(header, justify="left" if number == 0 else "right")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
        for note in table.notes:
            console.print(note, style="dim", highlight=False)
        console.print()


def inventory(what: str) -> dict[str, str]:
    """Names with one line each. Raises `CapaxError` for a kind of thing there is not."""
    if what == "cells":
        from capax.cells import BUILT_IN

        return {name: _first_line(cell) for name, cell in BUILT_IN.items()}
    if what == "tasks":
        from capax.tasks import BUILT_IN as TASKS

        return {name: _first_line(task) for name, task in TASKS.items()}
    if what == "experiments":
        from capax.experiments.design import load, named

        return {name: load(name).question for name in named()}
    known = ["cells", "tasks", "experiments"]
    raise CapaxError(f"there is no list of '{what}'{closest(what, known)}; choose of {', '.join(known)}.")


def _first_line(thing: type) -> str:
    """The first sentence of a class's module, which says what it is."""
    module = inspect.getmodule(thing)
    doc = (thing.__doc__ or (module.__doc__ if module else "") or "").strip()
    return " ".join(doc.split("\n\n")[0].split())
