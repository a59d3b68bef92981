"""What is done of a run and what is missing, for those who read the report before its end."""

import pandas as pd

from capax.experiments.record import RunRecord, StudyRecord
from capax.report import formatting
from capax.report.rows import Row, by_study


def reruns_due(study: StudyRecord, row: Row) -> int:
    """How many reruns a study will have: none where no trial came to its end, so that there is
    nothing to rerun.
    """
    return 0 if row["infeasible"] + row["stopped"] == study.trials else study.reruns


def unfinished(study: StudyRecord, row: Row) -> bool:
    """Whether a study has trials or reruns to come."""
    return row["trials"] < study.trials or row["reruns"] < reruns_due(study, row)


def why_no_score(study: StudyRecord, row: Row) -> str:
    """Why a study has no score, where it has none."""
    if row["infeasible"] == study.trials:
        return "every trial diverged"
    if row["infeasible"] + row["stopped"] == study.trials:
        return "every trial diverged or was stopped"
    if unfinished(study, row):
        return "not yet"
    return "every rerun diverged" if row["reruns"] else "no reruns planned"


def missing(plan: RunRecord, frame: pd.DataFrame) -> str:
    """What an unfinished run has done of how much, empty for a finished one."""
    rows = by_study(frame)
    if not any(unfinished(study, rows[study.name]) for study in plan.studies):
        return ""
    due = sum(reruns_due(study, rows[study.name]) for study in plan.studies)
    planned = sum(study.trials for study in plan.studies)
    parts = [f"{formatting.count(sum(row['trials'] for row in rows.values()))} of {formatting.count(planned)} trials"]
    parts += (
        [f"{formatting.count(sum(row['reruns'] for row in rows.values()))} of {formatting.count(due)} reruns"]
        if due
        else []
    )
    return f"{' and '.join(parts)} are done"
