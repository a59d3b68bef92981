"""A sequence from another sequence, in scikit-learn's manner."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capax.estimators import sequences
from capax.estimators.base import Estimator, write_once
from capax.estimators.errors import WrongInput, as_wrong_input
from capax.fitting.fit import CELLS
from capax.search.store import DATA

SOURCE, TARGET = "source", "target"
WORDS = "words"


class Seq2Seq(Estimator):
    """The target that belongs to a source: a pronunciation, a translation, an inflected word.

        model = capax.Seq2Seq(minutes=3).fit(["cat", "dog"], [["K", "AE", "T"], ["D", "AO", "G"]])
        model.predict(["cog"])

    Sources and targets are lists of texts, or lists of lists of symbols.

    Parameters, beside those of every estimator (`capax.estimators.base.Estimator`):

    - `source_symbols`, `target_symbols`: whether texts are read as "characters" or as "words",
      which stand between spaces; by default what they look like.
    - `beam`: beginnings of answers that are kept while one is sought; 1 is greedy.
    """

    def __init__(
        self,
        *,
        source_symbols: str | None = None,
        target_symbols: str | None = None,
        beam: int = 8,
        cells: Sequence[str | type] = CELLS,
        depth: int = 1,
        budget: int | None = None,
        trials: int | None = None,
        minutes: float | int | None = None,
        steps: int | None = None,
        random_state: Any = 0,
        out: str | Path | None = None,
        verbose: bool = False,
    ):
        self.source_symbols = source_symbols
        self.target_symbols = target_symbols
        self.beam = beam
        self.cells = cells
        self.depth = depth
        self.budget = budget
        self.trials = trials
        self.minutes = minutes
        self.steps = steps
        self.random_state = random_state
        self.out = out
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any) -> "Seq2Seq":
        """Find and train the best network, beside a joint n-gram.

        A tenth of the sources is kept apart to choose by, and a tenth for `scores_`. A source may
        stand several times, with other targets.

        **Arguments:** `X`: sources; `y`: the target of each.

        Raises `WrongInput`, a `CapaxError` and a `ValueError`, for data that do not fit.
        """
        if y is None:
            raise WrongInput("y is missing: it holds the target of each source.")
        sources, targets = _texts(X, "X"), _texts(y, "y")
        sequences.one_each(targets.items, sources)
        table = pd.DataFrame({SOURCE: _joined(sources, "X"), TARGET: _joined(targets, "y")}, dtype=object)
        self._learn(
            "translate",
            lambda directory: _written(directory, table),
            source=SOURCE,
            target=TARGET,
            source_symbols=WORDS if sources.kind == "symbols" else self.source_symbols,
            target_symbols=WORDS if targets.kind == "symbols" else self.target_symbols,
        )
        self._kinds = sources.kind, targets.kind
        return self

    def predict(self, X: Any) -> list[Any]:
        """The likeliest target of each source: texts, or lists of symbols, as y of `fit` had them.

        Raises `NotFittedError` before `fit`, and `WrongInput` for sources of another kind.
        """
        predictor = self._predictor()
        sources = _texts(X, "X")
        sequences.check_features(sources, self._kinds[0], None, type(self).__name__)
        with as_wrong_input():
            answers = predictor.predict(_joined(sources, "X"), beam=self.beam)["answer"]
        return [str(answer).split() if self._kinds[1] == "symbols" else str(answer) for answer in answers]

    def score(self, X: Any, y: Any) -> float:
        """The share of sources whose answer is y's target, without any error."""
        truth = _texts(y, "y")
        if truth.kind != self._answers:
            raise WrongInput(f"y holds {truth.kind}; {type(self).__name__} was fitted to {self._answers}.")
        sequences.one_each(truth.items, _texts(X, "X"))
        due = [item if isinstance(item, list) else item.strip() for item in truth.items]
        return float(np.mean([found == right for found, right in zip(self.predict(X), due, strict=True)]))

    @property
    def _answers(self) -> sequences.Kind:
        """What answers are. Raises `NotFittedError` before `fit`."""
        self._predictor()
        return self._kinds[1]


def _texts(given: Any, name: str) -> sequences.Given:
    found = sequences.given(given, name=name)
    if found.kind == "numbers":
        raise WrongInput(f"{name} must be a list of texts, or of lists of symbols that are texts, not of numbers.")
    return found


def _joined(given: sequences.Given, name: str) -> list[str]:
    """As texts; symbols with spaces between."""
    if given.kind == "texts":
        return given.items
    odd = next((s for item in given.items for s in item if s.split() != [s]), None)
    if odd is not None:
        raise WrongInput(f"{name}: the symbol {odd!r} is empty or has a space in it; write it in another way.")
    return [" ".join(item) for item in given.items]


def _written(directory: Path, table: pd.DataFrame) -> Path:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return write_once(directory / DATA / "data.parquet", buffer.getvalue())
