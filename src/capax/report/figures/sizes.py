"""Scores against the size of networks: stored bits, bits per parameter, and scores on other
data.
"""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from capax.report import formatting
from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import HEIGHT, INCHES_A_LETTER, LOG, WIDTH, drop_unused, handle, label_axes, legend
from capax.report.figures.references import Reference, draw_references
from capax.report.published import COLLINS
from capax.report.rows import column, known, records, select
from capax.report.style import GREY, Style
from capax.report.tabulation import interval_of_bits, score, with_interval
from capax.report.view import TaskView

LEAST_SHARE = 0.3
"""Of a panel's height, for the data: a reference line that would leave them less is only named."""

LOGARITHMIC = 8.0
"""Both axes are logarithmic where the largest budget is at least so many times the smallest."""

LEAST_DASHES: Any = (0, (4, 2))


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """What the x axis shows: a column of the studies' table, the design's sizes, and a label."""

    column: str
    ticks: list[int]
    label: str

    @property
    def single(self) -> bool:
        """Whether there is no line to draw: the cells stand side by side instead."""
        return len(self.ticks) == 1

    @property
    def wide(self) -> bool:
        """Whether sizes need a logarithmic axis even where a slope is what matters."""
        return max(self.ticks) >= LOGARITHMIC * min(self.ticks)

    def axis_label(self, *, linear: bool) -> str:
        """What stands below the axis."""
        if self.single:
            return f"cell, and its number of {self.column}"
        return self.label if linear else f"{self.label} {LOG}"


@dataclasses.dataclass(frozen=True)
class _Quantity:
    """What is shown against sizes: columns of the studies' table, its axis, and what to compare
    with.
    """

    name: str
    label: str
    best: str
    low: str
    high: str
    bound: str | None
    references: tuple[Reference, ...]
    from_zero: bool
    proportional: bool
    caption: str


def _has_data(view: TaskView) -> bool:
    return len(known(view.studies, "best")) > 0


def _draw(view: TaskView) -> list[Drawing]:
    """Against parameters and, for a score, against units: the plain question of what one unit can
    carry.
    """
    units = _Sizes("units", view.design.units or sorted(set(view.studies["units"])), "units per layer")
    if view.design.units:
        return [_drawing(view, quantity, units, "") for quantity in _quantities(view)]
    budgets = _Sizes("parameters", sorted(view.design.budgets), "parameters, ticks at the budgets")
    drawn = [_drawing(view, quantity, budgets, "") for quantity in _quantities(view)]
    if not view.task.reporting.memorised and not budgets.single:
        drawn += [_drawing(view, quantity, units, "-by-units") for quantity in _quantities(view)]
    return drawn


KIND = FigureKind(_has_data, _draw)


def _drawing(view: TaskView, quantity: _Quantity, sizes: _Sizes, suffix: str) -> Drawing:
    against = "units per layer" if sizes.column == "units" else "parameters"
    caption = quantity.caption.replace("SIZES", against)
    figure = _panels(view, quantity, sizes)
    return Drawing(f"{quantity.name}{suffix}", view.label, figure, caption, _alt(view, quantity, against))


def _alt(view: TaskView, quantity: _Quantity, against: str) -> str:
    """The numbers at the largest size of each depth."""
    text = score if quantity.best == "best" else lambda value: formatting.decimals(value, 2)
    parts = []
    for depth in sorted(set(view.studies["depth"])):
        of_depth = known(select(view.studies, depth=depth), quantity.best)
        for cell, name in view.names.items():
            rows = select(of_depth, cell=cell).sort_values("parameters")
            if len(rows):
                last = records(rows)[-1]
                values = with_interval(last[quantity.best], last[quantity.low], last[quantity.high], text)
                parts.append(
                    f"{name}, {formatting.layers(int(depth))}, {formatting.count(last['parameters'])} parameters: {values}"
                )
    return f"{quantity.label} against {against}. At the largest size: {'; '.join(parts)}."


def _quantities(view: TaskView) -> list[_Quantity]:
    return _memorised(view) if view.task.reporting.memorised else [_scored(view)]


