"""What a run says, in plain sentences computed from its tables, and no more than it can say."""

import dataclasses
import math
from collections.abc import Callable

import pandas as pd

from capax.report import formatting
from capax.report.analyses import Analysis
from capax.report.progress import unfinished, why_no_score
from capax.report.rows import Row, column, known, number, records, select
from capax.report.statistics import welch
from capax.report.tabulation import TENFOLD, score, with_interval
from capax.report.view import Panel, RunView, TaskView

TESTED = (
    "Differences were tested for {what}: Welch's test for all pairs of cells at one depth and size, with Holm's "
    "correction for the pairs of that depth and size, not for all of them together (tables below)."
)
ALPHA = 0.05
NOT_TESTED = "Nothing was tested for significance, and nothing was corrected for the number of comparisons"
ONE_SEARCH = (
    "What is said holds for the hyperparameters that one search chose; another search could choose others and find "
    "another order."
)


def caution(run: RunView, compared: list[Analysis]) -> str:
    """How sure the findings are, from what was tested; nothing where nothing was found."""
    tested = [analysis.task for analysis in compared if analysis.tested]
    found = [view.label for view in run.tasks if len(known(view.studies, "best"))]
    if not found:
        return ""
    untested = [label for label in found if label not in tested]
    parts = [TESTED.format(what=formatting.listed(tested))] if tested else []
    if untested:
        parts.append(f"{NOT_TESTED}{f' for {formatting.listed(untested)}' if tested else ''}.")
    once = run.plan.experiment.sampler != "random" and not all(view.several for view in run.tasks)
    return " ".join([*parts, ONE_SEARCH] if once else parts)


@dataclasses.dataclass(frozen=True)
class _Measure:
    """The columns that are compared, and how they read; `verb`: what the first one does."""

    best: str
    low: str
    high: str
    unit: str
    verb: str
    text: Callable[[formatting.Number], str]
    sign: int


def _measure(view: TaskView) -> _Measure:
    if view.task.reporting.memorised:
        columns = "bits_per_parameter", "bits_per_parameter_low", "bits_per_parameter_high"
        return _Measure(
            *columns, "bits per parameter", view.task.reporting.verb, lambda value: formatting.decimals(value, 2), 1
        )
    return _Measure("best", "low", "high", view.task.reporting.score, view.task.reporting.verb, score, view.sign)


def findings(run: RunView) -> list[str]:
    """One paragraph a task: who is ahead at the largest budget, how sure that is, and whether it
    holds elsewhere.
    """
    return [_task(view) for view in run.tasks]


def _task(view: TaskView) -> str:
    measure, rows = _measure(view), records(view.studies)
    scored = known(view.studies, measure.best)
    if scored.empty:
        return _nothing(view, sorted({why_no_score(row) for row in rows} - {"not yet"}))
    depth, size = max(zip(scored["depth"], scored[view.sized], strict=True), key=lambda pair: (pair[1], -pair[0]))
    group = select(scored, depth=depth, **{view.sized: size})
    so_far = "So far, on" if any(unfinished(row) for row in rows) else "On"
    sentences = [
        f"{so_far} the {view.label} task, {_where(view, depth, size)}, {_ahead(group, measure, view)}",
        *_medians(group, view),
        *_elsewhere(scored, group, measure, view.sized),
        *_baselines(group, view, measure),
        *_diverged(group, view),
    ]
    return " ".join(sentences)


def _where(view: TaskView, depth: int, size: formatting.Number) -> str:
    many = formatting.count(size)
    what = f"a budget of {many} parameters" if view.sized == "budget" else f"{many} units per layer"
    return f"at {what} and {formatting.layers(int(depth))}"


def _nothing(view: TaskView, reasons: list[str]) -> str:
    """Where there is no score on other data: why, or who leads by the score of the choice where
    nothing is rerun.
    """
    chosen = known(view.studies, "selection")
    if view.design.reruns or view.task.reporting.memorised or chosen.empty:
        return f"On the {view.label} task there is no result yet{': ' if reasons else ''}{formatting.listed(reasons)}."
    depth, size = max(zip(chosen["depth"], chosen[view.sized], strict=True), key=lambda pair: (pair[1], -pair[0]))
    group = select(chosen, depth=depth, **{view.sized: size})
    order = sorted(records(group), key=lambda row: -view.sign * row["selection"])
    scores = [f"{view.names[row['cell']]} {score(row['selection'])}" for row in order]
    return (
        f"On the {view.label} task nothing was rerun, so there is no result on fresh seeds. {_where(view, depth, size)[:1].upper()}"
        f"{_where(view, depth, size)[1:]}, the validation scores by which trials were chosen ({view.task.reporting.score}) are: "
        f"{formatting.listed(scores)}."
    )


def _order(group: pd.DataFrame, measure: _Measure) -> list[Row]:
    return sorted(records(group), key=lambda row: -measure.sign * row[measure.best])


