"""Sequence to sequence on a user's own pairs: how networks and a joint n-gram answer the evaluation
part, and answers to new sources.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from capax.baselines import joint_ngram
from capax.baselines.joint_ngram import JointNgram
from capax.data import pairs
from capax.errors import CapaxError
from capax.fitting import translate_networks
from capax.fitting.contract import ANSWERS, Fitting, Predictor, Score
from capax.jobs.translate import Part, Symbols, Translating, joined
from capax.networks.beam import attended
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.parts import Assembled
from capax.scoring import Estimate, references
from capax.scoring.resampling import estimate
from capax.tasks.translate import Translate

BEAM = 8
CHOSEN_ON = 1000
"""Sources of the validation part on which the order of the n-gram is chosen."""
MOST_EXAMPLES = 200
SHOWN, LENGTH_SHOWN = 4, 0.7
"""Sources whose attention is shown, all of one length: longer than so many others."""
LONG = 12
"""Where targets have more symbols in the mean, few answers are without any error: then the first
score is the symbol error rate."""

EXACT, ERRORS = Score("exact match", False), Score("symbol error rate", True)
LOSS = Score("nats per symbol", True)


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """The best answer to each source, and the cross-entropy of each row's target where it is
    known, summed over its symbols and its end."""

    found: tuple[Symbols, ...]
    losses: Float[np.ndarray, " rows"] | None


class TranslateFitting(Fitting[Translate, Answers]):
    """Answers are those of a beam search. One is right if it is any of its source's targets;
    symbols are compared with the nearest of these.
    """

    columns: ClassVar[tuple[Score, ...]] = (EXACT, ERRORS, LOSS)
    resampled: ClassVar[str] = "sources"

    def __init__(self, task: Translate, part: str = "evaluation"):
        super().__init__(task)
        self._part = task.prepared.parts[part]
        self._long = float(self._part.target_lengths.mean()) - 1 > LONG
        if self._long:
            self.columns = (ERRORS, EXACT, LOSS)  # pyright: ignore[reportAttributeAccessIssue]

    def on_validation(self) -> "TranslateFitting":
        return TranslateFitting(self.task, "validation")

    def answers(self, network: Assembled) -> Answers:
        answering = translate_networks.answering(network, self.task.preparation)
        found = [best[0][0] for best in answering.answers(*_sources(self._part), beam=BEAM)]
        return Answers(tuple(found), answering.losses(self._part))

    def baselines(self) -> Iterator[tuple[str, Answers]]:
        preparation = self.task.preparation
        train, validation = (self.task.prepared.parts[name] for name in ("train", "validation"))
        asked = _cut(_sources(validation))[:CHOSEN_ON]

        def error(fitted: JointNgram) -> float:
            answers = _of_ngram(fitted, preparation, asked)
            counted = references.errors(validation.references[: len(answers)], answers).sum(axis=0)
            return float(counted[0] / max(1, counted[1]))

        sources = _cut((train.sources, train.source_lengths))
        targets = _cut((train.targets, train.target_lengths - 1))
        fitted, _ = joint_ngram.chosen(sources, targets, error)
        found = _of_ngram(fitted, preparation, _cut(_sources(self._part)))
        yield f"joint n-gram (order {fitted.model.order})", Answers(tuple(found), None)

    def scores(self, answers: Answers) -> dict[str, Estimate]:
        right = self._part.references
        found = {
            EXACT.name: references.exact_match(right, answers.found),
            ERRORS.name: references.error_rate(right, answers.found),
        }
        if answers.losses is not None:
            symbols = self._part.target_lengths.astype(float)
            found[LOSS.name] = references.mean(answers.losses, symbols, self._part.rows)
        return {score.name: found[score.name] for score in self.columns if score.name in found}

    def difference(self, one: Answers, other: Answers) -> Estimate:
        right = self._part.references
        if not self._long:
            more = references.right(right, one.found) - references.right(right, other.found)
            return estimate(lambda chosen: float(more[chosen].mean()), len(more))
        both = [references.errors(right, answers.found) for answers in (one, other)]

        def rate(errors: Int[np.ndarray, "sources 2"], chosen: Any) -> float:
            return float(errors[chosen, 0].sum() / max(1, errors[chosen, 1].sum()))

        return estimate(lambda chosen: rate(both[0], chosen) - rate(both[1], chosen), len(both[0]))

    def further(self, network: Assembled) -> dict[str, pd.DataFrame]:
        """Under "attention": how much of each symbol of a few sources the network sees at each
        symbol of its answer; columns "example", "answer" and "source" (positions from 0), their
        symbols, and "weight". Nothing for a network without attention.
        """
        net, preparation = network, self.task.preparation
        if not isinstance(net, EncoderDecoder) or net.attention is None:
            return {}
        answering = translate_networks.answering(net, preparation)
        sources, lengths = _sources(self._part)
        middling = np.flatnonzero(lengths == np.quantile(lengths, LENGTH_SHOWN, method="nearest"))[:SHOWN]
        rows = []
        for number, place in enumerate(middling):
            source = sources[place, : lengths[place]]
            ((found, _),) = answering.answers(source[None], lengths[place : place + 1], beam=BEAM)[0]
            target = [*preparation.target.vocabulary.encode(found), preparation.end]
            order = -1 if preparation.backwards else 1
            weights = np.asarray(attended(net, jnp.asarray(source[::order]), jnp.asarray(target, jnp.int32)))[
                :, ::order
            ]
            seen = preparation.source.vocabulary.decode(source)
            for t, symbol in enumerate([*found, "(end)"]):
                rows += [(number, t, symbol, s, read, float(weights[t, s])) for s, read in enumerate(seen)]
        columns = ["example", "answer", "answer symbol", "source", "source symbol", "weight"]
        return {"attention": pd.DataFrame(rows, columns=columns)} if rows else {}

    def examples(self, answers: Answers) -> pd.DataFrame:
        """The columns: source, the targets that are right with " | " between, the answer, and
        "errors", the symbols in which it differs from the nearest."""
        preparation = self.task.preparation
        kind = preparation.target.kind
        errors = references.errors(self._part.references, answers.found)[:, 0]
        frame = pd.DataFrame(
            {
                preparation.source.name: self._part.texts,
                preparation.target.name: [" | ".join(joined(e, kind) for e in each) for each in self._part.references],
                "answer": [joined(answer, kind) for answer in answers.found],
                "errors": errors,
            }
        )
        return frame.head(MOST_EXAMPLES)


class TranslatePredictor(Predictor):
    """Answers to new sources."""

    preparation: Translating

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        data: Path | str | pd.DataFrame | Sequence[Any],
        *,
        beam: int = BEAM,
        best: int = 1,
        encoding: str | None = None,
    ) -> pd.DataFrame:
        """The likeliest targets of new sources.

        **Arguments:**

        - `data`: a list of texts; a DataFrame with the column of sources, or with one column; a
          file, whose lines are sources, or a table with the column of sources.
        - `beam`: beginnings of targets that are kept; 1 is greedy. `best`: how many answers are
          given for each source, at most `beam`.

        **Returns** the data's own columns, "answer" ("predicted answer" and so on where the data
        have such a column), and "log probability", the natural logarithm of that of the answer
        given the source; with `best` above 1, a row for each answer, and
        "rank", from 1. Symbols that training has not seen count as unknown. An empty source has an
        empty answer.

        Raises `CapaxError` for data without sources, and for a `best` above `beam`.
        """
        side, target = self.preparation.source, self.preparation.target
        frame, texts = _new(data, side.name, self.usual("encoding", encoding))
        numbers = side.encode(texts)
        empty = np.array([not len(each) for each in numbers], bool)
        sources, lengths = _padded([each for each in numbers if len(each)])
        answering = translate_networks.answering(self.network, self.preparation)
        rest = iter(answering.answers(sources, lengths, beam=beam, best=best))
        answers = [[((), float("nan"))] if none else next(rest) for none in empty]
        rows = np.repeat(np.arange(len(texts)), [len(each) for each in answers])
        result = frame.iloc[rows].reset_index(drop=True)
        columns: dict[str, Any] = {"answer": [joined(symbols, target.kind) for each in answers for symbols, _ in each]}
        if best > 1:
            columns["rank"] = [rank for each in answers for rank in range(1, len(each) + 1)]
        columns["log probability"] = [log for each in answers for _, log in each]
        taken = {str(name) for name in result}
        named = {f"predicted {name}" if name in taken else name: values for name, values in columns.items()}
        result = result.assign(**named)
        result.attrs[ANSWERS] = list(named)
        return result


def _sources(part: Part) -> tuple[Int[np.ndarray, "sources time"], Int[np.ndarray, " sources"]]:
    """Each different source of a part once."""
    _, first = np.unique(part.rows, return_index=True)
    return part.sources[first], part.source_lengths[first]


def _cut(padded: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    return [row[:length] for row, length in zip(*padded, strict=True)]


def _padded(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """As one array, whose time is rounded up, so that few shapes are compiled."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    found = np.zeros((len(sequences), -(-int(lengths.max(initial=1)) // 8) * 8), np.int32)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = sequence
    return found, lengths


def _of_ngram(fitted: JointNgram, preparation: Translating, sources: Sequence[np.ndarray]) -> list[Symbols]:
    return [preparation.answer(best[0][0]) if best else () for best in fitted.answers(sources)]


def _new(data: Any, name: str, encoding: str | None) -> tuple[pd.DataFrame, list[str]]:
    """New data as a frame with their own columns, and the texts of their sources."""
    if isinstance(data, str | Path):
        return pairs.new_sources(Path(data), name, encoding=encoding)
    if isinstance(data, pd.DataFrame):
        return data.reset_index(drop=True), pairs.source_texts(data, name, "the table")
    texts = list(data)
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise CapaxError(f"sources are texts, not {type(wrong).__name__}: {wrong!r}.")
    return pd.DataFrame({name: texts}), texts
