"""Every rerun's score on a logarithmic axis, where scores are decades apart and a mean would be its
largest one.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.report.figures.drawing import Drawing, FigureKind, slug
from capax.report.figures.layout import LOG
from capax.report.rows import column, select
from capax.report.style import GREY, Style
from capax.report.tabulation import score
from capax.report.view import TaskView

LEAST_SPAN = 100.0
"""Between the largest and the smallest score, for such a figure to say more than means with
intervals.
"""

CAPTION = (
    "Each dot is a rerun of the best hyperparameters on a fresh seed, scored on SET; bars: medians; "
    "crosses at the upper edge: reruns that diverged. Studies stand side by side, by what was varied and by cell."
)


def spans_decades(reruns: pd.DataFrame) -> bool:
    """Whether the scores of reruns are positive, and far enough apart."""
    scores = column(select(reruns, state="complete"), "evaluation")
    return len(scores) > 2 and bool(scores.min() > 0) and float(scores.max() / scores.min()) >= LEAST_SPAN


def _has_data(view: TaskView) -> bool:
    return view.leads and spans_decades(_reruns(view))


def _reruns(view: TaskView) -> pd.DataFrame:
    """Of all variants of the task."""
    return pd.concat(
        [one.reruns.assign(variant=one.label.partition(", ")[2] or one.task.name) for one in view.variants]
    )


def _draw(view: TaskView) -> list[Drawing]:
    reruns = _reruns(view)
    figure = rerun_figure(reruns, f"{view.task.reporting.score} {LOG}", view.styles)
    groups = select(reruns, state="complete").groupby(["variant", "cell"], sort=False)
    medians = [
        f"{view.names[str(cell)]}, {variant}: {score(float(np.median(column(part, 'evaluation'))))}"
        for (variant, cell), part in groups  # pyright: ignore[reportGeneralTypeIssues]
    ]
    alt = f"Medians of reruns, {view.task.reporting.score}: {'; '.join(medians)}."
    caption = CAPTION.replace("SET", view.task.reporting.scored_on)
    return [Drawing(f"{slug(view.task.name)}-reruns", view.label, figure, caption, alt)]


KIND = FigureKind(_has_data, _draw)


def rerun_figure(reruns: pd.DataFrame, y_label: str, shown: dict[str, Style]) -> Figure:
    """A group for each variant of the task (and depth and size, if there are several), a column a
    cell.
    """
    keys = [key for key in ("variant", "depth", "budget", "units") if key == "variant" or _varies(reruns, key)]
    groups = list(dict.fromkeys(map(tuple, reruns[keys].to_numpy().tolist())))
    cells = [cell for cell in shown if cell in set(reruns["cell"])]
    figure = Figure((max(7.0, 0.42 * len(groups) * len(cells) + 2.5), 4.3), layout="constrained")
    axes = figure.subplots()
    for g, group in enumerate(groups):
        chosen = np.all([(reruns[key] == value).to_numpy() for key, value in zip(keys, group, strict=True)], axis=0)
        for c, cell in enumerate(cells):
            part = pd.DataFrame(reruns[chosen & (reruns["cell"] == cell).to_numpy()])
            if len(part):
                _column(axes, part, shown[cell], g * (len(cells) + 1) + c)
    axes.set_yscale("log")
    axes.set_ylabel(y_label)
    axes.tick_params(axis="x", length=0)
    if len(groups) == 1:
        axes.set_xticks(range(len(cells)), [shown[cell].label for cell in cells], rotation=25, ha="right")
        return figure
    words = [", ".join(_word(key, value) for key, value in zip(keys, group, strict=True)) for group in groups]
    axes.set_xticks([g * (len(cells) + 1) + (len(cells) - 1) / 2 for g in range(len(groups))], words)
    for g in range(1, len(groups)):
        axes.axvline(g * (len(cells) + 1) - 1, color=GREY, linewidth=0.6)
    for cell in cells:
        axes.scatter([], [], 30, color=shown[cell].colour, marker=shown[cell].marker, label=shown[cell].label)
    figure.legend(loc="outside upper left", ncols=min(5, len(cells)), fontsize=9.5)
    return figure


def _column(axes: Axes, reruns: pd.DataFrame, style: Style, place: int) -> None:
    """The reruns of one study: dots beside each other, their median, and crosses for those that
    diverged.
    """
    scores = column(select(reruns, state="complete"), "evaluation")
    aside = np.linspace(-0.22, 0.22, len(scores)) if len(scores) > 1 else np.zeros(len(scores))
    axes.scatter(place + aside, scores, 26, color=style.colour, marker=style.marker, alpha=0.75, zorder=3)
    if len(scores):
        axes.hlines(np.median(scores), place - 0.36, place + 0.36, color=style.colour, linewidth=2.2, zorder=4)
    lost = len(reruns) - len(scores)
    aside = np.linspace(-0.2, 0.2, lost) if lost > 1 else np.zeros(lost)
    upper = axes.get_xaxis_transform()
    axes.scatter(place + aside, np.full(lost, 0.97), 30, transform=upper, marker="x", color=style.colour)


def _varies(reruns: pd.DataFrame, key: str) -> bool:
    """Whether a key is more than a consequence of the cell."""
    return bool((reruns.groupby("cell")[key].nunique() > 1).any())


def _word(key: str, value: object) -> str:
    return str(value) if key == "variant" else f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}"
