"""The loss on a plane through the parameters, and along its two directions."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from capax.probes.measurement import Measurement
from capax.report.formatting import significant
from capax.report.style import COLOURS, GREY

DECADES = 6
"""Of the colours, which show by how much a loss exceeds the least one; and, at most, of the axis of
the slices.
"""

LOWEST = 5
"""Percentage of the points that have the lowest colour."""

NAMES = {
    "random": ("first random direction (in lengths of each group)", "second random direction"),
    "curvature": ("distance along the Hessian's first eigenvector", "distance along its second"),
    "path": ("distance along the path's first component", "distance along its second"),
}
"""Of the axes; distances are in units of the parameters."""


def draw(measurement: Measurement) -> Figure:
    """The plane in colours, hatched where it is infinite; the slices through the parameters beside
    it.
    """
    figure = Figure((11.0, 4.6), layout="constrained")
    plane, slices = figure.subplots(1, 2, width_ratios=[1.2, 1])
    _plane(figure, plane, measurement)
    if "path" in measurement.arrays:
        _path(plane, measurement.arrays["path"], diverged=measurement.summary["diverged"])
    plane.plot(0, 0, marker="*", markersize=13, color="white", markeredgecolor="black", linestyle="none", zorder=5)
    _slices(slices, measurement)
    return figure


def _plane(figure: Figure, axes: Axes, measurement: Measurement) -> None:
    a, b, grid = (measurement.arrays[name] for name in ("first", "second", "grid"))
    across, up = NAMES[measurement.summary["directions"]]
    axes.set(title="Loss around the parameters (star)", xlabel=across, ylabel=up)
    axes.set(xlim=(a[0], a[-1]), ylim=(b[0], b[-1]))
    axes.grid(False)
    if np.isinf(grid).any():
        axes.patch.set(facecolor="#f4f4f4", hatch="///", edgecolor="#b5b5b5", linewidth=0)
        axes.set_title("Loss around the parameters (star); hatched: infinite")
    if np.isinf(grid).all():
        return
    least = float(grid.min())
    above = np.ma.masked_invalid(np.where(np.isfinite(grid), grid - least, np.nan))
    low, high = _range(above.compressed())
    shown = np.ma.maximum(above, low)
    norm = LogNorm(low, high)
    mesh = axes.pcolormesh(a, b, shown.T, norm=norm, cmap="viridis", shading="nearest", rasterized=True)
    axes.contour(a, b, shown.T, levels=np.geomspace(low, high, 12)[1:-1], colors="white", linewidths=0.5, alpha=0.6)
    extend = "both" if above.max() > high else "min"
    figure.colorbar(mesh, ax=axes, label=f"loss above the least, {significant(least, 3)}", extend=extend)


def _range(above: np.ndarray) -> tuple[float, float]:
    """The ends of the colours."""
    positive = above[above > 0]
    if not len(positive):
        return 1.0, 10.0
    low = float(np.percentile(positive, LOWEST))
    return low, float(np.clip(positive.max(), 1.01 * low, low * 10.0**DECADES))


def _path(axes: Axes, path: np.ndarray, *, diverged: bool) -> None:
    axes.plot(*path.T, color="black", linewidth=2.6)
    axes.plot(*path.T, color=COLOURS[5], linewidth=1.4, marker=".", markersize=4, label="Adam's path, projected")
    marker, label = ("X", "where training diverged") if diverged else ("o", "its end")
    axes.plot(
        *path[-1],
        marker=marker,
        markersize=8,
        color=COLOURS[5],
        markeredgecolor="black",
        linestyle="none",
        label=label,
    )
    axes.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


def _slices(axes: Axes, measurement: Measurement) -> None:
    arrays = measurement.arrays
    a, b, (first, second) = arrays["first"], arrays["second"], arrays["slices"]
    axes.set(title="Slices through the parameters", xlabel="position along the direction", ylabel="loss")
    axes.set_xlim(min(a[0], b[0]), max(a[-1], b[-1]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.axvline(0, color=GREY, linewidth=0.8)
    finite = arrays["slices"][np.isfinite(arrays["slices"]) & (arrays["slices"] > 0)]
    if not len(finite):
        axes.text(0.5, 0.5, "infinite everywhere", transform=axes.transAxes, ha="center", va="center", fontsize=9)
        axes.set_yticks([])
        return
    axes.plot(a, np.where(np.isfinite(first), first, np.nan), color=COLOURS[0], label="first")
    axes.plot(
        b, np.where(np.isfinite(second), second, np.nan), color=COLOURS[3], linestyle=(0, (4, 1.5)), label="second"
    )
    low, high = finite.min(), min(finite.max(), finite.min() * 10.0**DECADES)
    if high > 5 * low:
        axes.set(yscale="log", ylim=(low / 1.5, high * 1.5))
    axes.legend(
        title="direction", fontsize=8.5, title_fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2
    )
