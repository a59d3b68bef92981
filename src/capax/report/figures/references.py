"""Thin grey lines to compare with: a constant score, or a number of bits per parameter."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from capax.report import formatting
from capax.report.style import GREY

LINE_OF_TEXT = 0.058
"""The height of a line of text, as a share of a panel's height."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A line at `value`, or at `value` times the parameters.

    `always`: whether the panel must be high enough to show it. `named`: whether its value is part
    of its label already.
    """

    label: str
    value: float
    per_parameter: bool = False
    always: bool = True
    named: bool = False

    @property
    def text(self) -> str:
        """What stands beside the line."""
        return self.label if self.named else f"{self.label} {formatting.significant(self.value, 3)}"


def draw_references(
    axes: Axes,
    rows: pd.DataFrame,
    references: Sequence[Reference],
    limits: tuple[float, float],
    *,
    single: bool,
    named: bool,
) -> None:
    """Draw lines and name them beside the panel's right edge.

    Lines out of range are only named, with an arrow. `single`: the cells stand side by side.
    """
    ends: list[tuple[float, str]] = []
    above: list[str] = []
    scale = _unit_interval(axes, limits)
    for reference in references:
        end = _end(axes, rows, reference, single)
        if limits[0] <= end <= limits[1]:
            _line(axes, reference, end, single)
            ends.append((scale(end), reference.text))
        elif end > limits[1]:
            above.append(f"↑ {reference.text}")
        else:
            ends.append((0.0, f"↓ {reference.text}"))
    if named:
        axes.set_title(", ".join(above), loc="right", fontsize=9, color=GREY)
        for (end, text), place in zip(ends, spread([end for end, _ in ends], LINE_OF_TEXT), strict=True):
            _name(axes, end, place, text)


def _name(axes: Axes, end: float, place: float, text: str) -> None:
    """The name of a line that ends at height `end`, at height `place`, with a thin line between."""
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


def _end(axes: Axes, rows: pd.DataFrame, reference: Reference, single: bool) -> float:
    """The height of a reference line at the panel's right edge."""
    if not reference.per_parameter:
        return reference.value
    return reference.value * (float(max(rows["parameters"])) if single else axes.get_xlim()[1])


def _line(axes: Axes, reference: Reference, end: float, single: bool) -> None:
    shared: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "zorder": 1}
    if reference.per_parameter and not single:
        x = np.linspace(*axes.get_xlim(), 50)
        axes.plot(x, reference.value * x, scalex=False, scaley=False, **shared)
    else:
        axes.axhline(end, **shared)


def spread(places: Sequence[float], least: float) -> list[float]:
    """Places moved as little as needed to lie at least so far apart, in the same order.

    Those too close form a cluster around their mean.
    """
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
