"""Analyses beyond one row a study: tables that compare cells, each only where a run holds what it needs."""

import dataclasses
import math

import numpy as np
import pandas as pd

from capax.experiments.record import RunRecord, TaskRecord
from capax.report import formatting, published
from capax.report.rows import column, known, records, select
from capax.report.statistics import expected_best, line, mean_ratio, share, welch
from capax.report.style import labels
from capax.report.tabulation import with_interval

MANY_RERUNS = 10
"""Reruns from which their spread is a result of its own."""


@dataclasses.dataclass(frozen=True)
class Analysis:
    """A table with a title and what must be said of it; `task` is the label of the task that it belongs to."""

    name: str
    task: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str]

    def frame(self) -> pd.DataFrame:
        """The table as it reads."""
        return pd.DataFrame(self.rows, columns=pd.Index(self.headers))


def analyses(frame: pd.DataFrame, trials: pd.DataFrame, plan: RunRecord) -> list[Analysis]:
    """All that this run has the data for, in the order of its tasks."""
    found: list[Analysis | None] = []
    for label, task in plan.tasks.items():
        studies, of_task = select(frame, task=label), select(trials, task=label)
        names = labels(plan.of(label).cells)
        one = _Run(label, task, studies, of_task, names, plan)
        found += [make(one) for make in (_MEMORISED if task.reporting.memorised else _SCORED)]
    return [analysis for analysis in found if analysis is not None and analysis.rows]


@dataclasses.dataclass(frozen=True)
class _Run:
    label: str
    task: TaskRecord
    studies: pd.DataFrame
    trials: pd.DataFrame
    names: dict[str, str]
    plan: RunRecord

    @property
    def sized(self) -> str:
        return self.plan.of(self.label).sized

    @property
    def parentheses(self) -> bool:
        return self.task.name == "parentheses"

    def size(self, value: formatting.Number) -> str:
        return f"{formatting.count(value)}{' units' if self.sized == 'units' else ''}"

    def tuned(self) -> pd.DataFrame:
        """Trials of the tuner that have ended."""
        ended = select(self.trials, rerun=False)
        return pd.DataFrame(ended[ended["state"] != "running"])

    def groups(self, trials: pd.DataFrame) -> list[tuple[int, float, dict[str, pd.DataFrame]]]:
        """Depth, size, and the trials of each cell."""
        found = []
        for (depth, size), rows in trials.groupby(["depth", self.sized]):  # pyright: ignore[reportGeneralTypeIssues]
            cells = {cell: select(rows, cell=cell) for cell in self.names if len(select(rows, cell=cell))}
            found.append((int(depth), float(size), cells))
        return found


def _two(value: formatting.Number) -> str:
    return formatting.decimals(value, 2)


def _three(value: formatting.Number) -> str:
    return formatting.significant(value, 3)


# -- what is memorised


def _growth(run: _Run) -> Analysis | None:
    rows = []
    for cell, name in run.names.items():
        for depth in sorted(set(run.studies["depth"])):
            of_cell = known(select(run.studies, cell=cell, depth=depth), "best")
            fit = line(list(column(of_cell, "parameters")), list(column(of_cell, "best"))) if len(of_cell) else None
            if fit is not None:
                per_parameter = column(of_cell, "bits_per_parameter")
                rows.append(
                    [
                        name, str(depth), str(fit.points), with_interval(fit.slope, fit.low, fit.high, _two),
                        formatting.bits(fit.intercept), formatting.decimals(fit.r_squared, 3),
                        _two(float(per_parameter.max())), published.BITS_PER_PARAMETER,
                    ]
                )  # fmt: skip
    headers = [
        "cell", "depth", "sizes", "bits per further parameter [95%]", "intercept (bits)", "R²",
        "most bits per parameter", f"bits per parameter, {published.SOURCE}",
    ]  # fmt: skip
    notes = [
        "A straight line through stored bits against parameters, by least squares; Student's interval for its slope."
    ]
    return Analysis("growth", run.label, "Is capacity linear in the number of parameters?", headers, rows, notes)


