"""The figures: scores against parameters, and the best score so far against trials."""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from capax.experiments.record import RunRecord, TaskRecord
from capax.report import formatting
from capax.report.rerun_figure import CAPTION, rerun_figure, spans_decades
from capax.report.rows import column, known, select
from capax.report.style import GREY, Style, look, styles

WIDTH, HEIGHT = 7.0, 4.3
GUIDE = 5.0
"""Bits per parameter that Collins et al. (2017) found cells to approach: the guide line."""

INCHES_A_LETTER = 0.085
"""About the width of a letter in the figures' font."""

LEAST_SHARE = 0.3
"""Of the height of a panel, for the data: a reference line that would leave them less is named at the edge instead."""

LINE_OF_TEXT = 0.058
"""The height of a line of text, as a share of a panel's height."""

LOGARITHMIC = 8.0
"""Both axes are logarithmic where the largest budget is at least so many times the smallest."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure, the name of its files, and what must be said below it."""

    name: str
    task: str
    figure: Figure
    caption: str


@dataclasses.dataclass(frozen=True)
class _Reference:
    """A line to compare with: a constant score, or a number of bits `per_parameter`."""

    label: str
    value: float
    per_parameter: bool = False
    always: bool = True


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """What a figure's x axis shows: a column of the studies' table, the sizes that the design names, their label."""

    column: str
    ticks: list[int]
    label: str

    @property
    def single(self) -> bool:
        """Whether there is no line to draw: the cells stand side by side instead."""
        return len(self.ticks) == 1

    @property
    def wide(self) -> bool:
        return max(self.ticks) >= LOGARITHMIC * min(self.ticks)


@dataclasses.dataclass(frozen=True)
class _Quantity:
    """What a figure shows against sizes: columns of the studies' table, its axis, and what to compare with."""

    name: str
    label: str
    best: str
    low: str
    high: str
    bound: str | None
    references: tuple[_Reference, ...]
    from_zero: bool
    proportional: bool
    caption: str


def drawings(frame: pd.DataFrame, trials: pd.DataFrame, plan: RunRecord) -> list[Drawing]:
    """All figures for which there are data."""
    found: list[Drawing] = []
    with look():
        for label, task in plan.tasks.items():
            shown = styles(plan.of(label).cells)
            studies = select(frame, task=label)
            for quantity in _quantities(label, task):
                if len(known(studies, quantity.best)):
                    found += _against_sizes(label, task, studies, quantity, shown, plan)
            of_task = select(trials, task=label, rerun=False)
            of_task = pd.DataFrame(of_task[of_task["state"] != "running"])
            if len(of_task):
                found.append(_best_so_far(of_task, label, plan, shown))
        found += _reruns(trials, plan)
    return found


def _reruns(trials: pd.DataFrame, plan: RunRecord) -> list[Drawing]:
    """Of each task, all its variants in one figure, where reruns are decades apart."""
    found = []
    for name in dict.fromkeys(task.name for task in plan.tasks.values()):
        labels = [label for label, task in plan.tasks.items() if task.name == name]
        own = pd.DataFrame(trials[trials["rerun"] & trials["task"].isin(labels) & (trials["state"] != "running")])
        if own.empty or not spans_decades(own):
            continue
        own = own.assign(variant=[label.partition(", ")[2] or name for label in own["task"]])
        task = plan.tasks[labels[0]]
        figure = rerun_figure(own, task.reporting.score, styles(plan.of(labels[0]).cells))
        found.append(Drawing(f"{slug(name)}-reruns", labels[0], figure, CAPTION))
    return found


