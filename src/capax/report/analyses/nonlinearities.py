"""What ReLU costs: the best trial of all, and the best with ReLU."""

import math

import pandas as pd

from capax.report.analyses.analysis import Analysis, two
from capax.report.rows import column, known, select
from capax.report.statistics import mean_ratio
from capax.report.tabulation import with_interval
from capax.report.view import TaskView

LEAST_TRIALS, LEAST_IN_ALL = 3, 10
"""With each nonlinearity in a study, and in all studies of a cell and depth: the best of one or two
trials is luck.
"""

NOTE = (
    "Means over sizes of the best trial, of all and of those with ReLU (the source's Figure 2a), over studies with at "
    f"least {LEAST_TRIALS} trials of each, and {LEAST_IN_ALL} in all. The best of few trials is lower than the best of "
    "many, and the tuner gives fewer trials to the nonlinearity that does worse: a ratio below 1 is partly this, the "
    "more so the fewer the ReLU trials."
)
INTERVAL = "In brackets Fieller's 95% interval over sizes; none below three of them."


def relu_only(trials: pd.DataFrame, sized: str) -> pd.DataFrame:
    """The best bits per parameter of each cell, depth, and size by nonlinearity.

    Columns: cell, depth, size, parameters, any, relu, tanh, and the numbers of trials ("relu
    trials", "tanh trials"). A cell without a choice of nonlinearities is left out.
    """
    rows = []
    complete = known(select(trials, state="complete"), "hp_nonlinearity")
    for (cell, depth, size), group in complete.groupby(["cell", "depth", sized]):  # pyright: ignore
        bits = column(group, "evaluation") / column(group, "parameters")
        row = {
            "cell": cell,
            "depth": depth,
            "size": size,
            "parameters": int(group["parameters"].iloc[0]),
            "any": bits.max(),
        }
        for kind in ("relu", "tanh"):
            chosen = bits[(group["hp_nonlinearity"] == kind).to_numpy()]
            row |= {kind: chosen.max() if len(chosen) else math.nan, f"{kind} trials": len(chosen)}
        rows.append(row)
    columns = ["cell", "depth", "size", "parameters", "any", "relu", "relu trials", "tanh", "tanh trials"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def enough(best: pd.DataFrame) -> pd.DataFrame:
    """The studies that have trials enough of each nonlinearity, alone and with those of the cell
    and depth.
    """
    counts = ["relu trials", "tanh trials"]
    found = best[(best[counts] >= LEAST_TRIALS).all(axis=1)]
    together = pd.DataFrame(found.groupby(["cell", "depth"])[counts].transform("sum"))
    return pd.DataFrame(found[(together >= LEAST_IN_ALL).all(axis=1)])


def make(view: TaskView) -> Analysis | None:
    """A row a cell and depth."""
    every = relu_only(view.tuned, view.sized)
    best, rows = enough(every), []
    for (cell, depth), group in best.groupby(["cell", "depth"]):  # pyright: ignore
        free, relu = column(group, "any"), column(group, "relu")
        counts = [str(int(column(group, f"{kind} trials").sum())) for kind in ("relu", "tanh")]
        ratio = with_interval(*mean_ratio(list(relu), list(free)), two)
        values = [two(float(free.mean())), two(float(relu.mean())), ratio]
        rows.append([view.names[str(cell)], str(depth), str(len(group)), *values, *counts])
    some = any("[" in row[5] for row in rows)
    headers = [
        "cell", "depth", "sizes", "bits per parameter, free choice", "ReLU only", f"ratio{' [95%]' if some else ''}",
        "ReLU trials", "tanh trials",
    ]  # fmt: skip
    left_out = len(every) - len(best)
    notes = [NOTE, *([INTERVAL] if some else [])]
    notes += [f"Left out for want of trials: {left_out} of {len(every)} studies."] if left_out else []
    return Analysis("nonlinearities", view.label, "What ReLU costs", headers, rows, notes)
