"""report.html: one file that needs nothing else, neither a network nor a script."""

import base64
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from capax.experiments.record import RunRecord, TaskRecord
from capax.report import formatting, reproduction
from capax.report.analyses import Analysis
from capax.report.figures import Drawing
from capax.report.progress import missing
from capax.report.rows import column, known, records
from capax.report.sentences import CAUTION, findings
from capax.report.style import labels
from capax.report.tabulation import Table, score, tables

TEMPLATE = "template.html.j2"


def page(
    directory: Path,
    plan: RunRecord,
    frame: pd.DataFrame,
    drawn: list[Drawing],
    images: dict[str, bytes],
    compared: list[Analysis],
) -> str:
    """The page as text. `images` are the figures' SVG files by name."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (resources.files("capax.report") / TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(template).render(
        experiment=plan.experiment,
        missing=missing(plan, frame),
        findings=findings(frame, plan),
        caution=CAUTION,
        tasks=[_section(table.task, table, plan, drawn, images, compared) for table in tables(frame, plan)],
        left_out=plan.left_out,
        totals=_totals(frame),
        best=_best(frame, plan),
        command=reproduction.command(plan.experiment, directory),
        toml=reproduction.toml(plan.experiment),
        environment=plan.environment,
        created=plan.created,
    )


def _section(
    name: str, table: Table, plan: RunRecord, drawn: list[Drawing], images: dict[str, bytes], compared: list[Analysis]
) -> dict[str, Any]:
    """What the page shows of one task."""
    task = plan.tasks[name]
    return {
        "name": name,
        "table": table,
        "analyses": [analysis for analysis in compared if analysis.task == name],
        "memorisation": task.reporting.memorised,
        "selection": _direction(task),
        "design": plan.of(name),
        "options": _options(task),
        "figures": [
            {
                "name": drawing.name,
                "caption": drawing.caption,
                "source": "data:image/svg+xml;base64," + base64.b64encode(images[drawing.name]).decode("ascii"),
            }
            for drawing in drawn
            if drawing.task == name
        ],
    }


def _direction(task: TaskRecord) -> str:
    return "highest" if task.reporting.direction == "maximise" else "lowest"


def _options(task: TaskRecord) -> dict[str, str]:
    """The task's options, and the sizes that follow from them."""
    sizes = {
        "inputs": task.inputs,
        "outputs": task.outputs,
        "time steps": task.length,
        "first scored step": task.first + 1,
    }
    given = {key: "default" if value is None else str(value) for key, value in task.options.items()}
    return {**given, **{key: str(value) for key, value in sizes.items()}}


def _totals(frame: pd.DataFrame) -> dict[str, str]:
    names = ("trials", "reruns", "infeasible", "infeasible_reruns", "stopped", "seconds")
    totals = {name: float(column(frame, name).sum()) for name in names}
    infeasible = totals["infeasible"] + totals["infeasible_reruns"]
    return {
        "studies": "1 study" if len(frame) == 1 else f"{len(frame)} studies",
        "trials": formatting.number(int(totals["trials"]), "trial"),
        "reruns": formatting.number(int(totals["reruns"]), "rerun"),
        "infeasible": formatting.count(infeasible) if infeasible else "none",
        "stopped": formatting.count(totals["stopped"]) if totals["stopped"] else "none",
        "seconds": formatting.seconds(totals["seconds"]),
    }


def _best(frame: pd.DataFrame, plan: RunRecord) -> list[dict[str, Any]]:
    """The chosen hyperparameters of each study that has a feasible trial."""
    studies = {study.name: study for study in plan.studies}
    found = []
    for row in records(known(frame, "best_hyperparameters")):
        study = studies[row["study"]]
        task, names = plan.tasks[study.label], labels(plan.of(study.label).cells)
        found.append(
            {
                "title": f"{study.label}, {names[row['cell']]}, {formatting.layers(row['depth'])}, "
                f"{formatting.count(row['parameters'])} parameters",
                "chosen": f"trial number {int(row['best_trial'])} (from 0) of study {row['study']}; "
                f"its validation score, by which it was chosen: {score(row['selection'])} ({task.reporting.score})",
                "hyperparameters": {
                    key: _value(value) for key, value in json.loads(row["best_hyperparameters"]).items()
                },
            }
        )
    return found


def _value(value: Any) -> str:
    return formatting.significant(value) if isinstance(value, float) else str(value)
