"""Sequence to sequence: the pairs of a file as numbers; what is learned of the training part."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Int

from capax.data.pairs import Pairs
from capax.data.vocabulary import Vocabulary
from capax.errors import CapaxError
from capax.jobs.preparation import Preparation
from capax.jobs.symbols import often

KINDS = ("characters", "words")
DECODERS = ("attention", "ctc")
"""How networks say a target: an encoder-decoder with attention, or connectionist temporal
classification; the usual one first."""
MOST_SLOTS = 6
"""Places of a source's symbol for those of its target, at most (`scoring.ctc`)."""
PARTS = ("train", "validation", "evaluation")
HELD_OUT = 0.1
"""The share of sources in the validation part, and in the evaluation part, if they are not too many
to be scored."""
LEAST = 10
"""Sources that there must be."""
TRAINED = 0.995
"""Training takes this share of pairs, the shorter ones: all are padded to the longest."""
MUCH_LONGER = 1.25
"""It takes all where the longest is not so many times longer."""

Texts = Sequence[str]
Symbols = tuple[str, ...]


def split_text(text: str, kind: str) -> Symbols:
    """The symbols of a text: its characters, or its words, which stand between spaces."""
    return tuple(text) if kind == "characters" else tuple(text.split())


def joined(symbols: Sequence[str], kind: str) -> str:
    """The text of symbols."""
    return ("" if kind == "characters" else " ").join(symbols)


def usual_kind(texts: Texts) -> str:
    """Words where most texts have spaces in them, else characters."""
    return "words" if sum(" " in text.strip() for text in texts) > 0.5 * len(texts) else "characters"


@dataclasses.dataclass(frozen=True)
class Side:
    """How the texts of sources, or of targets, are symbols. `kind`: "characters" or "words";
    `longest`: symbols of the longest text of the training part."""

    name: str
    kind: str
    vocabulary: Vocabulary
    longest: int

    def symbols(self, text: str) -> Symbols:
        return split_text(text, self.kind)

    def encode(self, texts: Texts) -> list[Int[np.ndarray, " _"]]:
        """Numbers of the symbols of each text."""
        parts = [self.symbols(text) for text in texts]
        numbers = self.vocabulary.encode([symbol for part in parts for symbol in part])
        return np.split(numbers, np.cumsum([len(part) for part in parts])[:-1]) if parts else []

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kind": self.kind, "longest": self.longest, **self.vocabulary.to_json()}

    @staticmethod
    def from_json(given: Any) -> "Side":
        """As `to_json` gave it. Raises `CapaxError` for anything else."""
        if not isinstance(given, Mapping) or given.get("kind") not in KINDS or not isinstance(given.get("name"), str):
            raise CapaxError("this is no preparation of pairs: it does not say what its texts are made of.")
        longest = given.get("longest")
        if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
            raise CapaxError(f"this is no preparation of pairs: 'longest' is a whole number from 1, not {longest!r}.")
        return Side(given["name"], given["kind"], Vocabulary.from_json(dict(given)), longest)


@dataclasses.dataclass(frozen=True)
class Translating(Preparation):
    """What is learned of the training part: how sources and targets are symbols. `backwards`:
    networks read a source from its last symbol to its first. `decoder`: one of `DECODERS`; `slots`:
    places that each symbol of a source has with "ctc".
    """

    job: ClassVar[str] = "translate"
    source: Side
    target: Side
    backwards: bool = False
    decoder: str = DECODERS[0]
    slots: int = 1

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise CapaxError(f"this is no preparation of pairs: 'decoder' is {' or '.join(DECODERS)}.")
        if isinstance(self.slots, bool) or not isinstance(self.slots, int) or not 1 <= self.slots <= MOST_SLOTS:
            raise CapaxError(f"this is no preparation of pairs: 'slots' is a whole number from 1 to {MOST_SLOTS}.")

    @property
    def ctc(self) -> bool:
        return self.decoder == "ctc"

    @property
    def inputs(self) -> int:
        return self.source.vocabulary.size

    @property
    def outputs(self) -> int:
        """The target's symbols, that of unknown ones, and the end; with "ctc" a blank in place of
        the end, for each slot.
        """
        return self.slots * (self.target.vocabulary.size + 1)

    @property
    def symbols(self) -> bool:
        return True

    @property
    def end(self) -> int:
        """The symbol that ends a target; with "ctc" the blank."""
        return self.target.vocabulary.size

    @property
    def limit(self) -> int:
        """Symbols of an answer at most, the end included: a fourth more than the longest."""
        return self.target.longest + self.target.longest // 4 + 2

    def as_read(
        self, sources: Int[np.ndarray, "rows time"], lengths: Int[np.ndarray, " rows"]
    ) -> Int[np.ndarray, "rows time"]:
        """Sources in the order in which a network reads them; what is behind a length stays."""
        if not self.backwards:
            return sources
        time = np.arange(sources.shape[1])[None]
        return np.take_along_axis(sources, np.where(time < lengths[:, None], lengths[:, None] - 1 - time, time), axis=1)

    def answer(self, numbers: Sequence[int] | Int[np.ndarray, " time"]) -> Symbols:
        """The symbols of numbers up to the end."""
        found = np.asarray(numbers, int)
        ends = np.flatnonzero(found == self.end)
        return tuple(self.target.vocabulary.decode(found[: ends[0]] if len(ends) else found))

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source.to_json(), "target": self.target.to_json(), **self._how()}

    def _how(self) -> dict[str, Any]:
        return {"backwards": self.backwards, "decoder": self.decoder, "slots": self.slots}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Translating":
        backwards = given.get("backwards", False)
        if not isinstance(backwards, bool):
            raise CapaxError(f"this is no preparation of pairs: 'backwards' must be true or false, not {backwards!r}.")
        sides = Side.from_json(given.get("source")), Side.from_json(given.get("target"))
        return cls(*sides, backwards, given.get("decoder", DECODERS[0]), given.get("slots", 1))


