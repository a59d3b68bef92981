"""The tables, as strings: the page and the command line print these, so that they cannot differ."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import pandas as pd

from capax.experiments.record import RunRecord, TaskRecord
from capax.experiments.searches import joined
from capax.report import formatting
from capax.report.formatting import Number
from capax.report.progress import why_no_score
from capax.report.rows import Row, number, records, select
from capax.report.style import labels
from capax.search.stopping import SAYS, Rule

Column = tuple[str, Callable[[Row], str]]

OF_ONE_NETWORK = "of this one trained network's fraction correct; it does not cover seeds or searches."
"""What Wilson's interval of stored bits is of, said wherever it is shown."""
OF_ANOTHER_SEARCH = "Student's 95% prediction interval for the best of another search with as many trials: it covers seeds and searches."
"""What the interval of stored bits over several searches is of, said wherever it is shown."""

THIS_NETWORK, ANOTHER_SEARCH = "95%, this network", "95%, another search"

STORED = "stored bits"
PER_PARAMETER = "bits per parameter"
MOST = "best search"
BOUND = "compression bound per parameter"
MEDIAN = "median"


def interval_of_bits(*, several: bool) -> str:
    """What the interval of stored bits is, of one search or of several."""
    return OF_ANOTHER_SEARCH if several else f"Wilson's 95% interval {OF_ONE_NETWORK}"


@dataclasses.dataclass(frozen=True)
class Table:
    """The studies of one task, or of one variant of it.

    The first `studies` rows are studies, those after them references (a random guess, baselines).
    `notes` say what the numbers are; `explains` names the columns without which a note says
    nothing.
    """

    task: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str]
    studies: int
    explains: Mapping[str, str]

    def notes_for(self, headers: list[str]) -> list[str]:
        """The notes for those who see these columns alone."""
        return [note for note in self.notes if self.explains.get(note, headers[0]) in headers]


def tables(frame: pd.DataFrame, plan: RunRecord) -> list[Table]:
    """One table a task, from `experiments.results.studies`, formatted."""
    frame = joined(frame, plan)
    return [_table(select(frame, task=label), label, plan) for label in plan.tasks]


def _table(frame: pd.DataFrame, label: str, plan: RunRecord) -> Table:
    task, design = plan.tasks[label], plan.of(label)
    columns = _plan_columns(labels(design.cells), design.stopping, by_units=design.sized == "units")
    several = design.searches > 1
    if task.reporting.memorised:
        covers = ANOTHER_SEARCH if several else THIS_NETWORK
        scored = f"{STORED} [{covers}]"
        columns += _memorised(scored, f"{PER_PARAMETER} [{covers}]", several=several)
    elif design.reruns:
        scored = f"{task.reporting.score}{'' if design.reruns == 1 and not several else ' [95%]'}"
        columns += _rerun(scored)
    else:
        scored = task.reporting.score
        columns += _selected(task)
    columns.append(("core-seconds", lambda row: formatting.seconds(row["seconds"])))
    rows = [[text(row) for _, text in columns] for row in records(frame)]
    headers = [header for header, _ in columns]
    references = [_reference(headers, scored, name, text) for name, text in _references(task)]
    notes = _notes(task, records(frame), reruns=design.reruns, searches=design.searches)
    explains = {note: header for header, note in notes if header}
    said = [*(note for _, note in notes), *task.remarks, SAYS[design.stopping]]
    return Table(label, _title(label, task), headers, rows + references, said, len(rows), explains)


def _title(label: str, task: TaskRecord) -> str:
    better = "more is better" if task.reporting.direction == "maximise" else "less is better"
    return f"{label}: {task.reporting.score}, {better}"


def _plan_columns(names: dict[str, str], stopping: Rule, *, by_units: bool) -> list[Column]:
    """What was planned and done. A budget stands only where one was set."""
    return [
        ("cell", lambda row: names[row["cell"]]),
        ("depth", lambda row: str(row["depth"])),
        *([] if by_units else [("budget", lambda row: formatting.count(row["budget"]))]),
        ("units", lambda row: formatting.count(row["units"])),
        ("parameters", lambda row: formatting.count(row["parameters"])),
        ("trials", lambda row: f"{row['trials']}/{row['planned']}"),
        ("infeasible", lambda row: str(row["infeasible"])),
        *([] if stopping == "none" else [("stopped", lambda row: str(row["stopped"]))]),
    ]


