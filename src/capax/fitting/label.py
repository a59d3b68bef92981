"""Labelling of a user's own sequences: networks and other methods on the evaluation part, and
labels of new sequences.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capax.baselines import features
from capax.baselines.labels import ENDINGS, LabelOfWord, frequencies
from capax.baselines.logistic import Logistic
from capax.fitting.labelled import LabelFitting, LabelPredictor, Labels, log_probabilities
from capax.jobs.label import Labelling
from capax.jobs.labelled import Part
from capax.networks.parts import Assembled
from capax.tasks.label import Label


class LabelsFitting(LabelFitting[Label]):
    """Answers are labels of the steps of the evaluation part that have one."""

    def __init__(self, task: Label):
        super().__init__(task)
        part = self.part("evaluation")
        self.truth = _flat(part)
        self.units = np.repeat(np.arange(len(part.lengths)), (part.targets >= 0).sum(axis=1))

    def answers(self, network: Assembled) -> Labels:
        part, preparation = self.part("evaluation"), self.task.prepared.preparation
        found = np.concatenate(log_probabilities(network, preparation, part.data.steps))
        return Labels.likeliest(found[_scored(part)])

    def baselines(self) -> Iterator[tuple[str, Labels]]:
        classes = len(self.names)
        shares = np.log(np.maximum(frequencies(_flat(self.part("train")), classes), 1e-12))
        yield "majority", Labels.likeliest(np.tile(shares, (len(self.truth), 1)))
        if self.part("train").data.layout.kind == "numbers":
            yield "logistic regression (numbers of five steps)", self._logistic(self._numbers())
            return
        for name, endings in (("", ()), (", unknown by ending", ENDINGS)):
            yield f"most frequent label per word{name}", self._per_word(endings)
        yield "logistic regression (word, endings, neighbours)", self._logistic(self._words())

    def _per_word(self, endings: tuple[int, ...]) -> Labels:
        words = {name: _words(self.part(name)) for name in ("train", "validation", "evaluation")}
        fitted = LabelOfWord.fit(words["train"], _flat(self.part("train")), len(self.names), endings)
        validation = _flat(self.part("validation"))
        seen = np.flatnonzero(validation < len(self.names))
        fitted = fitted.chosen([words["validation"][place] for place in seen], validation[seen])
        return Labels(fitted.labels(words["evaluation"]), np.log(fitted.probabilities(words["evaluation"])))

    def _words(self) -> dict[str, Any]:
        """Inputs of logistic regression on words, by part."""
        around = {}
        for name in ("train", "validation", "evaluation"):
            part = self.part(name)
            every = [each for words in part.data.symbols for each in features.around_words(words)]
            around[name] = [every[place] for place in np.flatnonzero(_scored(part))]
        bag = features.Bag.fit(around["train"])
        return {name: bag(items) for name, items in around.items()}

    def _numbers(self) -> dict[str, Any]:
        """Inputs of logistic regression on numbers, by part."""
        around = {}
        for name in ("train", "validation", "evaluation"):
            part = self.part(name)
            every = np.concatenate([features.around_numbers(steps) for steps in part.data.numbers])
            around[name] = every[_scored(part)]
        standard = features.Standard.fit(around["train"])
        return {name: standard(items) for name, items in around.items()}

    def _logistic(self, x: dict[str, Any]) -> Labels:
        validation = (x["validation"], _flat(self.part("validation")))
        chosen = Logistic.chosen(x["train"], _flat(self.part("train")), validation, len(self.names))
        return Labels.likeliest(chosen.log_probabilities(x["evaluation"]))

    def examples(self, answers: Labels) -> pd.DataFrame:
        """A row a step with the columns of the file, and "truth", "found", and "probability"."""
        data = self.part("evaluation").data
        places = np.concatenate(data.places)[_scored(self.part("evaluation"))]
        names = np.array([*self.names, None], dtype=object)
        truth = [label for labels in data.labels for label in labels if label is not None]
        found = {"truth": truth, "found": names[answers.found], "probability": answers.confidence}
        rows = data.rows.iloc[places].reset_index(drop=True)
        return pd.concat([rows.drop(columns=[name for name in found if name in rows]), pd.DataFrame(found)], axis=1)


class LabelsPredictor(LabelPredictor):
    """Labels of the steps of new sequences."""

    preparation: Labelling  # pyright: ignore[reportIncompatibleVariableOverride]

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        data: Path | str | pd.DataFrame | list[Any],
        *,
        probabilities: bool = False,
        encoding: str | None = None,
        decimal: str | None = None,
    ) -> pd.DataFrame:
        """The label of each step with its probability, a row a step, beside the data's own columns.

        **Arguments:** `data`: a file or a DataFrame with the columns that the model was trained on;
        or a list of sequences, each a text, a list of words, or an array (time, features);
        `probabilities`: whether those of all labels are given; `encoding` and `decimal` of a file.

        Steps behind the longest that the model reads have no label.

        Raises `CapaxError` for data of another kind than those of the training.
        """
        new = self.read(data, encoding, decimal)
        found = np.full((len(new.rows), len(self.preparation.labels)), -np.inf)
        known = np.zeros(len(new.rows), bool)
        of_steps = log_probabilities(self.network, self.preparation, new.steps)
        for places, each in zip(new.places, of_steps, strict=True):
            found[places], known[places] = each, True
        return self.with_answers(new.rows, found, known, probabilities)


def _scored(part: Part) -> np.ndarray:
    """Of all steps of a part, one sequence after the other, which have a label."""
    real = np.arange(part.time)[None] < part.lengths[:, None]
    return part.targets[real] >= 0


def _flat(part: Part) -> np.ndarray:
    """The numbers of the labels of these steps."""
    return part.targets[part.targets >= 0]


def _words(part: Part) -> list[str]:
    """The words of these steps."""
    every = [word for words in part.data.symbols for word in words]
    return [every[place] for place in np.flatnonzero(_scored(part))]
