"""Figures of the analyses: trials against the tuner's iterations, box plots, expected best scores, samples, and sweeps."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from capax.experiments.record import RunRecord, TaskRecord
from capax.report import formatting
from capax.report.analyses import relu_only, trial_scores
from capax.report.figures import WIDTH, Drawing, handle, legend, slug
from capax.report.rows import column, known, select
from capax.report.statistics import expected_best_band
from capax.report.style import GREY, Style, look, styles

Panel = tuple[int, float]


def drawings(frame: pd.DataFrame, trials: pd.DataFrame, plan: RunRecord) -> list[Drawing]:
    """All figures for which there are data."""
    found: list[Drawing | None] = []
    with look():
        for label, task in plan.tasks.items():
            of_task = select(trials, task=label, rerun=False)
            of_task = pd.DataFrame(of_task[of_task["state"] != "running"])
            shown = styles(plan.of(label).cells)
            if select(of_task, state="complete").empty:
                continue
            if task.reporting.memorised:
                found.append(_nonlinearities(of_task, label, shown, plan))
                found.append(_samples(select(frame, task=label), label, shown))
            else:
                random = plan.experiment.sampler == "random"
                found.append(
                    _boxes(of_task, label, task, shown, plan)
                    if random
                    else _iterations(of_task, label, task, shown, plan)
                )
                found.append(_expected(of_task, label, task, shown, plan))
        found += [_sweep(frame, name, plan) for name in dict.fromkeys(task.name for task in plan.tasks.values())]
    return [drawing for drawing in found if drawing is not None]


def _panels(trials: pd.DataFrame, plan: RunRecord, label: str) -> tuple[str, list[Panel]]:
    sized = plan.of(label).sized
    return sized, sorted({(int(d), float(s)) for d, s in zip(trials["depth"], trials[sized], strict=True)})


def _title(panel: Panel, panels: list[Panel], sized: str) -> str:
    unit = "units" if sized == "units" else "parameters"
    parts = [formatting.layers(panel[0])] if len({depth for depth, _ in panels}) > 1 else []
    parts += [f"{formatting.count(panel[1])} {unit}"] if len({size for _, size in panels}) > 1 or not parts else []
    return ", ".join(parts)


def _grid(panels: int, most: int, *, share_x: bool) -> tuple[Figure, np.ndarray]:
    """A figure with so many panels, at most `most` in a row."""
    columns = min(most, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(WIDTH, 1.0 + 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=True)
    for axes in grid.flat[panels:]:
        axes.remove()
    return figure, grid


def _log_or_linear(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic axis where scores lie above 0 and span more than a factor of 5."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 5 * finite.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.significant(float(value), 1)))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _iterations(
    trials: pd.DataFrame, label: str, task: TaskRecord, shown: dict[str, Style], plan: RunRecord
) -> Drawing:
    """Above the running median, below the running best, one column a depth and size; dots are trials."""
    sized, panels = _panels(trials, plan, label)
    columns = min(4, len(panels))
    blocks = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, 0.8 + 4.4 * blocks), layout="constrained")
    grid = figure.subplots(2 * blocks, columns, squeeze=False, sharex=True, sharey=True)
    best = np.fmax.accumulate if task.reporting.direction == "maximise" else np.fmin.accumulate
    rows: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = [("median", _running_median), ("best", best)]
    every = []
    for place, panel in enumerate(panels):
        of_panel = select(trials, depth=panel[0], **{sized: panel[1]})
        for row, (word, accumulate) in enumerate(rows):
            axes = grid[2 * (place // columns) + row, place % columns]
            for cell, style in shown.items():
                of_cell = select(of_panel, cell=cell).sort_values("number")
                scores = np.where(of_cell["state"] == "complete", column(of_cell, "evaluation"), math.nan)
                if not np.isfinite(scores).any():
                    continue
                number = np.arange(1, len(scores) + 1)
                every.append(scores)
                axes.plot(number, scores, linestyle="none", marker=".", markersize=3.5, color=style.colour, alpha=0.45)
                axes.plot(number, accumulate(scores), color=style.colour, linestyle=style.line)
            axes.set_title(f"{_title(panel, panels, sized)}: {word}" if len(panels) > 1 else word)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
    for unused in range(len(panels), blocks * columns):
        for row in range(2):
            grid[2 * (unused // columns) + row, unused % columns].remove()
    if every:
        _log_or_linear(grid[0, 0], np.concatenate(every))
    figure.supxlabel("trials of the tuner", fontsize=10.5)
    figure.supylabel(task.reporting.score, fontsize=10.5)
    legend(figure, [handle(style, marker="") for cell, style in shown.items() if len(select(trials, cell=cell))])
    caption = (
        f"{task.reporting.score}, evaluation section, against the number of trials: dots are trials, lines the median and the best of "
        "those done so far. Trials that diverged are not in them (see the table)."
    )
    return Drawing(f"{slug(label)}-iterations", label, figure, caption)


def _running_median(scores: np.ndarray) -> np.ndarray:
    return np.asarray(
        [np.nanmedian(scores[: n + 1]) if np.isfinite(scores[: n + 1]).any() else math.nan for n in range(len(scores))]
    )


def _boxes(trials: pd.DataFrame, label: str, task: TaskRecord, shown: dict[str, Style], plan: RunRecord) -> Drawing:
    sized, panels = _panels(trials, plan, label)
    figure, grid = _grid(len(panels), 2, share_x=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        of_panel = select(trials, depth=panel[0], **{sized: panel[1]})
        cells = [cell for cell in shown if len(select(of_panel, cell=cell))]
        scores = [column(select(of_panel, cell=cell, state="complete"), "evaluation") for cell in cells]
        scores = [values[np.isfinite(values)] for values in scores]
        boxes = axes.boxplot(
            scores, widths=0.6, patch_artist=True, flierprops={"marker": ".", "markersize": 3}, whis=(5, 95)
        )
        for box, median, cell in zip(boxes["boxes"], boxes["medians"], cells, strict=True):
            box.set(facecolor=shown[cell].colour, alpha=0.55, edgecolor=shown[cell].colour)
            median.set(color="black", linewidth=1.4)
        axes.set_xticks(range(1, len(cells) + 1), [shown[cell].label for cell in cells], rotation=35, ha="right")
        axes.axhline(task.chance, color=GREY, linewidth=1.0, zorder=1)
        axes.set_title(_title(panel, panels, sized))
    if task.reporting.direction == "minimise" and grid[0, 0].get_ylim()[1] > 1.5 * task.chance:
        grid[0, 0].set_ylim(0, 1.5 * task.chance)  # what lies far above a random guess would hide the rest
    figure.supylabel(task.reporting.score, fontsize=10.5)
    caption = (
        f"{task.reporting.score}, evaluation section, of trials with random hyperparameters that did not diverge. Boxes: quartiles; line: "
        "median; whiskers: 5th and 95th percentile; dots: trials beyond them; grey line: a random guess."
    )
    return Drawing(f"{slug(label)}-boxes", label, figure, caption)


def _expected(trials: pd.DataFrame, label: str, task: TaskRecord, shown: dict[str, Style], plan: RunRecord) -> Drawing:
    sized, panels = _panels(trials, plan, label)
    figure, grid = _grid(len(panels), 3, share_x=True)
    sign, every = (1 if task.reporting.direction == "maximise" else -1), []
    for axes, panel in zip(grid.flat, panels, strict=False):
        of_panel = select(trials, depth=panel[0], **{sized: panel[1]})
        for cell, style in shown.items():
            of_cell = select(of_panel, cell=cell).sort_values("number")
            if of_cell.empty:
                continue
            best, low, high = expected_best_band(list(trial_scores(of_cell, task)), sign)
            number = np.arange(1, len(best) + 1)
            every.append(best)
            axes.fill_between(number, low, high, color=style.colour, alpha=0.15, linewidth=0)
            axes.plot(number, best, color=style.colour, linestyle=style.line)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.count(float(value))))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(_title(panel, panels, sized))
    _log_or_linear(grid[0, 0], np.concatenate(every))
    figure.supxlabel("trials", fontsize=10.5)
    figure.supylabel(f"expected best\n{task.reporting.score}", fontsize=10.5)
    legend(figure, [handle(style, marker="") for cell, style in shown.items() if len(select(trials, cell=cell))])
    caption = (
        "The score to be expected of the best of n trials drawn from those done, with a 95% band by resampling them. One that diverged "
        "scores as a random guess."
    )
    return Drawing(f"{slug(label)}-expected-best", label, figure, caption)


def _nonlinearities(trials: pd.DataFrame, label: str, shown: dict[str, Style], plan: RunRecord) -> Drawing | None:
    """Free choice and ReLU only against parameters, one panel a depth."""
    best = relu_only(trials, plan.of(label).sized)
    if best.empty or len(set(best["size"])) < 2:
        return None
    depths = sorted(set(best["depth"]))
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    grid = figure.subplots(1, len(depths), squeeze=False, sharey=True)
    for axes, depth in zip(grid.flat, depths, strict=True):
        for cell, style in shown.items():
            of_cell = select(best, cell=cell, depth=depth).sort_values("parameters")
            for kind, line in (("any", "-"), ("relu", (0, (4, 2)))):
                if len(of_cell):
                    axes.plot(
                        of_cell["parameters"], of_cell[kind], color=style.colour, linestyle=line, marker=style.marker
                    )
        axes.set_title(formatting.layers(int(depth)) if len(depths) > 1 else "")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    grid[0, 0].set_ylim(bottom=0)  # shared; once all are drawn
    figure.supxlabel("parameters", fontsize=10.5)
    figure.supylabel("stored bits per parameter", fontsize=10.5)
    present = [handle(style) for cell, style in shown.items() if len(select(best, cell=cell))]
    dashed = Line2D([], [], color=GREY, linestyle=(0, (4, 2)), label="ReLU only")
    legend(figure, [*present, Line2D([], [], color=GREY, label="free choice"), dashed])
    caption = "Bits per parameter of the best trial of all (solid) and of the best with ReLU (dashed), for cells that can have either."
    return Drawing(f"{slug(label)}-relu-only", label, figure, caption)


def _samples(studies: pd.DataFrame, label: str, shown: dict[str, Style]) -> Drawing | None:
    scored = known(studies, "samples")
    scored = pd.DataFrame(scored[scored["best"] > 0]) if len(scored) else scored
    if len(scored) < 3:
        return None
    figure = Figure(figsize=(WIDTH * 0.75, 4.4), layout="constrained")
    axes = figure.subplots()
    for cell, style in shown.items():
        of_cell = select(scored, cell=cell)
        axes.plot(
            of_cell["best"], of_cell["samples"], linestyle="none", marker=style.marker, color=style.colour, alpha=0.85
        )
    ends = np.asarray([scored["best"].min() / 1.3, scored["best"].max() * 1.3])
    axes.plot(ends, ends, color=GREY, linewidth=1.0, zorder=1)
    axes.annotate("b = bits", (1.3 * ends[0], 1.1 * ends[0]), ha="left", va="top", fontsize=9, color=GREY)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: formatting.count(float(value))))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: formatting.count(float(value))))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("stored bits (mutual information) of the best trial")
    axes.set_ylabel("samples b of the best trial")
    legend(figure, [handle(style, line="none") for cell, style in shown.items() if len(select(scored, cell=cell))])
    caption = "The number of samples b that the tuner chose against the bits that were stored, one point a study."
    return Drawing(f"{slug(label)}-samples", label, figure, caption)


def _sweep(frame: pd.DataFrame, name: str, plan: RunRecord) -> Drawing | None:
    """The score against the one option that is swept, where there is one with numbers."""
    variants = plan.experiment.variants(name)
    options = list(variants[0])
    if (
        len(options) != 1
        or len(variants) < 2
        or not all(isinstance(variant[options[0]], int | float) for variant in variants)
    ):
        return None
    option = options[0]
    values = {label: float(task.options[option]) for label, task in plan.tasks.items() if task.name == name}
    task = plan.tasks[next(iter(values))]
    best = "bits_per_parameter" if task.reporting.memorised else "best"
    low, high = (f"{best}_low", f"{best}_high") if task.reporting.memorised else ("low", "high")
    rows = known(pd.DataFrame(frame[frame["task"].isin(list(values))]), best)
    if rows.empty:
        return None
    sized = plan.experiment.for_task(name).sized
    panels = sorted({(int(d), float(s)) for d, s in zip(rows["depth"], rows[sized], strict=True)})
    shown = styles(plan.experiment.for_task(name).cells)
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, panels, strict=True):
        for cell, style in shown.items():
            of_cell = select(rows, cell=cell, depth=panel[0], **{sized: panel[1]})
            if of_cell.empty:
                continue
            x = np.asarray([values[task_label] for task_label in of_cell["task"]])
            order = np.argsort(x)
            y, l, h = (column(of_cell, key)[order] for key in (best, low, high))
            half = np.clip(np.stack([y - l, h - y]), 0, None)
            axes.errorbar(
                x[order],
                y,
                yerr=half,
                color=style.colour,
                linestyle=style.line,
                marker=style.marker,
                capsize=3,
                elinewidth=1.1,
            )
        axes.set_title(_title(panel, panels, sized) if len(panels) > 1 else "")
        axes.set_xlabel(option.replace("_", " "))
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(values.values()))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    if task.reporting.memorised:
        grid[0, 0].set_ylim(bottom=0)
    grid[0, 0].set_ylabel("stored bits per parameter" if task.reporting.memorised else task.reporting.score)
    legend(figure, [handle(style) for cell, style in shown.items() if len(select(rows, cell=cell))])
    label = next(label for label in values)
    caption = f"Against {option.replace('_', ' ')}: each point is a study of its own, with its 95% interval."
    return Drawing(f"{slug(name)}-{slug(option)}", label, figure, caption)