@dataclasses.dataclass(frozen=True)
class Part:
    """The pairs of a part, a row each: `sources` and `targets` as numbers, 0 behind their ends,
    with `source_lengths` and `target_lengths`; targets have the end symbol at their end, which
    counts.

    `texts`: the different sources; `references`: of each, its targets; `rows`: of each row, which
    of them it belongs to.
    """

    sources: Int[np.ndarray, "rows source_time"]
    source_lengths: Int[np.ndarray, " rows"]
    targets: Int[np.ndarray, "rows target_time"]
    target_lengths: Int[np.ndarray, " rows"]
    texts: tuple[str, ...]
    references: tuple[tuple[Symbols, ...], ...]
    rows: Int[np.ndarray, " rows"]

    def rows_where(self, kept: Bool[np.ndarray, " rows"]) -> "Part":
        """With these rows alone, and no longer than they are."""
        source, target = self.source_lengths[kept], self.target_lengths[kept]
        return dataclasses.replace(
            self,
            sources=self.sources[kept, : source.max(initial=1)],
            source_lengths=source,
            targets=self.targets[kept, : target.max(initial=1)],
            target_lengths=target,
            rows=self.rows[kept],
        )


@dataclasses.dataclass(frozen=True)
class PreparedPairs:
    """A file's three parts by name, what was learned of the training part, and what the file was
    taken for, a sentence each."""

    preparation: Translating
    parts: Mapping[str, Part]
    notes: tuple[str, ...]

    @functools.cached_property
    def slots(self) -> int | None:
        """Places for each symbol of a source so that nearly all targets of the training part fit;
        None where that would be too many.
        """
        found = int(np.quantile(_slots(self.parts["train"]), TRAINED, method="higher"))
        return found if found <= MOST_SLOTS else None

    def with_ctc(self) -> "PreparedPairs":
        """The same for networks with connectionist temporal classification, which learn of pairs
        that fit alone. Raises `CapaxError` where targets are too long for it.
        """
        if self.slots is None:
            raise CapaxError(
                f"decoder=ctc takes targets of at most {MOST_SLOTS} symbols for each of their source's, and these have "
                "more; leave it out, or try target_symbols=words."
            )
        train = self.parts["train"]
        parts = {**self.parts, "train": train.rows_where(_slots(train) <= self.slots)}
        preparation = dataclasses.replace(self.preparation, backwards=False, decoder="ctc", slots=self.slots)
        return PreparedPairs(preparation, parts, self.notes)