def _multipliers(run: _Run) -> Analysis | None:
    scored = known(run.studies, "bits_per_parameter")
    if scored.empty:
        return None
    table = scored.pivot_table(index=["depth", run.sized], columns="cell", values="bits_per_parameter")
    cells = [cell for cell in run.names if cell in table]
    if len(cells) < 2 or len(table) < 2:
        return None
    rows = []
    for y in cells:
        row = [run.names[y]]
        for x in cells:
            both = table[[x, y]].dropna() if x != y else table[[x]].dropna()
            row.append("1" if x == y else with_interval(*mean_ratio(list(both[y]), list(both[x])), _two))
        rows.append(row)
    notes = [
        "A cell of the table: by how much the parameters of the architecture above it must be multiplied to hold as much as the "
        "architecture on its left: the ratio of their mean bits per parameter over the sizes and depths that both have "
        "(the source's Figure 1i), with a 95% interval by resampling those. The source finds RNN > UGRNN > GRU > LSTM > +RNN "
        "by small margins, and the IRNN below them.",
    ]
    title = "Parameters needed for equal capacity"
    return Analysis("multipliers", run.label, title, ["as much as", *(run.names[x] for x in cells)], rows, notes)


def relu_only(run_trials: pd.DataFrame, sized: str) -> pd.DataFrame:
    """The best bits per parameter of each cell, depth, and size by nonlinearity: columns cell, depth, size, any, relu, tanh,
    and the numbers of trials; a cell without a choice of nonlinearities is left out."""
    rows = []
    if "hp_nonlinearity" not in run_trials:
        return pd.DataFrame(rows)
    complete = select(run_trials, state="complete")
    for (cell, depth, size), group in complete.groupby(["cell", "depth", sized]):  # pyright: ignore
        choices = known(group, "hp_nonlinearity")
        if choices.empty:
            continue
        bits = column(choices, "evaluation") / column(choices, "parameters")
        row = {
            "cell": cell,
            "depth": depth,
            "size": size,
            "parameters": int(choices["parameters"].iloc[0]),
            "any": bits.max(),
        }
        for kind in ("relu", "tanh"):
            chosen = bits[(choices["hp_nonlinearity"] == kind).to_numpy()]
            row |= {kind: chosen.max() if len(chosen) else math.nan, f"{kind} trials": len(chosen)}
        rows.append(row)
    return pd.DataFrame(rows)


def _nonlinearities(run: _Run) -> Analysis | None:
    best = relu_only(run.tuned(), run.sized)
    if best.empty:
        return None
    rows = []
    for (cell, depth), group in best.groupby(["cell", "depth"]):  # pyright: ignore
        both = pd.DataFrame(group.dropna())
        if both.empty:
            continue
        free, relu = column(both, "any"), column(both, "relu")
        ratio = mean_ratio(list(relu), list(free))
        counts = [str(int(column(both, f"{kind} trials").sum())) for kind in ("relu", "tanh")]
        values = [_two(float(free.mean())), _two(float(relu.mean())), with_interval(*ratio, _two)]
        rows.append([run.names[str(cell)], str(depth), str(len(both)), *values, *counts])
    headers = [
        "cell", "depth", "sizes", "bits per parameter, free choice", "ReLU only", "ratio [95%]", "ReLU trials", "tanh trials",
    ]  # fmt: skip
    notes = [
        "Means over sizes of the best trial, of all and of those with ReLU (the source's Figure 2a). The tuner spends fewer trials on "
        "the nonlinearity that does worse, which lowers its best a little further."
    ]
    return Analysis("nonlinearities", run.label, "What ReLU costs", headers, rows, notes)


