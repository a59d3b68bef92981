"""Figures of what was fitted to a user's own data: one file a job, and learning curves for all."""

from collections.abc import Callable, Mapping

import pandas as pd

from capax.fitting.outcome import Outcome
from capax.report.figures.drawing import Drawing
from capax.report.fit_figures import curves, forecast, labels, translate

_DRAW: dict[str, Callable[[Outcome, Mapping[str, pd.DataFrame]], list[Drawing]]] = {
    "forecast": forecast.draw,
    "classify": labels.draw,
    "label": labels.draw,
    "translate": translate.draw,
}


def draw(
    outcome: Outcome, answers: Mapping[str, pd.DataFrame], of_training: Mapping[str, pd.DataFrame]
) -> list[Drawing]:
    """The figures of a fit.

    **Arguments:** `answers`: of each contender, as its job's `examples` gives them, and the further
    tables of the chosen network; `of_training`:
    learning curves by cell.
    """
    found = _DRAW[outcome.job](outcome, answers) if outcome.job in _DRAW else []
    return [*found, curves.draw(outcome.job, of_training)] if of_training else found
