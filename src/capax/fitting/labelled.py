"""What classification and labelling share in a fit: a network's probabilities, scores of labels,
and the columns of answers.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from capax.data.labelled import Labelled
from capax.errors import CapaxError
from capax.fitting.contract import ANSWERS, Fitting, OfTask, Predictor, Score
from capax.jobs.labelled import LabelPreparation, Part
from capax.networks.parts import Assembled
from capax.scoring import Estimate, calibration, labels
from capax.scoring.calibration import Reliability
from capax.tasks.labelled import as_sequence

ACCURACY, MACRO_F1 = Score("accuracy", False), Score("macro F1", False)
CROSS_ENTROPY = Score("cross-entropy (nats)", True)
BATCH = 64
"""Sequences that go through a network together; fewer where they are long."""
STEPS = 64 * 1024
"""Steps of such a batch, at most."""
SHORTEST, GROWTH = 16, 2
"""Batches are padded to 16, 32, 64, .. steps, so that few programs are compiled."""

LogProbabilities = Float[np.ndarray, "items classes"]


@dataclasses.dataclass(frozen=True)
class Labels:
    """Answers: the number of the label that was found for each item (a sequence, or a step), and
    the logarithms of all labels' probabilities.
    """

    found: Int[np.ndarray, " items"]
    log_probabilities: LogProbabilities

    @staticmethod
    def likeliest(log_probabilities: LogProbabilities) -> "Labels":
        """Those of the highest probability."""
        return Labels(log_probabilities.argmax(axis=1), log_probabilities)

    @property
    def confidence(self) -> Float[np.ndarray, " items"]:
        """The probability of the label that was found."""
        return np.exp(self.log_probabilities[np.arange(len(self.found)), self.found])


class LabelFitting(Fitting[OfTask, Labels]):
    """Scores of labels of items; `truth`, their numbers, and `units`, to which sequence each
    belongs. Intervals resample sequences.
    """

    columns: ClassVar[tuple[Score, ...]] = (ACCURACY, MACRO_F1, CROSS_ENTROPY)

    truth: Int[np.ndarray, " items"]
    units: Int[np.ndarray, " items"]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels in the order of their numbers."""
        preparation: LabelPreparation = self.task.prepared.preparation
        return preparation.labels

    def part(self, name: str) -> Part:
        """The training, validation, or evaluation part."""
        return self.task.prepared.parts[name]

    def scores(self, answers: Labels) -> dict[str, Estimate]:
        classes = len(self.names) + 1  # the last one: labels that training has not seen
        return {
            ACCURACY.name: labels.accuracy(self.truth, answers.found, self.units),
            MACRO_F1.name: labels.macro_f1(self.truth, answers.found, classes, self.units),
            CROSS_ENTROPY.name: labels.mean(self._surprise(answers), self.units),
        }

    def difference(self, one: Labels, other: Labels) -> Estimate:
        """By how much more accurate `one` is."""
        hits = [(answers.found == self.truth).astype(float) for answers in (one, other)]
        return labels.mean(hits[0] - hits[1], self.units)

    def confusion(self, answers: Labels) -> pd.DataFrame:
        """How often each label (row) was taken for each (column). Labels that training has not seen
        are the last row, where there are any.
        """
        names = [*self.names, "(not in training)"]
        table = labels.confusion(self.truth, answers.found, len(names))
        rows = len(names) if (self.truth == len(self.names)).any() else len(names) - 1
        return pd.DataFrame(table[:rows, :-1], index=pd.Index(names[:rows], name="label"), columns=pd.Index(names[:-1]))

    def reliability(self, answers: Labels) -> tuple[Reliability, Estimate]:
        """The table of confidence and accuracy, and the expected calibration error."""
        right = answers.found == self.truth
        error = calibration.calibration_error(answers.confidence, right, self.units)
        return calibration.reliability(answers.confidence, right), error

    def _surprise(self, answers: Labels) -> Float[np.ndarray, " items"]:
        """-log p of the true labels; NaN where training has not seen them."""
        known = self.truth < len(self.names)
        found = -answers.log_probabilities[np.arange(len(known)), np.where(known, self.truth, 0)]
        return np.where(known, found, np.nan)


