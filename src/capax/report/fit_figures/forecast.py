"""Figures of forecasts: some beside what came, errors by how far ahead, and whether quantiles
hold.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capax.fitting.outcome import Outcome
from capax.report import formatting
from capax.report.figures.drawing import Drawing
from capax.report.figures.layout import HEIGHT, LABEL_SIZE, WIDTH, grid_of, legend
from capax.report.rows import column, select
from capax.report.style import COLOURS, GREY, LINES, styles

PANELS = 4
"""Windows that are shown."""
SAME_CELL = ("-", (0, (3, 1)), (0, (1, 1)))
"""Lines of networks of one cell."""
ROW = 0.17
"""Inches of a row of the legend, whose names are long."""
HISTORY = "history"
"""The table of what was known before them."""
BANDS = ((0.05, 0.95, "90%", 0.16), (0.1, 0.9, "80%", 0.22), (0.25, 0.75, "50%", 0.3))


def draw(outcome: Outcome, answers: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    """All figures, of the chosen network beside the best method without one and the others."""
    chosen = answers[outcome.chosen]
    target = str(chosen["target"].iloc[0])
    of_target = {name: select(frame, target=target) for name, frame in answers.items()}
    history = of_target.pop(HISTORY, None)
    found = [_windows(outcome, target, of_target, history), _by_step(outcome, target, of_target)]
    return [*found, _calibration(outcome, of_target)] if len(_levels(chosen)) > 1 else found


def _levels(frame: pd.DataFrame) -> dict[float, str]:
    """Quantiles' columns by their levels, in order."""
    names = [str(name) for name in frame if re.fullmatch(r"q[\d.]+", str(name))]
    return dict(sorted((float(name[1:]), name) for name in names))


def _median(frame: pd.DataFrame) -> np.ndarray:
    levels = _levels(frame)
    return frame[levels[min(levels, key=lambda level: abs(level - 0.5))]].to_numpy(float)


def _rival(outcome: Outcome) -> str | None:
    """The best method without a network."""
    first = outcome.columns[0].name
    known = {
        each.name: value for each in outcome.baselines if (value := each.scores.get(first, (None,))[0]) is not None
    }
    return min(known, key=lambda name: known[name]) if known else None


def _key(frame: pd.DataFrame) -> list[str]:
    return [name for name in ("series", "origin") if name in frame]


def _windows(
    outcome: Outcome, target: str, answers: Mapping[str, pd.DataFrame], history: pd.DataFrame | None
) -> Drawing:
    chosen, rival = answers[outcome.chosen], _rival(outcome)
    keys = _key(chosen)
    groups = dict(iter(chosen.groupby(keys, sort=False)))
    before = {} if history is None else dict(iter(history.groupby(keys, sort=False)))
    places = np.unique(np.linspace(0, len(groups) - 1, min(PANELS, len(groups))).round().astype(int))
    shown = [key for key in groups if key in before] or [list(groups)[place] for place in places]
    figure, grid = grid_of(len(shown), 2, share_x=False, share_y="series" not in keys)
    for axes, key in zip(grid.flat, shown, strict=False):
        part = groups[key]
        _window(axes, part, before.get(key), None if rival is None else answers[rival].loc[part.index])
        series = f"{part['series'].iloc[0]}, " if "series" in keys else ""
        axes.set_title(f"{series}from {_moment(part['origin'].iloc[0])}", fontsize=9.5)
    figure.supxlabel("steps ahead" if not before else "steps ahead of the last known value", fontsize=LABEL_SIZE)
    figure.supylabel(target, fontsize=LABEL_SIZE)
    levels = _levels(chosen)
    drawn = {name: alpha for low, high, name, alpha in BANDS if low in levels and high in levels}
    handles = [
        *([Line2D([], [], color=GREY, label="what was known")] if before else []),
        Line2D([], [], color="black", marker=".", linestyle="none", label="what came"),
        Line2D([], [], color=COLOURS[0], label=f"{outcome.chosen}, median"),
        *(Patch(color=COLOURS[0], alpha=2 * alpha, label=name) for name, alpha in drawn.items()),
        *([Line2D([], [], color=COLOURS[3], linestyle=LINES[3], label=rival)] if rival is not None else []),
    ]
    legend(figure, handles)
    bands = f" and the intervals that are to hold {formatting.listed(list(drawn))} of what comes" if drawn else ""
    caption = (
        f"Forecasts of {target} in the evaluation part, evenly spaced in time: the median of {outcome.chosen}{bands}"
        f"{'' if rival is None else f', beside {rival}, the best method without a network'}."
    )
    return Drawing("fit-forecasts", outcome.job, figure, caption, caption)