def _against_sizes(
    label: str, task: TaskRecord, studies: pd.DataFrame, quantity: _Quantity, shown: dict[str, Style], plan: RunRecord
) -> list[Drawing]:
    """Against parameters and, for a score, against units: the plain question of what one unit can carry."""
    design = plan.of(label)
    by_units = _Sizes("units", design.units or sorted(set(studies["units"])), "units per layer")
    if design.units:
        figure = _panels(studies, quantity, shown, by_units, task)
        return [Drawing(quantity.name, label, figure, quantity.caption.replace("parameters", "units per layer"))]
    by_parameters = _Sizes("parameters", sorted(design.budgets), "parameters (ticks at the budgets)")
    drawn = [Drawing(quantity.name, label, _panels(studies, quantity, shown, by_parameters, task), quantity.caption)]
    if not task.reporting.memorised and not by_parameters.single:
        figure = _panels(studies, quantity, shown, by_units, task)
        caption = quantity.caption.replace("parameters", "units per layer")
        drawn.append(Drawing(f"{quantity.name}-by-units", label, figure, caption))
    return drawn


def _quantities(label: str, task: TaskRecord) -> list[_Quantity]:
    return _memorised(label) if task.reporting.memorised else [_scored(label, task)]


def _memorised(label: str) -> list[_Quantity]:
    bars = "Filled: mutual information of the best trial, with Wilson's 95% interval. Open: the largest compression bound of any trial."
    guide = f"{GUIDE:.0f} bits per parameter"
    return [
        _Quantity(
            name=f"{slug(label)}-bits-per-parameter",
            label="stored bits per parameter",
            best="bits_per_parameter",
            low="bits_per_parameter_low",
            high="bits_per_parameter_high",
            bound="compression_bits_per_parameter",
            references=(_Reference(guide, GUIDE, always=False),),
            from_zero=True,
            proportional=False,
            caption=f"Stored bits per parameter against parameters. {bars}",
        ),
        _Quantity(
            name=f"{slug(label)}-stored-bits",
            label="stored information (bits)",
            best="best",
            low="low",
            high="high",
            bound="compression_bits",
            references=(_Reference(guide, GUIDE, per_parameter=True, always=False),),
            from_zero=True,
            proportional=True,
            caption=f"Stored bits against parameters. {bars}",
        ),
    ]


def _scored(label: str, task: TaskRecord) -> _Quantity:
    baselines = tuple(_Reference(baseline.name, baseline.value) for baseline in task.baselines)
    return _Quantity(
        name=f"{slug(label)}-{slug(task.reporting.score)}",
        label=task.reporting.score,
        best="best",
        low="low",
        high="high",
        bound=None,
        references=(*baselines, _Reference("random guess", task.chance, always=False)),
        from_zero=False,
        proportional=False,
        caption=f"{_capital(task.reporting.score)} on the evaluation section against parameters: the mean over reruns on fresh seeds, "
        "with Student's 95% interval (in full in the table). Lines: what simple methods score on the same section.",
    )


def slug(text: str) -> str:
    """Words as a file's name has them."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _panels(
    studies: pd.DataFrame, quantity: _Quantity, shown: dict[str, Style], sizes: _Sizes, task: TaskRecord
) -> Figure:
    """One panel a depth. With a single size there is no line to draw, and the cells stand side by side instead."""
    depths = sorted(set(studies["depth"]))
    columns = min(2, len(depths))
    rows = math.ceil(len(depths) / columns)
    figure = Figure(figsize=(WIDTH, HEIGHT if rows == 1 else 1.0 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    single, logarithmic = sizes.single, sizes.wide
    limits = _limits(studies, quantity, logarithmic and quantity.proportional)
    for axes, depth in zip(grid.flat, depths, strict=False):
        of_depth = select(studies, depth=depth)
        _draw(axes, of_depth, quantity, shown, sizes)
        if single:
            _cells_axis(axes, of_depth, shown, sizes)
        else:
            _sizes_axis(axes, of_depth, quantity, sizes)
        if quantity.proportional and logarithmic:
            _logarithmic(axes)
        axes.set_ylim(*limits)
        _references(axes, of_depth, quantity, limits, single, named=axes is grid[0, -1])
        if sizes.column == "units" and not single:
            _least_score(axes, task)
        if len(depths) > 1:
            axes.set_title(formatting.layers(int(depth)))
    _finish(figure, grid, len(depths), _x_label(sizes), quantity.label)
    _make_room(figure, grid[0, -1])
    legend(figure, _handles(shown, known(studies, quantity.best), quantity.bound is not None))
    return figure


def _logarithmic(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers; an interval that reaches to zero runs out of the panel."""
    axes.set_yscale("log", nonpositive="clip")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.significant(float(value), 1)))