def _samples(run: _Run) -> Analysis | None:
    rows = []
    for cell, name in run.names.items():
        of_cell = known(select(run.studies, cell=cell), "best")
        of_cell = pd.DataFrame(of_cell[of_cell["best"] > 0]) if len(of_cell) else of_cell
        if len(of_cell):
            ratio = column(of_cell, "samples") / column(of_cell, "best")
            rows.append([name, str(len(of_cell)), _two(ratio.min()), _two(float(np.median(ratio))), _two(ratio.max())])
    headers = ["cell", "studies", "least", "median", "most"]
    notes = [
        "The best trial's number of samples b, divided by the bits that it stored. In the source's appendix Figure 1 b is "
        "larger than the information stored, for all architectures at all sizes, and close to it."
    ]
    return Analysis("samples", run.label, "Samples b against bits stored", headers, rows, notes)


# -- what is scored on other data


def _iterations(run: _Run) -> Analysis | None:
    rows = []
    for depth, size, cells in run.groups(run.tuned()):
        for cell, trials in cells.items():
            scores = column(select(trials, state="complete"), "evaluation")
            scores = scores[np.isfinite(scores)]
            infeasible = len(select(trials, state="infeasible"))
            if len(scores):
                best = scores.max() if run.task.reporting.direction == "maximise" else scores.min()
                rows.append(
                    [
                        run.names[cell], str(depth), run.size(size), str(len(trials)), str(infeasible),
                        _three(float(np.median(scores))), _three(float(best)),
                    ]
                )  # fmt: skip
    headers = ["cell", "depth", "size", "trials", "infeasible", "median", "best"]
    kind = "random hyperparameters" if run.plan.experiment.sampler == "random" else "the tuner's hyperparameters"
    notes = [f"{run.task.reporting.score}, evaluation section, over the trials of {kind} that did not diverge."]
    return Analysis("iterations", run.label, "All trials: median and best", headers, rows, notes)


def trial_scores(trials: pd.DataFrame, task: TaskRecord) -> np.ndarray:
    """Evaluation scores in the order of trials; a trial that diverged, was stopped, or is worse than a random guess scores as
    a random guess."""
    scores = np.where(trials["state"] == "complete", column(trials, "evaluation"), math.nan)
    return np.fmax(scores, task.chance) if task.reporting.direction == "maximise" else np.fmin(scores, task.chance)


def _expected(run: _Run) -> Analysis | None:
    counts, rows = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024], []
    sign = 1 if run.task.reporting.direction == "maximise" else -1
    most = 0
    for depth, size, cells in run.groups(run.tuned()):
        for cell, trials in cells.items():
            best = expected_best(list(trial_scores(trials, run.task)), sign)
            most = max(most, len(best))
            texts = [_three(best[n - 1]) if n <= len(best) else formatting.MISSING for n in counts]
            rows.append([run.names[cell], str(depth), run.size(size), *texts])
    used = [n for n in counts if n <= most]
    headers = ["cell", "depth", "size", *(f"after {n}" for n in used)]
    notes = [
        "The score to be expected of the best of n of the trials done, drawn at random; one that diverged counts as a random guess. "
        "It shows what a search costs that is shorter than this one"
        + (
            "."
            if run.plan.experiment.sampler == "random"
            else "; since a tuner's trials get better, it is rather too low for the first of them."
        ),
    ]
    return Analysis(
        "expected-best",
        run.label,
        "Expected best score after n trials",
        headers,
        [row[: 3 + len(used)] for row in rows],
        notes,
    )


def _divergence(run: _Run) -> Analysis | None:
    if run.plan.experiment.sampler != "random":
        return None
    rows = []
    for depth, size, cells in run.groups(run.tuned()):
        for cell, trials in cells.items():
            fraction = share(len(select(trials, state="infeasible")), len(trials))
            printed = published.INFEASIBLE.get((cell, depth)) if run.parentheses else None
            percent = lambda value: f"{100 * value:.1f}%"  # noqa: E731
            rows.append(
                [
                    run.names[cell], str(depth), run.size(size), str(len(trials)), with_interval(*fraction, percent),
                    formatting.MISSING if printed is None else percent(printed),
                ]
            )  # fmt: skip
    headers = ["cell", "depth", "size", "trials", "infeasible [95%]", f"{published.SOURCE}, Table 1"]
    notes = [
        "Trials whose training loss diverged, with Wilson's interval. The source: 1000 trials, 200,000 parameters."
    ]
    return Analysis("infeasible", run.label, "How often do random hyperparameters diverge?", headers, rows, notes)