def _memorised(bits: str, bits_per_parameter: str, *, several: bool) -> list[Column]:
    stored = "best", "low", "high"
    per_parameter = "bits_per_parameter", "bits_per_parameter_low", "bits_per_parameter_high"
    return [
        (bits, lambda row: _with_interval(row, stored, formatting.bits)),
        (bits_per_parameter, lambda row: _with_interval(row, per_parameter, _two_decimals)),
        *([(MOST, lambda row: formatting.bits(number(row, "most")))] if several else []),
        (BOUND, lambda row: _two_decimals(number(row, "compression_bits_per_parameter"))),
        ("samples b", lambda row: formatting.count(number(row, "samples"))),
        ("fraction correct", lambda row: formatting.decimals(number(row, "fraction_correct"), 3)),
    ]


def _rerun(header: str) -> list[Column]:
    columns = "best", "low", "high"
    return [
        (header, lambda row: _with_interval(row, columns, score)),
        (MEDIAN, lambda row: score(number(row, "median"))),
        ("reruns", lambda row: f"{row['reruns']}/{row['reruns_due']}"),
        ("diverged reruns", lambda row: str(row["infeasible_reruns"])),
    ]


def _selected(task: TaskRecord) -> list[Column]:
    """Where nothing is rerun: the score by which the best trial was chosen."""

    def text(row: Row) -> str:
        value = number(row, "selection")
        return why_no_score(row) if math.isnan(value) else score(value)

    return [(f"best {task.reporting.score}, validation", text)]


def score(value: Number) -> str:
    """A score as tables show it: four significant digits."""
    return formatting.significant(value)


def _two_decimals(value: Number) -> str:
    return formatting.decimals(value, 2)


def with_interval(value: Number, low: Number, high: Number, text: Callable[[Number], str]) -> str:
    """2.93 [2.85, 3.01], or the value alone where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return text(value)
    if text is formatting.bits and high >= formatting.WHOLE_BITS:  # the same number of decimals for all three
        text = formatting.count
    return f"{text(value)} [{text(low)}, {text(high)}]"


def _with_interval(row: Row, columns: tuple[str, str, str], text: Callable[[Number], str]) -> str:
    best, low, high = (number(row, name) for name in columns)
    return why_no_score(row) if math.isnan(best) else with_interval(best, low, high, text)


def _references(task: TaskRecord) -> list[tuple[str, str]]:
    text = formatting.bits if task.reporting.memorised else score
    values = {"random guess": task.chance, **{baseline.name: baseline.value for baseline in task.baselines}}
    return [(name, text(value)) for name, value in values.items()]


def _reference(headers: list[str], score_header: str, name: str, text: str) -> list[str]:
    return [name, *(text if header == score_header else "" for header in headers[1:])]


TENFOLD = 10.0
"""Reruns further apart than this are no sample for Student's interval."""


def _notes(task: TaskRecord, rows: list[Row], *, reruns: int, searches: int) -> list[tuple[str, str]]:
    """What is said below the table, each with the column that it is about, if it is about one."""
    if task.reporting.memorised:
        maximum = "a maximum over trials, so it grows with their number."
        mean = f" Shown is the mean over {searches} searches with other seeds." if searches > 1 else ""
        best = " Samples b and fraction correct are the best search's." if searches > 1 else ""
        return [
            (
                "",
                f"Stored bits: the mutual information of labels and answers in the best trial; {maximum}{mean} In brackets "
                f"{interval_of_bits(several=searches > 1)}{best}",
            ),
            (BOUND, "Compression bound: the largest of any trial, not always the best one's."),
        ]
    if not reruns:
        return [
            (
                "",
                "Nothing was rerun, so there is no result on fresh seeds: shown is the validation score by which the best "
                "trial was chosen, which is optimistic.",
            )
        ]
    if searches > 1:
        return [
            (
                "",
                f"The mean over {searches} searches with other seeds; of each search counts the mean over reruns of the "
                f"hyperparameters that it chose, on fresh seeds and {task.reporting.scored_on}, without diverged reruns. In "
                "brackets Student's 95% interval for the mean over searches: it covers seeds and searches.",
            )
        ]
    if reruns == 1:
        return [
            (
                "",
                f"The score of one rerun of the best hyperparameters on a fresh seed, on {task.reporting.scored_on}. One rerun "
                "has no interval.",
            )
        ]
    notes = [
        (
            "",
            f"The mean over reruns of the best hyperparameters on fresh seeds, scored on {task.reporting.scored_on}, with "
            "Student's 95% interval for that mean; diverged reruns are not in the mean. The interval holds for the "
            "hyperparameters that were chosen; it does not cover the search.",
        )
    ]
    wide = [row for row in rows if number(row, "most") > TENFOLD * number(row, "least") > 0]
    if wide:
        notes.append(
            (
                "",
                f"Reruns of {formatting.number(len(wide), 'study', 'studies')} lie more than tenfold apart. Their mean is "
                "mostly the largest of them, and Student's interval covers it in less than 95% of cases (of five "
                "log-normal losses 82% at a standard deviation of 1 of their logarithms, 52% at 2): read the median.",
            )
        )
    return notes