def _window(axes: Axes, part: pd.DataFrame, before: pd.DataFrame | None, rival: pd.DataFrame | None) -> None:
    """One window: what was known before, what came, and forecasts of it."""
    step, levels = part["step"].to_numpy(), _levels(part)
    for low, high, _, alpha in BANDS:
        if low in levels and high in levels:
            axes.fill_between(step, part[levels[low]], part[levels[high]], color=COLOURS[0], alpha=alpha, linewidth=0)
    if before is not None:
        axes.plot(before["step"], before["value"], color=GREY, linewidth=1.3)
        axes.axvline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.plot(step, _median(part), color=COLOURS[0])
    axes.plot(step, part["truth"], color="black", marker=".", markersize=4, linestyle="none")
    if rival is not None:
        axes.plot(step, _median(rival), color=COLOURS[3], linestyle=LINES[3], linewidth=1.2)


def _moment(value: object) -> str:
    return (
        str(value).removesuffix(" 00:00:00").removesuffix(":00") if isinstance(value, pd.Timestamp) else f"step {value}"
    )


def _by_step(outcome: Outcome, target: str, answers: Mapping[str, pd.DataFrame]) -> Drawing:
    figure = Figure(figsize=(WIDTH, HEIGHT + ROW * len(answers)), layout="constrained")
    axes: Axes = figure.subplots()
    lines = _of_networks(outcome)
    handles, said = [], []
    others = iter(zip(COLOURS[6:] + COLOURS, LINES[6:] + LINES, strict=True))
    for name, frame in answers.items():
        error, step = np.abs(_median(frame) - column(frame, "truth")), column(frame, "step")
        steps = np.unique(step)
        by_step = [float(np.nanmean(error[step == each])) for each in steps]
        network = name in lines
        colour, line = lines[name] if network else next(others)
        axes.plot(steps, by_step, color=colour, linestyle=line, linewidth=2.2 if network else 1.3)
        handles.append(Line2D([], [], color=colour, linestyle=line, linewidth=2.2 if network else 1.3, label=name))
        said.append(f"{name} {formatting.significant(by_step[0], 3)} to {formatting.significant(by_step[-1], 3)}")
    axes.set_xlabel("steps ahead")
    axes.set_ylabel(f"mean absolute error of {target}")
    axes.set_ylim(bottom=0)
    legend(figure, handles)
    caption = (
        f"Mean absolute error of the median by how far ahead, over {_count(answers[outcome.chosen])} windows of the "
        "evaluation part (at most 200, evenly spaced; the table has all). Thick lines are networks."
    )
    return Drawing("fit-errors", outcome.job, figure, caption, f"From the first to the last step: {'; '.join(said)}.")


def _of_networks(outcome: Outcome) -> dict[str, tuple[str, Any]]:
    """Colour and line of each network: the colour is its cell's, the line tells networks of one
    cell apart.
    """
    networks = [each for each in outcome.contenders if each.kind == "network"]
    looks = styles([each.cell for each in networks])
    found: dict[str, tuple[str, Any]] = {}
    for each in networks:
        alike = sum(outcome.contender(name).cell == each.cell for name in found)
        found[each.name] = looks[each.cell].colour, SAME_CELL[alike % len(SAME_CELL)]
    return found


def _count(frame: pd.DataFrame) -> int:
    return len(frame[_key(frame)].drop_duplicates())


def _calibration(outcome: Outcome, answers: Mapping[str, pd.DataFrame]) -> Drawing:
    figure = Figure(figsize=(HEIGHT + 0.6, HEIGHT + 0.4), layout="constrained")
    axes: Axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    rival, handles, said = _rival(outcome), [], []
    shown = [outcome.chosen] if rival is None else [outcome.chosen, rival]
    for name, colour, marker in zip(shown, (COLOURS[0], COLOURS[3]), ("o", "D"), strict=False):
        frame = answers[name]
        levels, truth = _levels(frame), frame["truth"].to_numpy(float)
        known = ~np.isnan(truth)
        below = [float(np.mean(truth[known] <= frame[column].to_numpy(float)[known])) for column in levels.values()]
        if np.isnan(frame[list(levels.values())].to_numpy(float)).any():
            continue
        axes.plot(list(levels), below, color=colour, marker=marker, markersize=5)
        handles.append(Line2D([], [], color=colour, marker=marker, label=name))
        pairs = zip(levels, below, strict=True)
        said.append(f"{name}: {', '.join(f'{level:g} holds {share:.2f}' for level, share in pairs)}")
    axes.set_xlabel("level of the quantile")
    axes.set_ylabel("share of what came below it")
    axes.set_aspect("equal")
    legend(figure, handles, HEIGHT)
    caption = "Calibration: below a quantile should lie as large a share of what came as its level says (dashed)."
    return Drawing("fit-calibration", outcome.job, figure, caption, f"{caption} {'; '.join(said)}.")
