"""report.html: one file that needs nothing else, neither a network nor a script."""

import base64
import json
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from capax.experiments.record import RunRecord, TaskRecord
from capax.report import formatting, reproduction
from capax.report.analyses import Analysis
from capax.report.figures import Drawing
from capax.report.figures.layout import WIDTH
from capax.report.fit_section import FitSection
from capax.report.methods import obtained
from capax.report.progress import missing
from capax.report.rows import column, known, records
from capax.report.sentences import caution, findings
from capax.report.tabulation import Table, score, tables
from capax.report.view import RunView, TaskView
from capax.search import lock

TEMPLATE = "template.html.j2"
PAGE_WIDTH = 46.0
"""Of a figure of the usual width on the page, in rem."""

PROPOSED = {
    "default": "by default",
    "random": "drawn at random",
    "model": "proposed by the tuner's model",
    "grid": "of the grid",
    "best": "of a study's best trial (reruns)",
}
"""What the trials' table says of how a trial's hyperparameters were chosen, in words."""


def page(
    run: RunView,
    directory: Path,
    drawn: list[Drawing],
    images: dict[str, bytes],
    compared: list[Analysis],
    fit: FitSection | None = None,
) -> str:
    """The page as text. `images` are the figures' SVG files by name; `fit`: what stands first where
    a model was fitted to a user's own data.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (resources.files("capax.report") / TEMPLATE).read_text(encoding="utf-8")
    plan, frame = run.plan, run.frame
    of_fit = [] if fit is None else fit.drawings
    numbered = {drawing.name: place for place, drawing in enumerate([*of_fit, *_in_order(run, drawn)], 1)}
    return environment.from_string(template).render(
        experiment=plan.experiment,
        missing=missing(frame),
        holder=lock.holder(directory),
        fit=None if fit is None else fit.shown([_shown(one, numbered, images) for one in of_fit]),
        findings=findings(run),
        caution=caution(run, compared),
        tasks=[
            _section(view, table, [_shown(one, numbered, images) for one in drawn if one.task == view.label], compared)
            for view, table in zip(run.tasks, tables(frame, plan), strict=True)
        ],
        left_out=plan.left_out,
        totals=_totals(frame),
        diverged=_diverged(plan, run.trials),
        proposed=_proposed(run.trials),
        best=_best(run),
        command=reproduction.command(plan.experiment, directory),
        toml=reproduction.toml(plan.experiment),
        facts=reproduction.facts(plan, run.trials),
    )


def _in_order(run: RunView, drawn: list[Drawing]) -> list[Drawing]:
    return [drawing for view in run.tasks for drawing in drawn if drawing.task == view.label]


def _shown(drawing: Drawing, numbered: dict[str, int], images: dict[str, bytes]) -> dict[str, Any]:
    """A figure as the template has it."""
    return {
        "number": numbered[drawing.name],
        "caption": drawing.caption,
        "alt": drawing.alt,
        "width": f"{PAGE_WIDTH * float(drawing.figure.get_figwidth()) / WIDTH:.1f}rem",
        "source": "data:image/svg+xml;base64," + base64.b64encode(images[drawing.name]).decode("ascii"),
    }


def _section(view: TaskView, table: Table, figures: list[dict[str, Any]], compared: list[Analysis]) -> dict[str, Any]:
    """What the page shows of one task."""
    return {
        "name": view.label,
        "table": table,
        "analyses": [analysis for analysis in compared if analysis.task == view.label],
        "obtained": obtained(view),
        "options": _options(view.task),
        "figures": figures,
    }


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
        "studies": formatting.number(len(frame), "study", "studies"),
        "trials": formatting.number(int(totals["trials"]), "trial"),
        "reruns": formatting.number(int(totals["reruns"]), "rerun"),
        "infeasible": formatting.count(infeasible) if infeasible else "none",
        "stopped": formatting.count(totals["stopped"]) if totals["stopped"] else "none",
        "seconds": formatting.seconds(totals["seconds"]),
    }


def _diverged(plan: RunRecord, trials: pd.DataFrame) -> str:
    """When a trial has diverged, and how many did in which way; empty where none did."""
    kinds = [str(reason).partition(" at ")[0] for reason in _known(trials, "divergence")]
    if not kinds:
        return ""
    counted = ", ".join(f"{kind}: {number}" for kind, number in Counter(kinds).most_common())
    return f"{plan.divergence} Of the infeasible ones: {counted}.".strip()


def _proposed(trials: pd.DataFrame) -> str:
    """How the hyperparameters of trials were chosen; empty where the run does not say."""
    counts = Counter(_known(trials, "proposed_by"))
    said = [f"{PROPOSED[kind]}: {formatting.count(counts[kind])}" for kind in PROPOSED if counts[kind]]
    return f"Hyperparameters of trials, {'; '.join(said)}." if said else ""


def _known(frame: pd.DataFrame, column: str) -> list[Any]:
    return [row[column] for row in records(known(frame, column))]


def _best(run: RunView) -> list[dict[str, Any]]:
    """The chosen hyperparameters of each study that has a feasible trial."""
    views, found = {view.label: view for view in run.tasks}, []
    for row in records(known(run.frame, "best_hyperparameters")):
        view = views[row["task"]]
        search = f", search {row['search']}" if view.several else ""
        found.append(
            {
                "title": f"{view.label}, {view.names[row['cell']]}, {formatting.layers(row['depth'])}, "
                f"{formatting.count(row['parameters'])} parameters{search}",
                "chosen": f"trial number {int(row['best_trial'])} (from 0) of study {row['study']}; "
                f"its validation score, by which it was chosen: {score(row['selection'])} ({view.task.reporting.score})",
                "hyperparameters": {
                    key: _value(value) for key, value in json.loads(row["best_hyperparameters"]).items()
                },
            }
        )
    return found


def _value(value: Any) -> str:
    return formatting.significant(value) if isinstance(value, float) else str(value)