def _slots(part: Part) -> Int[np.ndarray, " rows"]:
    """Places for each symbol of a source that a target needs, the end of which takes none."""
    real = np.arange(1, part.targets.shape[1])[None] < part.target_lengths[:, None] - 1
    needed = part.target_lengths - 1 + ((part.targets[:, 1:] == part.targets[:, :-1]) & real).sum(axis=1)
    return -(-needed // np.maximum(part.source_lengths, 1))


def prepare(
    pairs: Pairs,
    *,
    source_symbols: str | None = None,
    target_symbols: str | None = None,
    seed: int = 0,
    evaluated: int = 3000,
    most: int = 20_000,
    backwards: bool = True,
    where: str = "the data",
) -> PreparedPairs:
    """Split by source, learn vocabularies of the training part, and make arrays of all parts.

    **Arguments:** the kinds of symbols (default: as found); `seed` of the parts; `evaluated`:
    sources of a held-out part at most; `most`: symbols of a vocabulary at most, the commonest;
    `backwards`: whether networks read sources backwards.

    Raises `CapaxError` for too few sources.
    """
    kinds = [
        given or usual_kind(side) for given, side in ((source_symbols, pairs.sources), (target_symbols, pairs.targets))
    ]
    grouped: dict[Symbols, dict[Symbols, None]] = {}
    for source, target in zip(pairs.sources, pairs.targets, strict=True):
        grouped.setdefault(split_text(source, kinds[0]), {})[split_text(target, kinds[1])] = None
    parts = _split(list(grouped), seed, evaluated, where)
    learned = [(source, target) for source in parts["train"] for target in grouped[source]]
    sides = [[source for source, _ in learned], [target for _, target in learned]]
    preparation = Translating(
        Side(pairs.columns[0], kinds[0], often(_all(sides[0]), most), max(map(len, sides[0]))),
        Side(pairs.columns[1], kinds[1], Vocabulary.fit(_all(sides[1]), most), max(map(len, sides[1]))),
        backwards,
    )
    arrays = {name: _part(preparation, sources, grouped) for name, sources in parts.items()}
    notes = [*pairs.notes, *_said(preparation, pairs, parts, grouped, arrays)]
    arrays["train"], said = _for_training(arrays["train"])
    return PreparedPairs(preparation, arrays, (*notes, *said))


def _all(sequences: Sequence[Symbols]) -> list[str]:
    return [symbol for sequence in sequences for symbol in sequence]


def _split(sources: list[Symbols], seed: int, evaluated: int, where: str) -> dict[str, list[Symbols]]:
    """The sources of each part. A source's place follows from the seed and the source alone."""
    if len(sources) < LEAST:
        counted = "1 source" if len(sources) == 1 else f"{len(sources)} different sources"
        raise CapaxError(
            f"{where} has {counted}; a part to train on, one to choose by, and one to report need {LEAST} or more."
        )
    ordered = sorted(
        sources,
        key=lambda source: hashlib.sha256(f"{seed}\0{chr(0).join(source)}".encode("utf-8", "surrogatepass")).digest(),
    )
    held_out = max(1, min(evaluated, round(HELD_OUT * len(sources))))
    ends = {"evaluation": (0, held_out), "validation": (held_out, 2 * held_out), "train": (2 * held_out, len(sources))}
    return {name: ordered[slice(*ends[name])] for name in PARTS}


def _part(preparation: Translating, sources: list[Symbols], grouped: Mapping[Symbols, Mapping[Symbols, None]]) -> Part:
    rows = [(number, source, target) for number, source in enumerate(sources) for target in grouped[source]]
    of_sources = _padded([preparation.source.vocabulary.encode(source) for _, source, _ in rows])
    targets = [np.append(preparation.target.vocabulary.encode(target), preparation.end) for *_, target in rows]
    return Part(
        *of_sources,
        *_padded(targets),
        tuple(joined(source, preparation.source.kind) for source in sources),
        tuple(tuple(grouped[source]) for source in sources),
        np.array([number for number, *_ in rows], np.int32),
    )


def _padded(sequences: Sequence[np.ndarray]) -> tuple[Int[np.ndarray, "rows time"], Int[np.ndarray, " rows"]]:
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    found = np.zeros((len(sequences), int(lengths.max(initial=1))), np.int32)
    found[np.arange(found.shape[1])[None] < lengths[:, None]] = np.concatenate(sequences) if len(sequences) else 0
    return found, lengths


def _for_training(part: Part) -> tuple[Part, list[str]]:
    """Without the few pairs that are much longer than all others."""
    kept = np.ones(len(part.rows), bool)
    for lengths in (part.source_lengths, part.target_lengths):
        most = int(np.quantile(lengths, TRAINED, method="higher"))
        if lengths.max() > MUCH_LONGER * most:
            kept &= lengths <= most
    if kept.all():
        return part, []
    shorter = part.rows_where(kept)
    source, target = shorter.sources.shape[1], shorter.targets.shape[1]
    left = int((~kept).sum())
    said = f"{'1 pair' if left == 1 else f'{left:,} pairs'} with more than {source:,} or {target - 1:,} symbols"
    return shorter, [f"in training, {said} left out; held-out parts have all"]


def _said(
    preparation: Translating,
    pairs: Pairs,
    parts: Mapping[str, list[Symbols]],
    grouped: Mapping[Symbols, Mapping[Symbols, None]],
    arrays: Mapping[str, Part],
) -> list[str]:
    several = sum(len(targets) > 1 for targets in grouped.values())
    notes = [
        f"{side.name}: {side.kind}, {len(side.vocabulary.symbols):,} different ones in the training part, up to "
        f"{side.longest:,} in a row; otherwise: --set {role}_symbols={KINDS[side.kind == KINDS[0]]}"
        for role, side in (("source", preparation.source), ("target", preparation.target))
    ]
    if preparation.backwards:
        notes.append(
            "encoder-decoders read a source from its last symbol to its first; otherwise: --set backwards=false"
        )
    if several:
        notes.append(
            f"{several:,} of {len(grouped):,} sources have several targets: each of them is right; all targets of a source are "
            "in one part"
        )
    doubles = len(pairs) - sum(map(len, grouped.values()))
    if doubles:
        notes.append(f"{'1 pair stands' if doubles == 1 else f'{doubles:,} pairs stand'} before: left out")
    sizes = ", ".join(f"{len(sources):,} for {name}" for name, sources in parts.items())
    notes.append(f"parts, by source, drawn at random: {sizes}")
    for name in PARTS[1:]:
        part = arrays[name]
        unknown = np.zeros(len(part.texts), bool)
        unknown[part.rows[(part.targets == preparation.target.vocabulary.unknown).any(axis=1)]] = True
        if unknown.any():
            notes.append(
                f"{int(unknown.sum()):,} sources of the {name} part have symbols in targets that training has not"
            )
    return notes
