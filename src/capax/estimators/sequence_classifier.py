"""A label for each whole sequence, in scikit-learn's manner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from capax.estimators import sequences
from capax.estimators.base import Estimator
from capax.estimators.errors import as_wrong_input
from capax.estimators.labels import Classes
from capax.estimators.sequences import Given, Kind
from capax.fitting.fit import CELLS


class SequenceClassifier(ClassifierMixin, Estimator):
    """The class of a sequence of numbers, of a text, or of a list of symbols.

        model = capax.SequenceClassifier(minutes=3).fit(X, y)
        model.predict(X), model.predict_proba(X), model.score(X, y)

    Sequences may be of unequal lengths: X is an array (sequences, time, features), or (sequences,
    time) with one number a step; or a list of arrays (time, features), of texts, or of lists of
    texts. NaN is a missing value.

    Parameters, beside those of every estimator (`capax.estimators.base.Estimator`):

    - `symbols`: whether texts are read as "characters" or as "words"; by default what they look
      like. `pooling`: whether the answer is read off the mean over all steps, "mean", or off the
      "last" one.

    Attributes after `fit`, beside those of every estimator: `classes_`; `n_features_in_`, the
    numbers of a step, where steps are numbers.
    """

    classes_: np.ndarray
    n_features_in_: int
    _kind: Kind

    def __init__(
        self,
        *,
        symbols: str | None = None,
        pooling: str = "mean",
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
        self.symbols = symbols
        self.pooling = pooling
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
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any) -> "SequenceClassifier":
        """Find and train the best network, beside the methods that people trust.

        A tenth of the sequences is kept apart to choose by, and a tenth for `scores_`.

        **Arguments:** `X`: sequences; `y`: the label of each.

        Raises `WrongInput`, a `CapaxError` and a `ValueError`, for data that do not fit.
        """
        given = sequences.given(X)
        labels = _labels(y)
        sequences.one_each(labels, given)
        classes = Classes.of(labels)
        self._learn(
            "classify",
            lambda directory: sequences.written(directory, given, classes.named(labels)),
            pooling=self.pooling,
            symbols=self.symbols if given.kind == "texts" else None,
            **sequences.columns(given.kind),
        )
        self._classes, self._kind = classes, given.kind
        self.classes_ = classes.values
        if given.features is not None:
            self.n_features_in_ = given.features
        elif hasattr(self, "n_features_in_"):
            del self.n_features_in_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (sequences, classes), in the order of `classes_`.

        Raises `NotFittedError` before `fit`, and `WrongInput` for sequences of another kind.
        """
        predictor = self._predictor()
        given = self._checked(sequences.given(X))
        with as_wrong_input():
            table = predictor.predict(given.items, probabilities=True)
        return self._classes.probabilities(table)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each sequence. Raises as `predict_proba`."""
        found = self.predict_proba(X)
        return self.classes_[found.argmax(axis=1)]

    def _checked(self, given: Given) -> Given:
        features = getattr(self, "n_features_in_", None)
        sequences.check_features(given, self._kind, features, type(self).__name__)
        return given


def _labels(y: Any) -> np.ndarray:
    """One label a sequence. Raises scikit-learn's ValueErrors for anything else."""
    if y is None:
        raise ValueError("SequenceClassifier requires y to be passed, but the target y is None.")
    found = column_or_1d(y, warn=True)
    check_classification_targets(found)
    return found