def _make_room(figure: Figure, axes: Axes) -> None:
    """Beside several panels the names of reference lines get a margin of their own, or they would part the panels."""
    if len(figure.axes) > 1 and len(axes.texts):
        for text in axes.texts:
            text.set_in_layout(False)
        figure.set_layout_engine("constrained", rect=(0, 0, 0.79, 1))


def _x_label(sizes: _Sizes) -> str:
    return f"cell, and its number of {sizes.column}" if sizes.single else sizes.label


def _least_score(axes: Axes, task: TaskRecord) -> None:
    """What no network with so many units can do better than, where the task knows it."""
    if task.least_scores:
        low, high = axes.get_xlim()
        units, least = np.asarray([pair for pair in task.least_scores if low <= pair[0] <= high]).reshape(-1, 2).T
        axes.plot(units, least, color=GREY, linestyle=(0, (4, 2)), linewidth=1.2, zorder=1)


def _draw(axes: Axes, rows: pd.DataFrame, quantity: _Quantity, shown: dict[str, Style], sizes: _Sizes) -> None:
    for place, (cell, style) in enumerate(shown.items()):
        of_cell = known(select(rows, cell=cell), quantity.best).sort_values(sizes.column)
        if of_cell.empty:
            continue
        x = np.full(len(of_cell), float(place)) if sizes.single else column(of_cell, sizes.column)
        y, low, high = (column(of_cell, name) for name in (quantity.best, quantity.low, quantity.high))
        if quantity.bound is not None:
            bound = column(of_cell, quantity.bound)
            open_ = {"markerfacecolor": "white", "markeredgecolor": style.colour, "markersize": 5.5}
            axes.plot(x, bound, color=style.colour, linestyle=style.line, linewidth=0.7, marker=style.marker, **open_)
        half = np.clip(np.stack([y - low, high - y]), 0, None)
        axes.errorbar(
            x,
            y,
            yerr=half,
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markeredgecolor="white",
            markeredgewidth=0.6,
            elinewidth=1.1,
            capsize=3,
            zorder=3,
        )


def _sizes_axis(axes: Axes, rows: pd.DataFrame, quantity: _Quantity, sizes: _Sizes) -> None:
    """Ticks at the sizes, as many as there is room for; from zero where a slope is what matters."""
    least, most = float(min(rows[sizes.column])), float(max(sizes.ticks))
    if quantity.proportional and not sizes.wide:
        axes.set_xlim(0, 1.06 * most)
    else:
        margin = (most / least) ** 0.08
        axes.set_xscale("log")
        axes.set_xlim(least / margin, most * margin)
    axes.xaxis.set_major_locator(FixedLocator(_apart(axes, sorted(sizes.ticks))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.count(float(value))))


def _apart(axes: Axes, budgets: list[int], least: float = 0.12) -> list[int]:
    """The largest budget and those below it that are far enough apart for their labels."""
    places = axes.transAxes.inverted().transform(axes.transData.transform([(budget, 1.0) for budget in budgets]))[:, 0]
    chosen = [len(budgets) - 1]
    for number in range(len(budgets) - 2, -1, -1):
        if places[chosen[-1]] - places[number] >= least:
            chosen.append(number)
    return sorted(budgets[number] for number in chosen)