def _ahead(group: pd.DataFrame, measure: _Measure, view: TaskView) -> str:
    rows, names = _order(group, measure), view.names
    values = [with_interval(row[measure.best], row[measure.low], row[measure.high], measure.text) for row in rows]
    first, name = rows[0], names[rows[0]["cell"]]
    on = "" if view.task.reporting.memorised else f" on {view.task.reporting.scored_on}"
    if len(rows) == 1:
        return f"{name} reaches {values[0]} {measure.unit}{on}."
    lead = (
        f"{name} {measure.verb}{on}, with {values[0]} {measure.unit}, before {names[rows[1]['cell']]} with {values[1]}"
    )
    if view.task.reporting.memorised and not view.several:
        return (
            f"{lead}. Each number is one trained network's, the best of one search, and its interval covers neither "
            "seeds nor searches: how sure this order is cannot be said from one run."
        )
    if view.several:
        return f"{lead}. {_tested(group, measure, view)}"
    if any(math.isnan(row[measure.low]) for row in rows):
        return f"{lead}; not every cell has an interval, so how sure this order is cannot be said."
    overlapping = [names[row["cell"]] for row in rows[1:] if _overlap(first, row, measure)]
    if overlapping:
        return (
            f"{lead}; its 95% interval overlaps with that of {formatting.listed(overlapping)}, so this run alone does "
            "not settle their order."
        )
    return f"{lead}; over fresh seeds of the chosen hyperparameters, its 95% interval overlaps with no other cell's."


def _tested(group: pd.DataFrame, measure: _Measure, view: TaskView) -> str:
    """From whom the first cell differs over searches, at one depth and size."""
    first, *others = [row["cell"] for row in _order(group, measure)]
    panel = Panel(int(group["depth"].iloc[0]), float(group[view.sized].iloc[0]))
    searches = known(view.within(view.searches, panel), measure.best)
    pairs = welch({cell: column(select(searches, cell=cell), measure.best) for cell in (first, *others)})
    differs = [pair.second for pair in pairs if pair.first == first and pair.holm < ALPHA]
    sides = [
        f"{kind} {formatting.listed([view.names[cell] for cell in cells])}"
        for kind, cells in (("from", differs), ("not from", [cell for cell in others if cell not in differs]))
        if cells
    ]
    return (
        f"Over {view.design.searches} searches it differs {', '.join(sides)} (Welch's test, p below {ALPHA} with Holm's "
        "correction)."
    )


def _overlap(one: Row, other: Row, measure: _Measure) -> bool:
    return one[measure.low] <= other[measure.high] and other[measure.low] <= one[measure.high]


def _medians(group: pd.DataFrame, view: TaskView) -> list[str]:
    """Where reruns lie so far apart that means say little: the medians in their place."""
    rows = sorted(records(group), key=lambda row: -view.sign * number(row, "median"))
    if not any(number(row, "most") > TENFOLD * number(row, "least") > 0 for row in rows):
        return []
    medians = [f"{view.names[row['cell']]} {score(number(row, 'median'))}" for row in rows]
    return [
        f"Reruns lie more than tenfold apart, so that means say little; the medians are {formatting.listed(medians)}."
    ]


def _elsewhere(scored: pd.DataFrame, group: pd.DataFrame, measure: _Measure, sized: str) -> list[str]:
    """Whether the same cell is ahead at the other budgets and depths where there is something to
    compare.
    """
    ahead = [_order(rows, measure)[0]["cell"] for _, rows in scored.groupby(["depth", sized]) if len(rows) > 1]
    others = len(ahead) - 1
    if len(group) < 2 or others < 1:
        return []
    same = ahead.count(_order(group, measure)[0]["cell"]) - 1
    size = "budget" if sized == "budget" else "number of units"
    sizes = "budgets" if sized == "budget" else "numbers of units"
    places = f"combinations of {size} and depth" if len(set(scored["depth"])) > 1 else sizes
    if others == 1:
        return [f"At the other of the two {places} it is {'ahead, too' if same else 'not ahead'}."]
    return [f"Of the {others} other {places}, it is ahead at {same or 'none'}."]


def _baselines(group: pd.DataFrame, view: TaskView, measure: _Measure) -> list[str]:
    """Where the best mean stands among the baselines."""
    best = _order(group, measure)[0][measure.best]
    better = {name: measure.sign * (best - value) > 0 for name, value in view.baselines.items()}
    texts = {name: f"{name} ({measure.text(value)})" for name, value in view.baselines.items()}
    beaten, not_beaten = ([texts[name] for name in texts if better[name] is which] for which in (True, False))
    if not texts:
        return []
    parts = [f"better than {formatting.listed(beaten)}"] if beaten else []
    parts += [f"not better than {formatting.listed(not_beaten)}"] if not_beaten else []
    return [f"The best mean is {', but '.join(parts)}."]


def _diverged(group: pd.DataFrame, view: TaskView) -> list[str]:
    """Means leave diverged reruns out, which flatters cells that often diverge: say whose."""
    rows = [] if view.task.reporting.memorised else [row for row in records(group) if row["infeasible_reruns"] > 0]
    shares = [f"{view.names[row['cell']]} {row['infeasible_reruns']} of {row['reruns']}" for row in rows]
    return [f"Diverged reruns are not in these means: {formatting.listed(shares)}."] if shares else []
