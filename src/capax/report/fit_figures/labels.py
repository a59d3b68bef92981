"""Figures of labels: which are taken for which, and whether probabilities hold."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capax.fitting.outcome import Outcome
from capax.report import formatting
from capax.report.figures.drawing import Drawing
from capax.report.figures.layout import HEIGHT, WIDTH
from capax.report.rows import known
from capax.report.style import COLOURS, GREY
from capax.scoring import calibration
from capax.scoring.labels import confusion

MOST = 20
"""Labels in a confusion matrix, the commonest."""


def draw(outcome: Outcome, answers: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    """Both figures, of the chosen network."""
    frame = known(answers[outcome.chosen], "truth")
    return [_confusion(outcome, frame), _reliability(outcome, frame)] if len(frame) else []


def _confusion(outcome: Outcome, frame: pd.DataFrame) -> Drawing:
    counts = pd.concat([frame["truth"], frame["found"]]).astype(str).value_counts()
    names = [str(name) for name in counts.index[:MOST]]
    places = {name: place for place, name in enumerate(names)}
    kept = frame[frame["truth"].astype(str).isin(places) & frame["found"].astype(str).isin(places)]
    truth, found = (np.array([places[str(name)] for name in kept[side]], int) for side in ("truth", "found"))
    table = confusion(truth, found, len(names))
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    size = min(WIDTH, 2.2 + 0.42 * len(names))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes: Axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(False)
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("found")
    axes.set_ylabel("truth")
    small = 7.5 if len(names) > 12 else 9
    for row, column in zip(*np.nonzero(table), strict=True):
        ink = "white" if shares[row, column] > 0.6 else "#333333"
        axes.text(column, row, f"{table[row, column]:,}", ha="center", va="center", color=ink, fontsize=small)
    figure.colorbar(image, ax=axes, label="share of the truth", shrink=0.8)
    left_out = len(counts) - len(names)
    more = f" The {MOST} commonest of {len(counts)} labels." if left_out > 0 else ""
    caption = f"How often {outcome.chosen} takes a label (row) for another (column), on the evaluation part.{more}"
    wrong = [(table[r, c], names[r], names[c]) for r, c in zip(*np.nonzero(table), strict=True) if r != c]
    most = "; ".join(f"{row} for {column}: {count:,}" for count, row, column in sorted(wrong, reverse=True)[:5])
    alt = f"{caption} Most frequent errors, truth for found: {most or 'none'}."
    return Drawing("fit-confusion", outcome.job, figure, caption, alt)


def _reliability(outcome: Outcome, frame: pd.DataFrame) -> Drawing:
    right = (frame["truth"].astype(str) == frame["found"].astype(str)).to_numpy()
    found = calibration.reliability(frame["probability"].to_numpy(float), right)
    figure = Figure(figsize=(HEIGHT + 0.6, HEIGHT + 0.2), layout="constrained")
    axes: Axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    filled = found.items > 0
    confidence, accuracy, counts = found.confidence[filled], found.accuracy[filled], found.items[filled]
    axes.plot(confidence, accuracy, color=COLOURS[0], linewidth=1.2)
    axes.scatter(confidence, accuracy, s=20 + 180 * counts / counts.max(), color=COLOURS[0], zorder=3)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability of the label that was found")
    axes.set_ylabel("share that is right")
    caption = (
        f"Calibration of {outcome.chosen}: of labels found with a probability, that share should be right (dashed). Larger "
        "dots stand for more labels."
    )
    pairs = zip(confidence, accuracy, strict=True)
    said = ", ".join(f"{formatting.decimals(c, 2)}: {formatting.decimals(a, 2)}" for c, a in pairs)
    return Drawing("fit-calibration", outcome.job, figure, caption, f"{caption} Probability and share: {said}.")
