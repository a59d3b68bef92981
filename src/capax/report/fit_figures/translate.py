"""Figures of sequence to sequence: wrong symbols of answers, and where attention was."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capax.fitting.outcome import Outcome
from capax.report import formatting
from capax.report.figures.drawing import Drawing
from capax.report.figures.layout import HEIGHT, LABEL_SIZE, WIDTH, drop_unused, legend
from capax.report.rows import column, select
from capax.report.style import COLOURS

ATTENTION = "attention"
MOST_ERRORS = 5
"""From here on errors are counted together."""


def draw(outcome: Outcome, answers: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    """Errors of all contenders, and the attention of the chosen network where it has any."""
    found = [_errors(outcome, answers)]
    return [*found, _attention(outcome, answers[ATTENTION])] if ATTENTION in answers else found


def _errors(outcome: Outcome, answers: Mapping[str, pd.DataFrame]) -> Drawing:
    figure = Figure(figsize=(WIDTH, HEIGHT - 0.6), layout="constrained")
    axes: Axes = figure.subplots()
    names = [each.name for each in outcome.contenders]
    width = 0.8 / len(names)
    said = []
    for number, name in enumerate(names):
        errors = np.minimum(column(answers[name], "errors"), MOST_ERRORS).astype(int)
        shares = np.bincount(errors, minlength=MOST_ERRORS + 1) / max(1, len(errors))
        places = np.arange(MOST_ERRORS + 1) + (number - (len(names) - 1) / 2) * width
        axes.bar(places, shares, width, color=COLOURS[number % len(COLOURS)])
        said.append(f"{name} {formatting.decimals(float(shares[0]), 2)}")
    axes.set_xticks(range(MOST_ERRORS + 1), [*map(str, range(MOST_ERRORS)), f"{MOST_ERRORS} or more"])
    axes.set_xlabel("wrong symbols of an answer")
    axes.set_ylabel("share of answers")
    handles = [Line2D([], [], color=COLOURS[n % len(COLOURS)], linewidth=6, label=name) for n, name in enumerate(names)]
    legend(figure, handles)
    count = len(answers[outcome.chosen])
    caption = (
        f"Wrong symbols of the first {formatting.count(count)} answers of the evaluation part (put in, left out, or another), "
        "by the nearest right answer."
    )
    alt = f"{caption} Share without any error: {'; '.join(said)}."
    return Drawing("fit-errors", outcome.job, figure, caption, alt)


def _attention(outcome: Outcome, weights: pd.DataFrame) -> Drawing:
    examples = sorted(set(column(weights, "example").astype(int)))
    columns = min(2, len(examples))
    rows = math.ceil(len(examples) / columns)
    figure = Figure(figsize=(WIDTH, 1.0 + 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    drop_unused(grid, len(examples))
    said = []
    for place, example in enumerate(examples):
        axes, part = grid.flat[place], select(weights, example=example)
        table = part.pivot(index="answer", columns="source", values="weight").to_numpy(float)
        axes.imshow(table, cmap="Blues", vmin=0, aspect="auto")
        axes.grid(False)
        answer, source = _symbols(part, "answer"), _symbols(part, "source")
        axes.set_xticks(range(len(source)), source, fontsize=8)
        axes.set_yticks(range(len(answer)), answer, fontsize=8)
        axes.set_ylim(len(answer) - 0.5, -0.5)
        most = table.argmax(axis=1)
        said.append(", ".join(f"{symbol} at {source[at]}" for symbol, at in zip(answer, most, strict=True)))
    figure.supxlabel("source", fontsize=LABEL_SIZE)
    figure.supylabel("answer, from above", fontsize=LABEL_SIZE)
    caption = (
        f"Attention of {outcome.chosen}: at each symbol of its answer (rows) how much of each symbol of the source it sees "
        "(columns; the darker, the more, the darkest of a panel the most)."
    )
    return Drawing("fit-attention", outcome.job, figure, caption, f"{caption} Most: {'; '.join(said)}.")


def _symbols(part: pd.DataFrame, side: str) -> list[str]:
    """The symbols of one side in order."""
    ordered = part.drop_duplicates(side).sort_values(side)
    return [str(symbol).replace(" ", "_") for symbol in ordered[f"{side} symbol"]]