def _cells_axis(axes: Axes, rows: pd.DataFrame, shown: dict[str, Style], sizes: _Sizes) -> None:
    """One place a cell, with its name and its size; aslant where the names are too long."""
    parameters = dict(zip(rows["cell"], rows[sizes.column], strict=True))
    texts = [
        f"{style.label}\n{formatting.count(parameters[cell]) if cell in parameters else 'left out'}"
        for cell, style in shown.items()
    ]
    lengths = [len(text.split("\n")[0]) for text in texts]
    widest = max((one + other for one, other in itertools.pairwise(lengths)), default=0) / 2 * INCHES_A_LETTER
    aslant = widest > axes.get_position().width * WIDTH * 0.85 / len(texts)
    axes.set_xticks(range(len(texts)), texts, rotation=35 if aslant else 0, ha="right" if aslant else "center")
    axes.set_xlim(-0.6, len(texts) - 0.4)


def _limits(studies: pd.DataFrame, quantity: _Quantity, logarithmic: bool) -> tuple[float, float]:
    """The range of y: all points, their intervals, and the reference lines that leave the points enough room."""
    low, high = _range(studies, quantity, logarithmic)
    data = max(high - low, 0.02 * abs(high), 1e-9)
    for reference in sorted(quantity.references, key=lambda reference: not reference.always):
        value = reference.value * (float(max(studies["parameters"])) * 1.06 if reference.per_parameter else 1.0)
        wider = min(low, value), max(high, value)
        share = data / (wider[1] - wider[0]) if wider[1] > wider[0] else 1.0
        if reference.always or logarithmic or share >= LEAST_SHARE:
            low, high = wider
    if logarithmic:
        return low / 1.5, high * 1.5
    margin = 0.06 * max(high - low, 0.02 * abs(high), 1e-9)
    return (0.0 if quantity.from_zero else low - margin), high + margin


def _range(studies: pd.DataFrame, quantity: _Quantity, logarithmic: bool) -> tuple[float, float]:
    """The range of the points and their intervals. An interval of two or three reruns can be so wide that nothing else
    could be seen: it widens the range by no more than the range of points and baselines, and runs out of the panel."""
    points = _finite(studies, [quantity.best, quantity.bound], logarithmic)
    ends = _finite(studies, [quantity.low, quantity.high], logarithmic)
    if not len(points):
        return 0.1, 1.0
    if quantity.from_zero:
        every = np.concatenate([points, ends])
        return (float(points.min()) if logarithmic else 0.0), float(every.max())
    points = np.concatenate([points, [reference.value for reference in quantity.references if reference.always]])
    low, high = float(points.min()), float(points.max())
    span = max(high - low, 0.1 * abs(high))
    ends = np.clip(np.append(ends, [low, high]), low - span, high + span)
    return float(ends.min()), float(ends.max())


def _finite(studies: pd.DataFrame, columns: list[str | None], positive: bool) -> np.ndarray:
    values = np.concatenate([column(studies, name) for name in columns if name is not None])
    values = values[np.isfinite(values)]
    return values[values > 0] if positive else values


def _references(
    axes: Axes, rows: pd.DataFrame, quantity: _Quantity, limits: tuple[float, float], single: bool, named: bool
) -> None:
    """Thin grey lines, named beside the panel's right edge; those out of range are only named, with an arrow."""
    ends: list[tuple[float, str]] = []
    above: list[str] = []
    scale = _unit_interval(axes, limits)
    for reference in quantity.references:
        end = _end(axes, rows, reference, single)
        text = reference.label if reference.per_parameter or reference.value == GUIDE else _with_value(reference)
        if limits[0] <= end <= limits[1]:
            _line(axes, reference, end, single)
            ends.append((scale(end), text))
        elif end > limits[1]:
            above.append(f"↑ {text}")
        else:
            ends.append((0.0, f"↓ {text}"))
    if named:
        axes.set_title(", ".join(above), loc="right", fontsize=9, color=GREY)
        for (end, text), place in zip(ends, spread([end for end, _ in ends], LINE_OF_TEXT), strict=True):
            _name(axes, end, place, text)


def _with_value(reference: _Reference) -> str:
    return f"{reference.label} {formatting.significant(reference.value, 3)}"


