"""A label for each step of a sequence, in scikit-learn's manner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from capax.errors import counted
from capax.estimators import sequences
from capax.estimators.base import Estimator
from capax.estimators.errors import WrongInput, as_wrong_input
from capax.estimators.labels import Classes
from capax.estimators.sequences import Given, Kind
from capax.fitting.fit import CELLS


class Labeller(Estimator):
    """The label of each step of sequences: a part of speech, a state, an event.

        X, y = [["the", "cat"], ["it", "sleeps"], ...], [["D", "N"], ["P", "V"], ...]
        model = capax.Labeller(minutes=3).fit(X, y)
        model.predict([["a", "dog"]])       # a list of arrays, one label a step

    Sequences may be of unequal lengths: X is a list of lists of words, of texts, whose steps are
    their characters, or of arrays (time, features) or (time,); or an array (sequences, time,
    features).

    Parameters, beside those of every estimator (`capax.estimators.base.Estimator`):

    - `words`: symbols of each stream of a word that are told apart, the commonest.

    Attributes after `fit`, beside those of every estimator: `classes_`, the labels in order;
    `n_features_in_`, the numbers of a step, where steps are numbers.
    """

    classes_: np.ndarray
    n_features_in_: int
    _kind: Kind

    def __init__(
        self,
        *,
        words: int | None = None,
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
        self.words = words
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
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any) -> "Labeller":
        """Find and train the best network, beside the methods that people trust.

        A tenth of the sequences is kept apart to choose by, and a tenth for `scores_`.

        **Arguments:** `X`: sequences; `y`: for each a list with one label a step, None where it is
        not known.

        Raises `WrongInput`, a `CapaxError` and a `ValueError`, for data that do not fit.
        """
        given = sequences.given(X).as_symbols
        labels = _labels(y, given)
        classes = Classes.of(label for each in labels for label in each)
        self._learn(
            "label",
            lambda directory: sequences.written(directory, given, [classes.named(each) for each in labels]),
            words=self.words,
            **sequences.columns(given.kind),
        )
        self._classes, self._kind = classes, given.kind
        self.classes_ = classes.values
        if given.features is not None:
            self.n_features_in_ = given.features
        elif hasattr(self, "n_features_in_"):
            del self.n_features_in_
        return self

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """The probability of each label at each step: an array (time, classes) a sequence.

        Raises `NotFittedError` before `fit`, and `WrongInput` for sequences of another kind.
        """
        predictor = self._predictor()
        given = sequences.given(X).as_symbols
        sequences.check_features(given, self._kind, getattr(self, "n_features_in_", None), type(self).__name__)
        with as_wrong_input():
            table = predictor.predict(given.items, probabilities=True)
        ends = np.cumsum([len(item) for item in given.items])[:-1]
        return np.split(self._classes.probabilities(table), ends)

    def predict(self, X: Any) -> list[np.ndarray]:
        """The likeliest label of each step: an array (time,) a sequence. Raises as
        `predict_proba`."""
        return [self.classes_[found.argmax(axis=1)] for found in self.predict_proba(X)]

    def score(self, X: Any, y: Any) -> float:
        """The share of steps whose label is right; those without a label do not count."""
        predicted = self.predict(X)
        truth = [self._classes.named(each) for each in _labels(y, sequences.given(X).as_symbols)]
        named = [self._classes.named(each) for each in predicted]
        right = [
            one == other
            for both in zip(truth, named, strict=True)
            for one, other in zip(*both, strict=True)
            if one is not None
        ]
        if not right:
            raise WrongInput("y holds no label to compare with.")
        return float(np.mean(right))


def _labels(y: Any, given: Given) -> list[list[Any]]:
    """The labels of each sequence. Raises `WrongInput` where there are not as many as steps."""
    if y is None:
        raise WrongInput("y is missing: it holds a list of labels for each sequence.")
    labels = [list(each) if np.ndim(each) or isinstance(each, str) else [each] for each in y]
    sequences.one_each(labels, given)
    for number, (each, item) in enumerate(zip(labels, given.items, strict=True)):
        if len(each) != len(item):
            raise WrongInput(
                f"y: sequence {number} (counted from 0) has {counted(len(each), 'label')} for "
                f"{counted(len(item), 'step')}; one a step is due."
            )
    return labels
