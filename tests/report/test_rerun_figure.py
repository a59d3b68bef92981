"""The figure of all reruns: dots, medians, and crosses where they are due."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from capax.report.figures.reruns import rerun_figure, spans_decades
from capax.report.style import styles


def reruns(scores, **more):
    """One row a rerun; None diverged."""
    return pd.DataFrame(
        [
            {
                "cell": cell, "depth": 1, "budget": None, "units": 8, "variant": "teacher",
                "state": "infeasible" if score is None else "complete",
                "evaluation": np.nan if score is None else score, **more,
            }
            for cell, found in scores.items()
            for score in found
        ]
    )  # fmt: skip


def test_it_is_drawn_where_positive_scores_are_decades_apart():
    assert spans_decades(reruns({"gru": [1e-5, 1e-3, 1.0]}))
    assert not spans_decades(reruns({"gru": [0.5, 1.0, 2.0]}))
    assert not spans_decades(reruns({"gru": [0.0, 1.0, 200.0]}))
    assert not spans_decades(reruns({"gru": [None, None, None]}))


@pytest.mark.parametrize("variants", [1, 2])
def test_every_rerun_is_a_dot_medians_are_bars_and_what_diverged_a_cross(variants):
    scores = {"gru": [1e-6, 1e-4, 1e-2], "lstm": [1.0, None, 3.0]}
    frame = pd.concat([reruns(scores, variant=f"least_modulus .{v}") for v in range(variants)])
    figure = rerun_figure(frame, "squared error", styles(["gru", "lstm"]))
    (axes,) = figure.axes
    dots = np.concatenate([part.get_offsets() for part in axes.collections if isinstance(part, PathCollection)])
    assert sorted(y for _, y in dots if y != 0.97) == sorted([1e-6, 1e-4, 1e-2, 1.0, 3.0] * variants)
    assert sum(y == 0.97 for _, y in dots) == variants
    bars = [part.get_segments()[0][0][1] for part in axes.collections if hasattr(part, "get_segments")]
    assert sorted(bars) == sorted([1e-4, 2.0] * variants)
    assert len(axes.get_xticks()) == (2 if variants == 1 else variants)
    assert axes.get_yscale() == "log"