def _name(axes: Axes, end: float, place: float, text: str) -> None:
    """The name of a line that ends at height `end`, written at `place`, with a thin line between the two."""
    shared: dict[str, Any] = {"xycoords": "axes fraction", "annotation_clip": False}
    if not text.startswith("↓"):
        arrow = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (1.0, end), (1.035, place), textcoords="axes fraction", arrowprops=arrow, **shared)
    axes.annotate(text, (1.045, place), va="center", fontsize=9, color=GREY, **shared)


def _unit_interval(axes: Axes, limits: tuple[float, float]) -> Callable[[float], float]:
    low, high = limits
    if axes.get_yscale() == "log":
        return lambda value: math.log(value / low) / math.log(high / low)
    return lambda value: (value - low) / (high - low)


def _end(axes: Axes, rows: pd.DataFrame, reference: _Reference, single: bool) -> float:
    """The height of a reference line at the panel's right edge."""
    if not reference.per_parameter:
        return reference.value
    return reference.value * (float(max(rows["parameters"])) if single else axes.get_xlim()[1])


def _line(axes: Axes, reference: _Reference, end: float, single: bool) -> None:
    shared: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "zorder": 1}
    if reference.per_parameter and not single:
        x = np.linspace(*axes.get_xlim(), 50)
        axes.plot(x, reference.value * x, scalex=False, scaley=False, **shared)
    else:
        axes.axhline(end, **shared)


def spread(places: Sequence[float], least: float) -> list[float]:
    """Places moved as little as needed to lie at least so far apart, in the same order: those too close form a cluster
    around their mean."""
    order = np.argsort(np.asarray(places, float), kind="stable")
    clusters: list[list[int]] = []
    for number in order:
        clusters.append([int(number)])
        while len(clusters) > 1 and _low(clusters[-1], places, least) < _high(clusters[-2], places, least) + least:
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    moved = [0.0] * len(places)
    for cluster in clusters:
        for row, number in enumerate(cluster):
            moved[number] = _low(cluster, places, least) + row * least
    return moved


def _low(cluster: list[int], places: Sequence[float], least: float) -> float:
    return sum(places[number] for number in cluster) / len(cluster) - least * (len(cluster) - 1) / 2


def _high(cluster: list[int], places: Sequence[float], least: float) -> float:
    return _low(cluster, places, least) + least * (len(cluster) - 1)


def _finish(figure: Figure, grid: np.ndarray, used: int, x_label: str, y_label: str) -> None:
    """Panels that are not used away; axis labels where there is one for all."""
    for axes in grid.flat[used:]:
        axes.remove()
    if used == 1:
        grid[0, 0].set_xlabel(x_label)
        grid[0, 0].set_ylabel(y_label)
    else:
        figure.supxlabel(x_label, fontsize=10.5)
        figure.supylabel(y_label, fontsize=10.5)


def _handles(shown: dict[str, Style], drawn: pd.DataFrame, bound: bool) -> list[Line2D]:
    present = set(drawn["cell"])
    handles = [handle(style) for cell, style in shown.items() if cell in present]
    if bound:
        open_ = {"markerfacecolor": "white", "markeredgecolor": GREY, "markersize": 5.5}
        handles.append(Line2D([], [], color=GREY, linewidth=0.7, marker="o", label="compression bound", **open_))
    return handles


def handle(style: Style, *, line: Any = None, marker: str | None = None) -> Line2D:
    """A cell's entry in a legend."""
    return Line2D(
        [],
        [],
        color=style.colour,
        linestyle=style.line if line is None else line,
        marker=style.marker if marker is None else marker,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=style.label,
    )


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """Above the panels, where it covers nothing."""
    texts = [len(str(handle.get_label())) for handle in handles]
    fitting = [number for number in range(1, len(texts) + 1) if _legend_width(texts, number) <= WIDTH]
    rows = math.ceil(len(texts) / max(fitting, default=1))
    columns = math.ceil(len(texts) / rows)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, columnspacing=1.4, handletextpad=0.5)


