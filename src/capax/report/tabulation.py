"""The tables, as strings: the page and the command line print these, so that they cannot differ."""

import dataclasses
import math
from collections.abc import Callable

import pandas as pd

from capax.experiments.record import RunRecord, StudyRecord, TaskRecord
from capax.report import formatting
from capax.report.formatting import Number
from capax.report.progress import reruns_due, why_no_score
from capax.report.rows import Row, number, records, select
from capax.report.style import labels
from capax.search.stopping import SAYS, Rule

Column = tuple[str, Callable[[Row], str]]


@dataclasses.dataclass(frozen=True)
class Table:
    """The studies of one task, or of one variant of it.

    The first `studies` rows are studies, those after them references (a random guess, baselines)."""

    task: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str]
    studies: int


def tables(frame: pd.DataFrame, plan: RunRecord) -> list[Table]:
    """One table a task, from `experiments.results.studies`, formatted."""
    return [_table(select(frame, task=label), label, plan) for label in plan.tasks]


def _table(frame: pd.DataFrame, label: str, plan: RunRecord) -> Table:
    task, names = plan.tasks[label], labels(plan.of(label).cells)
    studies = {study.name: study for study in plan.studies}
    stopping = plan.experiment.stopping
    columns = [
        *_plan_columns(names, stopping),
        *(_memorised(task, studies) if task.reporting.memorised else _rerun(task, studies)),
    ]
    columns.append(("core-seconds", lambda row: formatting.seconds(row["seconds"])))
    rows = [[text(row) for _, text in columns] for row in records(frame)]
    headers = [header for header, _ in columns]
    references = [_reference(headers, _score_header(task), name, text) for name, text in _references(task)]
    return Table(
        label,
        _title(label, task),
        headers,
        rows + references,
        [*_notes(task), *task.remarks, SAYS[stopping]],
        len(rows),
    )


def _title(label: str, task: TaskRecord) -> str:
    better = "more is better" if task.reporting.direction == "maximise" else "less is better"
    return f"{label}: {task.reporting.score}, {better}"


def _plan_columns(names: dict[str, str], stopping: Rule) -> list[Column]:
    return [
        ("cell", lambda row: names[row["cell"]]),
        ("depth", lambda row: str(row["depth"])),
        ("budget", lambda row: formatting.count(row["budget"])),
        ("units", lambda row: formatting.count(row["units"])),
        ("parameters", lambda row: formatting.count(row["parameters"])),
        ("trials", lambda row: f"{row['trials']}/{row['planned']}"),
        ("infeasible", lambda row: str(row["infeasible"])),
        *([] if stopping == "none" else [("stopped", lambda row: str(row["stopped"]))]),
    ]


def _memorised(task: TaskRecord, studies: dict[str, StudyRecord]) -> list[Column]:
    stored = "best", "low", "high"
    per_parameter = "bits_per_parameter", "bits_per_parameter_low", "bits_per_parameter_high"
    return [
        (_score_header(task), lambda row: _with_interval(row, stored, studies[row["study"]], formatting.bits)),
        (
            "bits per parameter [95%]",
            lambda row: _with_interval(row, per_parameter, studies[row["study"]], _two_decimals),
        ),
        ("compression bound per parameter", lambda row: _two_decimals(number(row, "compression_bits_per_parameter"))),
        ("samples b", lambda row: formatting.count(number(row, "samples"))),
        ("fraction correct", lambda row: formatting.decimals(number(row, "fraction_correct"), 3)),
    ]


def _rerun(task: TaskRecord, studies: dict[str, StudyRecord]) -> list[Column]:
    columns = "best", "low", "high"
    return [
        (_score_header(task), lambda row: _with_interval(row, columns, studies[row["study"]], score)),
        ("reruns", lambda row: f"{row['reruns']}/{reruns_due(studies[row['study']], row)}"),
        ("diverged reruns", lambda row: str(row["infeasible_reruns"])),
    ]


def score(value: Number) -> str:
    """A score that is not a number of bits stored, such as bits per character."""
    return formatting.significant(value, 4)


def _two_decimals(value: Number) -> str:
    return formatting.decimals(value, 2)


def _score_header(task: TaskRecord) -> str:
    return "stored bits [95%]" if task.reporting.memorised else f"{task.reporting.score} [95%]"


def with_interval(value: Number, low: Number, high: Number, text: Callable[[Number], str]) -> str:
    """2.93 [2.85, 3.01], or the value alone where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return text(value)
    if text is formatting.bits and high >= formatting.WHOLE_BITS:  # the same number of decimals for all three
        text = formatting.count
    return f"{text(value)} [{text(low)}, {text(high)}]"


def _with_interval(row: Row, columns: tuple[str, str, str], study: StudyRecord, text: Callable[[Number], str]) -> str:
    best, low, high = (number(row, name) for name in columns)
    return why_no_score(study, row) if math.isnan(best) else with_interval(best, low, high, text)


def _references(task: TaskRecord) -> list[tuple[str, str]]:
    text = formatting.bits if task.reporting.memorised else score
    values = {"random guess": task.chance, **{baseline.name: baseline.value for baseline in task.baselines}}
    return [(name, text(value)) for name, value in values.items()]


def _reference(headers: list[str], score_header: str, name: str, text: str) -> list[str]:
    return [name, *(text if header == score_header else "" for header in headers[1:])]


def _notes(task: TaskRecord) -> list[str]:
    if task.reporting.memorised:
        return [
            "Stored bits: the mutual information of labels and answers in the best trial, with Wilson's 95% interval for the "
            "fraction of labels correct; a maximum over trials, so it grows with their number.",
            "Compression bound: the largest of any trial, not always the best one's.",
        ]
    return [
        "The mean over reruns of the best hyperparameters on fresh seeds, scored on the evaluation section, with "
        "Student's 95% interval for that mean; diverged reruns are not in the mean."
    ]
