"""What a run says, in plain sentences computed from its table, and no more than it can say."""

import dataclasses
import math
from collections.abc import Callable

import pandas as pd

from capax.experiments.record import RunRecord, TaskRecord
from capax.report import formatting
from capax.report.progress import unfinished, why_no_score
from capax.report.rows import Row, by_study, known, records, select
from capax.report.style import labels
from capax.report.tabulation import score, with_interval

CAUTION = (
    "Nothing was tested for significance, and nothing was corrected for the number of comparisons. Each interval holds "
    "for the hyperparameters that were chosen; another search could choose others."
)


@dataclasses.dataclass(frozen=True)
class _Measure:
    """The columns that are compared, and how they read."""

    best: str
    low: str
    high: str
    unit: str
    verb: str
    text: Callable[[formatting.Number], str]
    sign: int


def _measure(task: TaskRecord) -> _Measure:
    if task.reporting.memorised:
        columns = "bits_per_parameter", "bits_per_parameter_low", "bits_per_parameter_high"
        return _Measure(
            *columns, "bits per parameter", task.reporting.verb, lambda value: formatting.decimals(value, 2), 1
        )
    sign = 1 if task.reporting.direction == "maximise" else -1
    return _Measure("best", "low", "high", task.reporting.score, task.reporting.verb, score, sign)


def findings(frame: pd.DataFrame, plan: RunRecord) -> list[str]:
    """One paragraph a task: who is ahead at the largest budget, whose intervals overlap, and whether it holds elsewhere."""
    return [_task(select(frame, task=label), label, plan) for label in plan.tasks]


def _task(frame: pd.DataFrame, label: str, plan: RunRecord) -> str:
    task, names = plan.tasks[label], labels(plan.of(label).cells)
    measure = _measure(task)
    rows = by_study(frame)
    studies = [study for study in plan.studies if study.name in rows]
    scored = known(frame, measure.best)
    if scored.empty:
        reasons = sorted({why_no_score(study, rows[study.name]) for study in studies} - {"not yet"})
        return f"On the {label} task there is no result yet{': ' if reasons else ''}{formatting.listed(reasons)}."
    sized = plan.of(label).sized
    depth, size = max(zip(scored["depth"], scored[sized], strict=True), key=lambda pair: (pair[1], -pair[0]))
    group = select(scored, depth=depth, **{sized: size})
    what = (
        f"a budget of {formatting.count(size)} parameters" if sized == "budget" else f"{formatting.count(size)} units"
    )
    where = f"at {what} and {formatting.layers(int(depth))}"
    so_far = "So far, on" if any(unfinished(study, rows[study.name]) for study in studies) else "On"
    sentences = [f"{so_far} the {label} task, {where}, {_ahead(group, measure, names)}"]
    sentences += [
        *_elsewhere(scored, group, measure, sized),
        *_baselines(group, task, measure),
        *_diverged(group, task, names),
    ]
    return " ".join(sentences)


def _order(group: pd.DataFrame, measure: _Measure) -> list[Row]:
    return sorted(records(group), key=lambda row: -measure.sign * row[measure.best])


def _ahead(group: pd.DataFrame, measure: _Measure, names: dict[str, str]) -> str:
    rows = _order(group, measure)
    values = [with_interval(row[measure.best], row[measure.low], row[measure.high], measure.text) for row in rows]
    first, name = rows[0], names[rows[0]["cell"]]
    if len(rows) == 1:
        return f"{name} reaches {values[0]} {measure.unit}."
    lead = f"{name} {measure.verb}, with {values[0]} {measure.unit}, before {names[rows[1]['cell']]} with {values[1]}"
    if any(math.isnan(row[measure.low]) for row in rows):
        return f"{lead}; not every cell has an interval, so how sure this order is cannot be said."
    overlapping = [names[row["cell"]] for row in rows[1:] if _overlap(first, row, measure)]
    if overlapping:
        others = formatting.listed(overlapping)
        return (
            f"{lead}; its 95% interval overlaps with that of {others}, so this run alone does not settle their order."
        )
    return f"{lead}; its 95% interval overlaps with no other cell's."


def _overlap(one: Row, other: Row, measure: _Measure) -> bool:
    return one[measure.low] <= other[measure.high] and other[measure.low] <= one[measure.high]


def _elsewhere(scored: pd.DataFrame, group: pd.DataFrame, measure: _Measure, sized: str) -> list[str]:
    """Whether the same cell is ahead at the other budgets and depths where there is something to compare."""
    ahead = [_order(rows, measure)[0]["cell"] for _, rows in scored.groupby(["depth", sized]) if len(rows) > 1]
    others = len(ahead) - 1
    if len(group) < 2 or others < 1:
        return []
    same = ahead.count(_order(group, measure)[0]["cell"]) - 1
    size = "budget" if sized == "budget" else "number of units"
    sizes = "budgets" if sized == "budget" else "numbers of units"
    places = f"combinations of {size} and depth" if len(set(scored["depth"])) > 1 else sizes
    if others == 1:
        return [
            f"At the other of the two {places} it is ahead, too."
            if same
            else f"At the other of the two {places} it is not ahead."
        ]
    return [f"Of the {others} other {places}, it is ahead at {same or 'none'}."]


def _baselines(group: pd.DataFrame, task: TaskRecord, measure: _Measure) -> list[str]:
    """Where the best mean stands among the baselines."""
    baselines = {baseline.name: baseline.value for baseline in task.baselines}
    best = _order(group, measure)[0][measure.best]
    beaten = [f"{name} ({measure.text(v)})" for name, v in baselines.items() if measure.sign * (best - v) > 0]
    not_beaten = [f"{name} ({measure.text(v)})" for name, v in baselines.items() if measure.sign * (best - v) <= 0]
    if not baselines:
        return []
    parts = [f"better than {formatting.listed(beaten)}"] if beaten else []
    parts += [f"not better than {formatting.listed(not_beaten)}"] if not_beaten else []
    return [f"The best mean is {', but '.join(parts)}."]


def _diverged(group: pd.DataFrame, task: TaskRecord, names: dict[str, str]) -> list[str]:
    """Means leave diverged reruns out, which flatters cells that often diverge: say whose."""
    rows = [] if task.reporting.memorised else [row for row in records(group) if row["infeasible_reruns"] > 0]
    shares = [f"{names[row['cell']]} {row['infeasible_reruns']} of {row['reruns']}" for row in rows]
    return [f"Diverged reruns are not in these means: {formatting.listed(shares)}."] if shares else []