def _legend_width(texts: list[int], columns: int) -> float:
    """About how wide a legend is, in inches; its columns are filled one after the other."""
    rows = math.ceil(len(texts) / columns)
    return sum(0.8 + INCHES_A_LETTER * max(texts[start : start + rows]) for start in range(0, len(texts), rows))


def _best_so_far(trials: pd.DataFrame, label: str, plan: RunRecord, shown: dict[str, Style]) -> Drawing:
    """One panel a depth and size, one line a cell: the best validation score of the trials done so far."""
    task, sized, unit = plan.tasks[label], plan.of(label).sized, "units" if plan.of(label).units else "parameters"
    panels = sorted(set(zip(trials["depth"], trials[sized], strict=True)))
    columns = min(3, len({size for _, size in panels}))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, 1.4 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=not task.reporting.memorised)
    deep = len({depth for depth, _ in panels}) > 1
    for axes, (depth, size) in zip(grid.flat, panels, strict=False):
        of_panel = select(trials, depth=depth, **{sized: size})
        _draw_best(axes, of_panel, task, shown)
        title = f"{formatting.count(size)} {unit}"
        axes.set_title(f"{title}, {formatting.layers(int(depth))}" if deep else title)
    _finish(figure, grid, len(panels), "trials done", f"best {task.reporting.score}")
    handles = _handles(shown, trials, bound=False)
    if len(select(trials, state="infeasible")):
        handles.append(Line2D([], [], color=GREY, linestyle="none", marker="x", label="infeasible"))
    legend(figure, handles)
    caption = (
        "Best validation score so far against the number of trials done: what the tuner sees. Markers: improvements. "
        "Crosses below the axis: trials that diverged, one row a cell. A score worse than a random guess is not drawn."
    )
    return Drawing(f"{slug(label)}-best-so-far", label, figure, caption)


def _draw_best(axes: Axes, trials: pd.DataFrame, task: TaskRecord, shown: dict[str, Style]) -> None:
    failing = [cell for cell in shown if len(select(trials, cell=cell, state="infeasible"))]
    for cell in [cell for cell in shown if len(select(trials, cell=cell))]:
        of_cell = select(trials, cell=cell).sort_values("number")
        style = shown[cell]
        number, best = column(of_cell, "number") + 1, _running_best(of_cell, task)
        improved = np.flatnonzero(np.diff(best, prepend=np.nan) != 0) if len(best) else []
        improved = [place for place in improved if np.isfinite(best[place])]
        axes.plot(
            number,
            best,
            drawstyle="steps-post",
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markevery=improved,
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
        )
        if cell in failing:
            diverged = column(select(of_cell, state="infeasible"), "number") + 1
            _crosses(axes, diverged, failing.index(cell), style)
    axes.tick_params(axis="x", pad=4 + 9 * len(failing))
    if task.reporting.memorised:
        axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))


def _crosses(axes: Axes, trials: np.ndarray, row: int, style: Style) -> None:
    """Infeasible trials of one cell, in a row of its own between the axis and its ticks' labels."""
    axes.plot(
        trials,
        np.full(len(trials), -0.04 - 0.05 * row),
        "x",
        color=style.colour,
        markersize=4.5,
        markeredgewidth=1.4,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )


def _running_best(trials: pd.DataFrame, task: TaskRecord) -> np.ndarray:
    """The best score so far, NaN until there is one that is no worse than a random guess."""
    maximise = task.reporting.direction == "maximise"
    scores = np.where(trials["state"] == "complete", column(trials, "validation"), math.nan)
    worst = -math.inf if maximise else math.inf
    scores = np.where(np.isnan(scores), worst, scores)
    best = np.maximum.accumulate(scores) if maximise else np.minimum.accumulate(scores)
    return np.where(best >= task.chance if maximise else best <= task.chance, best, math.nan)
