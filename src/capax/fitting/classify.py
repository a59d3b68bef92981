"""Classification of a user's own sequences: networks and other methods on the evaluation part, and
labels of new sequences.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capax.baselines import features
from capax.baselines.labels import frequencies
from capax.baselines.logistic import Logistic
from capax.fitting.labelled import LabelFitting, LabelPredictor, Labels, log_probabilities
from capax.jobs.classify import Classifying
from capax.jobs.labelled import Part
from capax.networks.parts import Assembled
from capax.tasks.classify import Classify, pool

SEEN = {
    "numbers": "mean, deviation, ends, slope",
    "characters": "1 to 3 characters",
    "words": "words and pairs of words",
}
"""What logistic regression sees of a sequence, by what a step is; ends: least, most, first, and
last value."""


class ClassifyFitting(LabelFitting[Classify]):
    """Answers are labels of whole sequences."""

    def __init__(self, task: Classify):
        super().__init__(task)
        self.truth = self.part("evaluation").targets
        self.units = np.arange(len(self.truth))

    def answers(self, network: Assembled) -> Labels:
        steps = self.part("evaluation").data.steps
        return Labels.likeliest(of_sequences(network, _preparation(self.task), steps))

    def baselines(self) -> Iterator[tuple[str, Labels]]:
        training, classes = self.part("train"), len(self.names)
        shares = np.log(frequencies(training.targets, classes))
        yield "majority", Labels.likeliest(np.tile(shares, (len(self.truth), 1)))
        kind = training.data.layout.kind
        inputs = _seen(kind, training)
        x = {name: inputs(self.part(name)) for name in ("train", "validation", "evaluation")}
        chosen = Logistic.chosen(
            x["train"], training.targets, (x["validation"], self.part("validation").targets), classes
        )
        yield f"logistic regression ({SEEN[kind]})", Labels.likeliest(chosen.log_probabilities(x["evaluation"]))

    def examples(self, answers: Labels) -> pd.DataFrame:
        """The rows of the evaluation part with the columns "truth", "found", and "probability"."""
        data = self.part("evaluation").data
        rows = data.rows.iloc[[int(places[0]) for places in data.places]].reset_index(drop=True)
        names = np.array(self.names, dtype=object)
        found = {"truth": list(data.labels), "found": names[answers.found], "probability": answers.confidence}
        return pd.concat([rows.drop(columns=[name for name in found if name in rows]), pd.DataFrame(found)], axis=1)


class ClassifyPredictor(LabelPredictor):
    """Labels of new sequences."""

    preparation: Classifying  # pyright: ignore[reportIncompatibleVariableOverride]

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        data: Path | str | pd.DataFrame | list[Any],
        *,
        probabilities: bool = False,
        encoding: str | None = None,
        decimal: str | None = None,
    ) -> pd.DataFrame:
        """The label of each sequence with its probability, beside the data's own columns.

        **Arguments:** `data`: a file or a DataFrame with the columns that the model was trained on;
        or a list of sequences, each a text, a list of words, or an array (time, features);
        `probabilities`: whether those of all labels are given; `encoding` and `decimal` of a file.

        A sequence without steps has no label. Rows that are steps become one row a sequence, with
        the columns that are the same in all of its rows.

        Raises `CapaxError` for data of another kind than those of the training.
        """
        new = self.read(data, encoding, decimal)
        found = of_sequences(self.network, self.preparation, new.steps)
        known = np.array([len(steps) > 0 for steps in new.steps])
        return self.with_answers(new.rows, found, known, probabilities)


def of_sequences(network: Assembled, preparation: Classifying, steps: Any) -> np.ndarray:
    """Logarithms of labels' probabilities, (sequences, classes)."""
    reduce = functools.partial(pool, pooling=preparation.pooling)
    return np.stack(log_probabilities(network, preparation, steps, reduce))


def _preparation(task: Classify) -> Classifying:
    found = task.prepared.preparation
    assert isinstance(found, Classifying)
    return found


def _seen(kind: str, training: Part) -> Callable[[Part], Any]:
    """From a part to the inputs of logistic regression, which are learned of the training part."""
    if kind == "numbers":
        standard = features.Standard.fit(features.summaries(training.data.numbers))
        return lambda part: standard(features.summaries(part.data.numbers))
    counted = features.grams if kind == "characters" else features.words_and_pairs
    bag = features.Bag.fit(counted(symbols) for symbols in training.data.symbols)
    return lambda part: bag([counted(symbols) for symbols in part.data.symbols], length_one=True)
