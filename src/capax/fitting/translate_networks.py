"""What a network answers to sources, and what it thinks of targets: of an encoder-decoder, and of a
network with connectionist temporal classification.
"""

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from capax.errors import CapaxError
from capax.jobs.translate import Part, Symbols, Translating
from capax.networks.beam import beam_search
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.parts import Assembled
from capax.scoring import ctc

TOGETHER = 128
"""Sources that are read at once."""

Answer = tuple[Symbols, float]
"""A target, and the natural logarithm of its probability given the source."""
Sources = Int[np.ndarray, "sources time"]
Lengths = Int[np.ndarray, " sources"]


@dataclasses.dataclass(frozen=True, eq=False)
class Answering(abc.ABC):
    """A network with its preparation. Sources are numbers of symbols in their own order."""

    network: Any
    preparation: Translating

    def answers(self, sources: Sources, lengths: Lengths, *, beam: int, best: int = 1) -> list[list[Answer]]:
        """For each source its `best` answers, the best first. Answers with the same symbols are
        given once.

        Raises `CapaxError` for a beam below 1, and a `best` above it.
        """
        found: list[list[Answer]] = []
        for begin in range(0, len(sources), TOGETHER):
            chosen = np.minimum(np.arange(begin, begin + TOGETHER), len(sources) - 1)
            some = self._answers(sources[chosen], lengths[chosen], beam, best)
            found += some[: len(sources) - begin]
        return found

    def losses(self, part: Part) -> Float[np.ndarray, " rows"]:
        """The negative natural logarithm of the probability of each row's target."""
        found = []
        for begin in range(0, len(part.rows), TOGETHER):
            chosen = np.minimum(np.arange(begin, begin + TOGETHER), len(part.rows) - 1)
            arrays = (part.sources, part.source_lengths, part.targets, part.target_lengths)
            found.append(np.asarray(self._losses(*(array[chosen] for array in arrays))))
        return np.concatenate(found)[: len(part.rows)].astype(np.float64)

    @abc.abstractmethod
    def _answers(self, sources: Sources, lengths: Lengths, beam: int, best: int) -> list[list[Answer]]: ...

    @abc.abstractmethod
    def _losses(self, sources: Sources, lengths: Lengths, targets: np.ndarray, target_lengths: Lengths) -> Array: ...


class OfAttention(Answering):
    """An encoder-decoder, by beam search."""

    def _answers(self, sources: Sources, lengths: Lengths, beam: int, best: int) -> list[list[Answer]]:
        given, read = self.preparation, jnp.asarray(self.preparation.as_read(sources, lengths))
        beams = beam_search(
            self.network, read, jnp.asarray(lengths), width=beam, limit=given.limit, end=given.end, best=best
        )
        symbols, logs = np.asarray(beams.symbols), np.asarray(beams.logs)
        rows = [
            [(given.answer(s), float(log)) for s, log in zip(*row, strict=True)]
            for row in zip(symbols, logs, strict=True)
        ]
        return [[answer for answer in row if answer[1] > -np.inf] for row in rows]

    def _losses(self, sources: Sources, lengths: Lengths, targets: np.ndarray, target_lengths: Lengths) -> Array:
        read = self.preparation.as_read(sources, lengths)
        return _cross_entropies(self.network, *map(jnp.asarray, (read, lengths, targets, target_lengths)))


class OfCtc(Answering):
    """A network that says something at each step of a source. An answer's probability is that of
    all ways to say it, and no beam's.
    """

    def _answers(self, sources: Sources, lengths: Lengths, beam: int, best: int) -> list[list[Answer]]:
        given = self.preparation
        logits = _places(self.network, jnp.asarray(sources), jnp.asarray(lengths), given.slots)
        said = ctc.search(np.asarray(jax.nn.log_softmax(logits)), given.slots * lengths, width=beam, best=best)
        rows, targets, sizes = (np.zeros((len(said) * best, *more), np.int32) for more in ((), logits.shape[1:2], ()))
        every = [(row, symbols) for row, found in enumerate(said) for symbols in found]
        for number, (row, symbols) in enumerate(every):
            rows[number], sizes[number] = row, len(symbols)
            targets[number, : len(symbols)] = symbols
        logs = -np.asarray(
            ctc.losses(
                logits[rows], given.slots * jnp.asarray(lengths)[rows], jnp.asarray(targets), jnp.asarray(sizes)
            ),
            float,
        )
        answers: list[list[Answer]] = [[] for _ in said]
        for (row, symbols), log in zip(every, logs.tolist(), strict=False):
            answers[row].append((given.answer(symbols), log))
        return [sorted(row, key=lambda answer: -answer[1]) for row in answers]

    def _losses(self, sources: Sources, lengths: Lengths, targets: np.ndarray, target_lengths: Lengths) -> Array:
        slots = self.preparation.slots
        logits = _places(self.network, jnp.asarray(sources), jnp.asarray(lengths), slots)
        return ctc.losses(logits, slots * jnp.asarray(lengths), jnp.asarray(targets), jnp.asarray(target_lengths) - 1)


def answering(network: Assembled, preparation: Translating) -> Answering:
    """What answers with a network. Raises `CapaxError` for one of another kind than its preparation
    says.
    """
    attentive = isinstance(network, EncoderDecoder)
    if attentive == preparation.ctc:
        due = "of any other kind" if preparation.ctc else 'of the kind "encoder-decoder"'
        raise CapaxError(f"sequence to sequence with decoder={preparation.decoder} needs a network {due}.")
    return (OfAttention if attentive else OfCtc)(network, preparation)


@eqx.filter_jit
def _places(network: Any, sources: Array, lengths: Array, slots: int) -> Float[Array, "B P K"]:
    return ctc.places(network(sources, lengths).T, slots)


@eqx.filter_jit
def _cross_entropies(
    network: EncoderDecoder, source: Array, lengths: Array, target: Array, target_lengths: Array
) -> Array:
    logs = jax.nn.log_softmax(network(source, target, lengths, target_lengths))
    chosen = jnp.take_along_axis(logs, target[..., None], axis=2)[..., 0]
    return -jnp.sum(jnp.where(jnp.arange(target.shape[1])[None] < target_lengths[:, None], chosen, 0.0), axis=1)