def _welch(run: _Run) -> Analysis | None:
    random = run.plan.experiment.sampler == "random"
    chosen = run.tuned() if random else select(run.trials, rerun=True)
    rows = []
    for depth, size, cells in run.groups(chosen):
        scores = {cell: column(select(trials, state="complete"), "evaluation") for cell, trials in cells.items()}
        finite = {cell: list(values[np.isfinite(values)]) for cell, values in scores.items()}
        for pair in welch(finite):
            printed = published.welch_t(pair.first, pair.second, depth) if run.parentheses and random else None
            rows.append(
                [
                    f"{run.names[pair.first]} / {run.names[pair.second]}", str(depth), run.size(size), _three(pair.difference),
                    _two(pair.t), formatting.significant(pair.df, 3), _p(pair.p), _p(pair.holm), _two(pair.effect),
                    formatting.MISSING if printed is None else formatting.significant(printed, 3),
                ]
            )  # fmt: skip
    headers = [
        "pair", "depth", "size", "difference of means", "t", "df", "p", "p, Holm", "Hedges' g", f"t, {published.SOURCE}",
    ]  # fmt: skip
    what = (
        "evaluation scores of all trials that did not diverge"
        if random
        else "evaluation scores of the reruns on fresh seeds"
    )
    notes = [
        f"Welch's t-test of {what}, for all pairs of cells at one depth and size; p is corrected by Holm's method for the pairs "
        "of that depth and size. Below 0: the second cell's mean is larger."
    ]
    return Analysis("welch", run.label, "Which differences are more than chance?", headers, rows, notes)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _robustness(run: _Run) -> Analysis | None:
    rows = []
    for row in records(known(run.studies, "best_trial")):
        reruns = select(run.trials, study=row["study"], rerun=True)
        reruns = pd.DataFrame(reruns[reruns["state"] != "running"])
        if len(reruns) < MANY_RERUNS:
            continue
        original = column(select(run.trials, study=row["study"], rerun=False, number=row["best_trial"]), "evaluation")
        values = column(select(reruns, state="complete"), "evaluation")
        infeasible = len(select(reruns, state="infeasible")) / len(reruns)
        if len(values) < 2:
            continue
        printed = published.RERUNS.get(row["cell"]) if run.parentheses and row["depth"] == 1 else None
        deviation = float(values.std(ddof=1))
        source = "" if printed is None else (
            f"{printed[0]:.3g}; {100 * printed[1]:.0f}%; {printed[2]:.3g}, {printed[3]:.3g}, {printed[4]:.3g}"
        )  # fmt: skip
        rows.append(
            [
                run.names[row["cell"]], str(row["depth"]), run.size(row[run.sized]), str(len(reruns)), _three(float(original[0])),
                f"{100 * infeasible:.0f}%", _three(values.min()), _three(values.mean()), _three(values.max()), _three(deviation),
                _two(deviation / values.mean()), source or formatting.MISSING,
            ]
        )  # fmt: skip
    headers = [
        "cell", "depth", "size", "reruns", "original", "infeasible", "min", "mean", "max", "SD", "SD / mean",
        f"{published.SOURCE}: original; infeasible; min, mean, max",
    ]  # fmt: skip
    notes = [
        f"The best hyperparameters trained again on fresh seeds: {run.task.reporting.score}, evaluation data, of those that "
        "did not diverge."
    ]
    return Analysis("robustness", run.label, "How much does the same trial vary?", headers, rows, notes)


_MEMORISED = (_growth, _multipliers, _nonlinearities, _samples)
_SCORED = (_iterations, _expected, _divergence, _robustness, _welch)