def log_probabilities(
    network: Assembled, preparation: LabelPreparation, steps: Sequence[Any], reduce: Any = None
) -> list[Float[np.ndarray, "*_ classes"]]:
    """Of each sequence, the logarithms of the labels' probabilities at each step; or, where
    `reduce` makes (classes, batch) of outputs and weights, of the whole.
    """
    run = _compiled(preparation, reduce)
    lengths = [len(each) for each in steps]
    padded = np.array([_padded(length) for length in lengths])
    found: list[Any] = [None] * len(steps)
    for time in np.unique(padded):
        members = np.flatnonzero(padded == time)
        size = max(1, min(BATCH, STEPS // int(time)))
        for begin in range(0, len(members), size):
            chosen = members[begin : begin + size]
            values, real = preparation.encode([steps[number] for number in chosen])
            full = np.zeros((size, int(time), *values.shape[2:]), values.dtype)
            full[: len(chosen), : values.shape[1]] = values[:, :time]
            ends = np.ones(size, np.int32)
            ends[: len(chosen)] = real
            outputs = np.asarray(run(network, jnp.asarray(full), jnp.asarray(ends)), np.float64)
            outputs -= np.logaddexp.reduce(outputs, axis=0, keepdims=True)  # rounded to 32 bits they sum to nearly 1
            for place, number in enumerate(chosen):
                found[number] = outputs[..., place].T if reduce is not None else outputs[:, : lengths[number], place].T
    return found


def _padded(length: int) -> int:
    """The length to which sequences of this one are padded."""
    found = SHORTEST
    while found < length:
        found *= GROWTH
    return found


def _compiled(preparation: LabelPreparation, reduce: Any) -> Any:
    @eqx.filter_jit
    def run(network: Any, values: jax.Array, lengths: jax.Array) -> jax.Array:
        outputs = network.run(as_sequence(preparation.view, values), 0, lengths=lengths)
        if reduce is not None:
            weights = (jnp.arange(outputs.shape[1])[:, None] < lengths[None]).astype(outputs.dtype)
            outputs = reduce(outputs, weights)
        return jax.nn.log_softmax(outputs, axis=0)

    return run


class LabelPredictor(Predictor):
    """Labels of new data. Abstract."""

    preparation: LabelPreparation  # pyright: ignore[reportIncompatibleVariableOverride]

    def read(self, data: Any, encoding: str | None, decimal: str | None) -> Labelled:
        """Raises `CapaxError` for data of another kind than those of the training."""
        source = Path(data) if isinstance(data, str) and _is_file(data) else data
        encoding, decimal = self.usual("encoding", encoding), self.usual("decimal", decimal)
        return self.preparation.read_again(source, encoding=encoding, decimal=decimal)

    def with_answers(
        self, rows: pd.DataFrame, found: LogProbabilities, known: np.ndarray, probabilities: bool
    ) -> pd.DataFrame:
        """The rows with the columns "label" and "probability", and one for each label's probability
        where these are asked for; "predicted label" and so on where the data have such columns.
        What is not `known` has neither.
        """
        answers = Labels.likeliest(found)
        names = np.array(self.preparation.labels, dtype=object)
        columns: dict[str, Any] = {
            "label": [name if is_known else None for name, is_known in zip(names[answers.found], known, strict=True)],
            "probability": np.where(known, answers.confidence, np.nan),
        }
        if probabilities:
            each = np.where(known[:, None], np.exp(found), np.nan)
            columns |= {f"probability of {name}": each[:, number] for number, name in enumerate(names)}
        taken = {str(name) for name in rows}
        named = {f"predicted {name}" if name in taken else name: values for name, values in columns.items()}
        result = pd.concat([rows.reset_index(drop=True), pd.DataFrame(named)], axis=1)
        result.attrs[ANSWERS] = list(named)
        return result


def _is_file(data: str) -> bool:
    if Path(data).exists():
        return True
    raise CapaxError(f"there is no file {data}; for a text of your own give a list of texts.")