def _memorised(view: TaskView) -> list[_Quantity]:
    label = view.label
    guide = f"{COLLINS.bits_per_parameter:.0f} bits per parameter"
    mean = f", the mean over {view.design.searches} searches" if view.several else ""
    bars = (
        f"Filled: mutual information of the best trial{mean}, with {interval_of_bits(several=view.several)} Open: the largest "
        f"compression bound of any trial. Grey line: {guide}, what {COLLINS.name} found larger networks to approach."
    )
    line = Reference(guide, COLLINS.bits_per_parameter, always=False, named=True)
    return [
        _Quantity(
            name=f"{slug(label)}-bits-per-parameter",
            label="stored bits per parameter",
            best="bits_per_parameter",
            low="bits_per_parameter_low",
            high="bits_per_parameter_high",
            bound="compression_bits_per_parameter",
            references=(line,),
            from_zero=True,
            proportional=False,
            caption=f"Stored bits per parameter against SIZES. {bars}",
        ),
        _Quantity(
            name=f"{slug(label)}-stored-bits",
            label="stored information (bits)",
            best="best",
            low="low",
            high="high",
            bound="compression_bits",
            references=(dataclasses.replace(line, per_parameter=True),),
            from_zero=True,
            proportional=True,
            caption=f"Stored bits against SIZES. {bars}",
        ),
    ]


def _scored(view: TaskView) -> _Quantity:
    task = view.task
    baselines = tuple(Reference(name, value) for name, value in view.baselines.items())
    what = f"{view.design.searches} searches" if view.several else "reruns on fresh seeds"
    return _Quantity(
        name=f"{slug(view.label)}-{slug(task.reporting.score)}",
        label=task.reporting.score,
        best="best",
        low="low",
        high="high",
        bound=None,
        references=(*baselines, Reference("random guess", task.chance, always=False)),
        from_zero=False,
        proportional=False,
        caption=f"{formatting.capital(task.reporting.score)} on {task.reporting.scored_on} against SIZES: the mean over {what}, "
        "with Student's 95% interval (in full in the table). Lines: what simple methods score on the same data.",
    )


