"""Searches that are alike but for their seeds, as one row: their mean, and where another would
lie.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy  # its parts are loaded when they are first used: they are slow to load

from capax.experiments.record import RunRecord
from capax.reporting import Reporting

CONFIDENCE = 0.95

ALIKE = ("task", "cell", "depth", "budget", "units")
"""What searches that are alike have in common."""

SUMS = (
    "trials",
    "planned",
    "infeasible",
    "stopped",
    "converged",
    "reruns",
    "reruns_due",
    "infeasible_reruns",
    "seconds",
)


def joined(frame: pd.DataFrame, run: RunRecord) -> pd.DataFrame:
    """One row for all searches that are alike, from `results.studies`; a single search stays as it
    is.

    `best` is the mean over the searches that have a result, with `low` and `high`. Of memorised
    bits these are Student's 95% prediction interval: it covers the best of another search with as
    many trials, with other seeds (of normal values exactly). Of any other score they are Student's
    95% interval for the mean over searches. `median`, `least`, and `most` are over searches, counts
    and seconds are sums, and what is said of one trial (samples, hyperparameters) is of the best
    search.
    """
    frame = frame.assign(searches=1)
    if not any(study.search > 1 for study in run.studies):
        return frame
    rows = []
    for _, group in frame.groupby(list(ALIKE), sort=False):
        task = str(group["task"].iloc[0])
        rows.append(_row(group.to_dict("records"), run.tasks[task].reporting))
    return pd.DataFrame(rows)


def _row(rows: Sequence[dict[Hashable, Any]], reporting: Reporting) -> dict[Hashable, Any]:
    if len(rows) == 1:
        return rows[0]
    sign = 1 if reporting.direction == "maximise" else -1
    column = "best" if reporting.memorised or any(row["reruns_due"] for row in rows) else "selection"
    scored = [row for row in rows if not math.isnan(row.get(column, math.nan))]
    sums = {name: sum(row[name] for row in rows) for name in SUMS}
    if not scored:
        return {**rows[0], **sums, "searches": len(rows)}
    first = max(scored, key=lambda row: sign * row[column])
    row = {**first, **sums, "study": rows[0]["study"], "searches": len(rows), "search": first["search"]}
    maxima = [*reporting.maxima, *(f"{name}_per_parameter" for name in reporting.maxima)]
    row |= {name: max(each[name] for each in scored) for name in maxima if name in first}
    row |= {"selection": first["selection"]}
    if len(scored) == 1 or column == "selection":
        return row
    values = np.asarray([each["best"] for each in scored], float)
    row |= spread(values, prediction=reporting.memorised)
    if reporting.stored is not None:
        names = {"best": "", "low": "_low", "high": "_high"}
        row |= {
            f"{reporting.stored}_per_parameter{end}": row[name] / first["parameters"] for name, end in names.items()
        }
    return row


def spread(values: np.ndarray, *, prediction: bool) -> dict[str, Any]:
    """The mean of the searches with its interval, and their median, least, and most."""
    count, mean = len(values), float(values.mean())
    error = float(values.std(ddof=1)) * math.sqrt((1 if prediction else 0) + 1 / count)
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    what = "for another search" if prediction else "for the mean over searches"
    return {
        "best": mean,
        "low": max(0.0, mean - half) if prediction else mean - half,
        "high": mean + half,
        "median": float(np.median(values)),
        "least": float(values.min()),
        "most": float(values.max()),
        "interval": f"95%, Student, {what}, from {count} searches",
    }
