"""What is done of a run and what is missing, for those who read the report before its end.

A row is one study's, or that of several searches that are alike: then its counts are sums.
"""

import pandas as pd

from capax.report import formatting
from capax.report.rows import Row, records


def unfinished(row: Row) -> bool:
    """Whether there are trials or reruns to come."""
    return row["trials"] < row["planned"] or row["reruns"] < row["reruns_due"]


def why_no_score(row: Row) -> str:
    """Why a row has no score, where it has none."""
    if row["infeasible"] == row["planned"]:
        return "every trial diverged"
    if row["infeasible"] + row["stopped"] == row["planned"]:
        return "every trial diverged or was stopped"
    if unfinished(row):
        return "not yet"
    return "every rerun diverged" if row["reruns"] else "no reruns planned"


def missing(frame: pd.DataFrame) -> str:
    """What an unfinished run has done of how much, empty for a finished one."""
    rows = records(frame)
    if not any(unfinished(row) for row in rows):
        return ""
    done, due = (
        {name: sum(row[name] for row in rows) for name in names}
        for names in (("trials", "reruns"), ("planned", "reruns_due"))
    )
    parts = [f"{formatting.count(done['trials'])} of {formatting.count(due['planned'])} trials"]
    if due["reruns_due"]:
        parts.append(f"{formatting.count(done['reruns'])} of {formatting.count(due['reruns_due'])} reruns")
    return f"{' and '.join(parts)} are done"