def _panels(view: TaskView, quantity: _Quantity, sizes: _Sizes) -> Figure:
    """One panel a depth. With a single size there is no line to draw, and cells stand side by
    side.
    """
    studies, shown = view.studies, view.styles
    depths = sorted(set(studies["depth"]))
    columns = min(2, len(depths))
    rows = math.ceil(len(depths) / columns)
    figure = Figure(figsize=(WIDTH, HEIGHT if rows == 1 else 1.0 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    logarithmic = sizes.wide and quantity.proportional
    limits = _limits(studies, quantity, logarithmic)
    handles = _handles(shown, known(studies, quantity.best), quantity.bound is not None)
    for axes, depth in zip(grid.flat, depths, strict=False):
        of_depth = select(studies, depth=depth)
        _points(axes, of_depth, quantity, shown, sizes)
        (_cells_axis if sizes.single else _sizes_axis)(axes, of_depth, shown, quantity, sizes)
        if logarithmic:
            _logarithmic(axes)
        axes.set_ylim(*limits)
        on_edge = axes is grid[0, -1]
        draw_references(axes, of_depth, quantity.references, limits, single=sizes.single, named=on_edge)
        if sizes.column == "units" and not sizes.single:
            handles += _least_score(axes, view, first=axes is grid[0, 0])
        if len(depths) > 1:
            axes.set_title(formatting.layers(int(depth)))
    drop_unused(grid, len(depths))
    linear = quantity.proportional and not sizes.wide
    y_label = f"{quantity.label} {LOG}" if logarithmic else quantity.label
    label_axes(figure, list(grid.flat[: len(depths)]), sizes.axis_label(linear=linear), y_label)
    _make_room(figure, grid[0, -1])
    legend(figure, handles)
    return figure


def _logarithmic(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers; an interval that reaches to zero runs out of the
    panel.
    """
    axes.set_yscale("log", nonpositive="clip")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.significant(float(value), 1)))


def _make_room(figure: Figure, axes: Axes) -> None:
    """A margin for the names of reference lines beside several panels, or they would part the
    panels.
    """
    if len(figure.axes) > 1 and len(axes.texts):
        for text in axes.texts:
            text.set_in_layout(False)
        longest = max(len(text.get_text()) for text in axes.texts)
        width = 0.3 + 0.85 * INCHES_A_LETTER * longest
        figure.set_layout_engine("constrained", rect=(0, 0, 1 - width / figure.get_figwidth(), 1))


def _least_score(axes: Axes, view: TaskView, *, first: bool) -> list[Line2D]:
    """What no network with so many units can do better than, where the task knows it; its legend,
    once.
    """
    units, least = view.least_scores
    if not len(units):
        return []
    looks = {"color": GREY, "linestyle": LEAST_DASHES, "linewidth": 1.2}
    axes.plot(units, least, zorder=1, scalex=False, scaley=False, **looks)
    return [Line2D([], [], label="the least that so many units can do", **looks)] if first else []


def _points(axes: Axes, rows: pd.DataFrame, quantity: _Quantity, shown: dict[str, Style], sizes: _Sizes) -> None:
    for place, (cell, style) in enumerate(shown.items()):
        of_cell = known(select(rows, cell=cell), quantity.best).sort_values(sizes.column)
        if of_cell.empty:
            continue
        x = np.full(len(of_cell), float(place)) if sizes.single else column(of_cell, sizes.column)
        y, low, high = (column(of_cell, name) for name in (quantity.best, quantity.low, quantity.high))
        looks: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "marker": style.marker}
        if quantity.bound is not None:
            open_ = {"markerfacecolor": "white", "markeredgecolor": style.colour, "markersize": 5.5}
            axes.plot(x, column(of_cell, quantity.bound), linewidth=0.7, **looks, **open_)
        half = np.clip(np.stack([y - low, high - y]), 0, None)
        axes.errorbar(
            x, y, yerr=half, markeredgecolor="white", markeredgewidth=0.6, elinewidth=1.1, capsize=3, zorder=3, **looks
        )


def _sizes_axis(axes: Axes, rows: pd.DataFrame, shown: dict[str, Style], quantity: _Quantity, sizes: _Sizes) -> None:
    """Ticks at the sizes, numbered where there is room; from zero where a slope is what matters."""
    del shown
    least, most = float(min(rows[sizes.column])), float(max(sizes.ticks))
    if quantity.proportional and not sizes.wide:
        axes.set_xlim(0, 1.06 * most)
    else:
        margin = (most / least) ** 0.08
        axes.set_xscale("log")
        axes.set_xlim(least / margin, most * margin)
    labelled = _apart(axes, sorted(sizes.ticks))
    axes.xaxis.set_major_locator(FixedLocator(labelled))
    axes.xaxis.set_minor_locator(FixedLocator([size for size in sizes.ticks if size not in labelled]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.count(float(value))))


def _apart(axes: Axes, budgets: list[int], least: float = 0.12) -> list[int]:
    """The largest budget and those below it that are far enough apart for their labels."""
    places = axes.transAxes.inverted().transform(axes.transData.transform([(budget, 1.0) for budget in budgets]))[:, 0]
    chosen = [len(budgets) - 1]
    for number in range(len(budgets) - 2, -1, -1):
        if places[chosen[-1]] - places[number] >= least:
            chosen.append(number)
    return sorted(budgets[number] for number in chosen)


def _cells_axis(axes: Axes, rows: pd.DataFrame, shown: dict[str, Style], quantity: _Quantity, sizes: _Sizes) -> None:
    """One place a cell, with its name and its size; aslant where the names are too long."""
    del quantity
    parameters = dict(zip(rows["cell"], rows[sizes.column], strict=True))
    texts = [
        (style.label, formatting.count(parameters[cell]) if cell in parameters else "left out")
        for cell, style in shown.items()
    ]
    lengths = [max(map(len, text)) for text in texts]
    widest = max((one + other for one, other in itertools.pairwise(lengths)), default=0) / 2 * INCHES_A_LETTER
    if widest > axes.get_position().width * WIDTH * 0.85 / len(texts):
        labels = [", ".join(text) for text in texts]
        axes.set_xticks(range(len(texts)), labels, rotation=40, ha="right", rotation_mode="anchor", fontsize=9)
    else:
        axes.set_xticks(range(len(texts)), ["\n".join(text) for text in texts])
    axes.set_xlim(-0.6, len(texts) - 0.4)


def _limits(studies: pd.DataFrame, quantity: _Quantity, logarithmic: bool) -> tuple[float, float]:
    """The range of y: all points, their intervals, and reference lines that leave the points enough
    room.
    """
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
    """The range of the points and their intervals.

    An interval of two or three reruns can be so wide that nothing else could be seen: it widens the
    range by no more than the range of points and baselines, and runs out of the panel.
    """
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


def _handles(shown: dict[str, Style], drawn: pd.DataFrame, bound: bool) -> list[Line2D]:
    present = set(drawn["cell"])
    handles = [handle(style) for cell, style in shown.items() if cell in present]
    if bound:
        open_: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": GREY, "markersize": 5.5}
        handles.append(Line2D([], [], color=GREY, linewidth=0.7, marker="o", label="compression bound", **open_))
    return handles
