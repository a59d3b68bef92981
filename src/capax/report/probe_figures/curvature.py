"""The Hessian by blocks of parameters, its spectrum, and on how many parameters its steepest
directions live.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from capax.probes.measurement import Measurement
from capax.report.style import COLOURS, GREY

DECADES = 8
"""Of the heat map's colours, and of the eigenvalues: what is smaller than the largest by more is as
good as zero.
"""

APART = 0.045
"""The least distance of two names beside the heat map, as a share of its height."""


def draw(measurement: Measurement) -> Figure:
    """Heat map (where all of H was computed), spectrum, and participation ratios."""
    arrays, full = measurement.arrays, "hessian" in measurement.arrays
    figure = Figure((12.5, 4.6) if full else (8.4, 4.0), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08)  # pyright: ignore
    panels = figure.subplots(1, 3 if full else 2, width_ratios=[1.75, 1, 1] if full else [1, 1])
    if full:
        groups = measurement.frame.query("quantity == 'mean absolute entry'")["of"].unique()
        _heat_map(figure, panels[0], arrays["hessian"], list(groups), arrays["group_sizes"])
    _spectrum(panels[-2], arrays["eigenvalues"])
    _participation(panels[-1], measurement)
    return figure


def _heat_map(figure: Figure, axes: Axes, hessian: np.ndarray, groups: list[str], sizes: np.ndarray) -> None:
    size = len(hessian)
    shown = np.abs(hessian)
    finite = shown[np.isfinite(shown) & (shown > 0)]
    most = float(finite.max()) if len(finite) else 1.0
    least = max(float(finite.min()) if len(finite) else most, most / 10.0**DECADES)
    least = min(least, most / 10)
    image = axes.imshow(
        np.ma.maximum(np.ma.masked_invalid(shown), least),
        norm=LogNorm(least, most),
        cmap="viridis",
        interpolation="nearest",
        extent=(0, size, size, 0),
    )
    figure.colorbar(image, ax=axes, label="|entry of the Hessian|", shrink=0.85, extend="min")
    title = f"Hessian, {size:,} parameters"
    if not np.isfinite(shown).all():
        axes.patch.set(facecolor="#f4f4f4", hatch="///", edgecolor="#b5b5b5", linewidth=0)
        title += "; hatched: infinite"
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        axes.axhline(end, color="white", linewidth=0.6)
        axes.axvline(end, color="white", linewidth=0.6)
    _names(axes, groups, (ends - sizes / 2) / size)
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(False)


def _names(axes: Axes, names: list[str], middles: np.ndarray) -> None:
    """Names of groups to the left, each with a line to its rows, moved apart where groups are
    small.
    """
    places = middles.copy()
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + APART)
    places[-1] = min(places[-1], 1.0)
    for k in range(len(places) - 2, -1, -1):
        places[k] = min(places[k], places[k + 1] - APART)
    for name, place, middle in zip(names, places, middles, strict=True):
        axes.annotate(
            name,
            xy=(0, 1 - middle),
            xytext=(-0.06, 1 - place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            ha="right",
            va="center",
            fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0},
        )


def _spectrum(axes: Axes, eigenvalues: np.ndarray) -> None:
    axes.set(title="Spectrum", xlabel="rank by magnitude", ylabel="|eigenvalue|")
    if not np.isfinite(eigenvalues).all():
        _say(axes, "The Hessian overflows:\nits eigenvalues are infinite.")
        return
    rank, size = np.arange(1, len(eigenvalues) + 1), np.abs(eigenvalues)
    for sign, marker, colour, label in ((1, "o", COLOURS[0], "positive"), (-1, "v", COLOURS[3], "negative")):
        inside = np.sign(eigenvalues) == sign
        if inside.any():
            axes.plot(
                rank[inside], size[inside], linestyle="none", marker=marker, markersize=4, color=colour, label=label
            )
    if size.max() > 0:
        axes.set_yscale("log")
        least = max(size[size > 0].min(), size.max() / 10.0**DECADES)
        axes.set_ylim(min(least / 2, size.max() / 10), 2 * size.max())
    if len(eigenvalues) > 50:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.legend(fontsize=8.5, loc="best", handlelength=1.0)


def _participation(axes: Axes, measurement: Measurement) -> None:
    rows = measurement.frame.query("quantity == 'participation ratio'")
    ratios, parameters = rows["value"].to_numpy(float), int(measurement.subject["parameters"])
    axes.set(
        title="Participation of eigenvectors",
        xlabel="rank by magnitude",
        ylabel="parameters, 1 / Σ v⁴",
    )
    if not np.isfinite(ratios).all():
        _say(axes, "There are none.")
        return
    axes.plot(np.arange(1, len(ratios) + 1), ratios, color=COLOURS[2], marker="o", linestyle="none")
    axes.axhline(parameters, color=GREY, linewidth=1.0)
    axes.annotate(
        f"all {parameters:,} parameters",
        (1, parameters),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color=GREY,
    )
    axes.set_yscale("log")
    axes.set_ylim(0.8, 2.0 * parameters)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=9)
    axes.set(xticks=[], yticks=[])
