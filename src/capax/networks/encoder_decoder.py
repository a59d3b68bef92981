"""Encoder-decoder networks (Sutskever et al. 2014), with attention if wanted (Luong et al. 2015).

The encoder reads the source; the decoder begins with the encoder's last states, layer by layer, and
at every step reads the symbol before and says the next one. With attention what it says is made of
its own output h and a context c, the mean of the encoder's outputs by weights that follow from h:
tanh(W [c; h] + b) (Luong et al. 2015, eq. 5).

Symbols: t = steps of the target, s = steps of the source, n = units, b = batch.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from capax.cells import registry
from capax.cells.cell import Cell, Layer, State, real_steps
from capax.cells.sequence import OneHot, Sequence
from capax.cells.wiring import Wiring
from capax.errors import CapaxError, closest
from capax.networks import ways
from capax.networks.batches import as_batch, as_lengths
from capax.networks.creation import check_sizes, create, dropout_of, features
from capax.networks.parts import Assembled, Dropout, Linear, Norm, upwards
from capax.networks.ways import Way

SCORES = ["dot", "additive"]
"""How attention may score a step of the source."""


class Attention(eqx.Module):
    """Weights over the encoder's outputs, and what is made of them and the decoder's own.

    Scores: "dot", h . m / sqrt(n) (Vaswani et al. 2017, eq. 1); "additive", v . tanh(W h + U m + b)
    (Bahdanau et al. 2015).
    """

    combine: Linear
    query: Linear | None
    key: Linear | None
    score: Linear | None

    def __init__(self, units: int, score: str):
        additive = score == "additive"
        self.combine = Linear(2 * units, units)
        self.query, self.key = (Linear(units, units), Linear(units, units)) if additive else (None, None)
        self.score = Linear(units, 1) if additive else None

    @property
    def maps(self) -> tuple[Linear, ...]:
        return tuple(part for part in (self.combine, self.query, self.key, self.score) if part is not None)

    def weights(
        self, h: Float[Array, "t n b"], memory: Float[Array, "s n b"], real: Bool[Array, "s b"]
    ) -> Float[Array, "t s b"]:
        """How much of each step of the source a step of the target sees: numbers that add up to 1
        over the real steps.
        """
        if self.query is None or self.key is None or self.score is None:
            scores = jnp.einsum("tnb,snb->tsb", h, memory) / h.shape[1] ** 0.5
        else:
            queries, keys = jax.vmap(self.query)(h), jax.vmap(self.key)(memory)
            both = jnp.tanh(queries[:, None] + keys[None])
            scores = jnp.einsum("n,tsnb->tsb", self.score.weight[0], both) + self.score.bias[0]
        return jax.nn.softmax(jnp.where(real[None], scores, -jnp.inf), axis=1)

    def __call__(
        self, h: Float[Array, "t n b"], memory: Float[Array, "s n b"], real: Bool[Array, "s b"]
    ) -> Float[Array, "t n b"]:
        context = jnp.einsum("tsb,snb->tnb", self.weights(h, memory, real), memory)
        return jnp.tanh(jax.vmap(self.combine)(jnp.concatenate([context, h], axis=1)))


class Decoding(eqx.Module):
    """Where decoding stands: the decoder's `states`, and of the source the encoder's outputs and
    which are real.
    """

    states: tuple[State, ...]
    memory: Float[Array, "s n b"]
    real: Bool[Array, "s b"]

    def chosen(self, members: Int[Array, " k"]) -> "Decoding":
        """The same for these members of the batch, in this order; one may come several times, as in
        a beam.
        """
        return jax.tree.map(lambda leaf: leaf[..., members], self)


class EncoderDecoder(Assembled):
    """From a source, numbers or symbols, to a target of symbols 0 .. outputs - 1.
    `EncoderDecoder.create` initialises one.

    Encoder and decoder have the same cell, depth, and units. The decoder reads `outputs` + 1
    symbols: those of the target, and `start`, which stands before the first. With an `embedding`
    both read symbols through maps of their own.
    """

    entry: Linear | None
    encoder: tuple[Cell, ...]
    decoder: tuple[Cell, ...]
    readout: Linear
    target_entry: Linear | None
    attention: Attention | None
    norm: Norm | None
    encoder_norms: tuple[Norm, ...]
    decoder_norms: tuple[Norm, ...]
    direct: Array | None
    outputs: int = eqx.field(static=True)
    wiring: Wiring = eqx.field(static=True)

    def __init__(
        self,
        cell: type[Layer],
        *,
        inputs: int,
        outputs: int,
        depth: int,
        units: int,
        attention: str | None = None,
        nonlinearity: str | None = None,
        key: Array | None = None,
        wiring: Wiring | None = None,
    ):
        """All parameters zero. **Arguments:** the class of the cells, and sizes; `attention`,
        "dot", "additive", or None.

        Raises `CapaxError` for sizes that the cells cannot have, for layers that are no recurrence,
        for a wiring with a direct part, and for an unknown attention.
        """
        wiring = registry.wiring(cell) if wiring is None else wiring
        if not issubclass(cell, Cell) or wiring.direct:
            raise CapaxError(
                f"{cell.__name__} makes no encoder-decoder network: that takes a recurrence without a direct part."
            )
        if attention is not None and attention not in SCORES:
            raise CapaxError(
                f"unknown attention '{attention}'{closest(attention, SCORES)}; choose of {', '.join(SCORES)}."
            )
        check_sizes(cell, wiring, inputs=inputs, outputs=outputs, depth=depth, units=units)
        keys = [None] * (2 * depth) if key is None else jax.random.split(key, 2 * depth)
        entered, read = features(cell, wiring, units), outputs + 1
        self.entry = Linear(inputs, entered) if entered else None
        self.target_entry = Linear(read, entered) if entered else None
        above = [units] * (depth - 1)
        self.encoder = tuple(
            cell(size, units, nonlinearity, keys[l]) for l, size in enumerate([entered or inputs, *above])
        )
        self.decoder = tuple(
            cell(size, units, nonlinearity, keys[depth + l]) for l, size in enumerate([entered or read, *above])
        )
        self.readout = Linear(units, outputs)
        self.attention = None if attention is None else Attention(units, attention)
        self.norm = Norm(units) if wiring.norm else None
        norms = tuple(Norm(units) for _ in range(depth - 1)) if wiring.between else ()
        self.encoder_norms, self.decoder_norms = norms, jax.tree.map(lambda leaf: leaf, norms)
        self.direct, self.outputs, self.wiring = None, outputs, wiring

    @property
    def layers(self) -> tuple[Layer, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All cells: the encoder's, then the decoder's."""
        return (*self.encoder, *self.decoder)

    @property
    def maps(self) -> tuple[Linear, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The decoder's input map, and those of attention."""
        own = () if self.target_entry is None else (self.target_entry,)
        return own if self.attention is None else (*own, *self.attention.maps)

    @property
    def inputs(self) -> int:
        """Features of the source, or symbols."""
        return self.encoder[0].inputs if self.entry is None else self.entry.weight.shape[1]

    @property
    def start(self) -> int:
        """The symbol that the decoder reads before the first of a target."""
        return self.outputs

    @staticmethod
    def create(
        cell: str | type,
        *,
        inputs: int,
        outputs: int,
        key: Array,
        depth: int = 1,
        units: int | None = None,
        budget: int | None = None,
        attention: str | None = None,
        nonlinearity: str | None = None,
        wiring: Wiring | None = None,
        **hyperparameters: Any,
    ) -> "EncoderDecoder":
        """An initialised network; arguments and errors as those of `Network.create`, and
        `attention`.
        """
        return create(
            EncoderDecoder, cell, inputs=inputs, outputs=outputs, depth=depth, units=units, budget=budget, key=key,
            attention=attention, nonlinearity=nonlinearity, wiring=wiring, hyperparameters=hyperparameters,
        )  # fmt: skip

    def __call__(
        self,
        source: Array,
        target: Int[Array, "*batch time"],
        source_lengths: Array | int | None = None,
        target_lengths: Array | int | None = None,
        *,
        key: Array | None = None,
        training: bool = False,
    ) -> Float[Array, "*batch time outputs"]:
        """Logits of every symbol of the target, given the source and the symbols before it (teacher
        forcing).

        **Arguments:** `source`, numbers or symbols as a `Network` reads them, one or a batch;
        `target`, symbols, (time,) or (batch, time); `lengths`, `key`, `training` as those of a
        `Network`. Logits behind a target's length are 0.
        """
        read, single = as_batch(source, self.inputs)
        given = self.given(jnp.atleast_2d(target).T)
        lengths = as_lengths(target_lengths, given)
        logits = self.teach(read, given, source_lengths, lengths, dropout=dropout_of(self.wiring, key, training))
        return logits[:, :, 0].T if single else logits.T

    def given(self, symbols: Int[Array, "time batch"]) -> OneHot:
        """What the decoder reads of a target's symbols: the start, and all but the last."""
        begin = jnp.full((1, symbols.shape[1]), self.start, symbols.dtype)
        return OneHot(jnp.concatenate([begin, symbols[:-1]]), self.outputs + 1)

    def teach(
        self,
        source: Sequence,
        given: OneHot,
        source_lengths: Array | int | None = None,
        target_lengths: Int[Array, " batch"] | None = None,
        *,
        way: Way | None = None,
        dropout: Dropout | None = None,
    ) -> Float[Array, "outputs time batch"]:
        """Logits of every symbol of the target, features first, 0 behind its length.

        **Arguments:** `given`, what the decoder reads (`self.given`); `way`, how to run both parts
        (networks/ways.py), by default what is fastest for each.
        """
        of_encoder, of_decoder = (None, None) if dropout is None else dropout.split()
        decoding = self._encode(source, source_lengths, of_encoder, way)
        logits, _ = self._decode(
            way or ways.usual(type(self.decoder[0]), given.length), decoding, given, target_lengths, of_decoder
        )
        if target_lengths is None:
            return logits
        return jnp.where(real_steps(target_lengths, given.length), logits, 0.0)

    def encode(self, source: Array, lengths: Array | int | None = None) -> Decoding:
        """What decoding begins with, of a batch of sources."""
        sequence, single = as_batch(source, self.inputs)
        if single:
            raise CapaxError("decoding takes a batch of sources: one source is a batch of one, source[None].")
        return self._encode(sequence, lengths, None)

    def step(self, decoding: Decoding, symbols: Int[Array, " batch"]) -> tuple[Decoding, Float[Array, "batch outputs"]]:
        """One step of the decoder: where decoding then stands, and the logits of the next symbols.

        `symbols`: those before; at the first step `start`."""
        given = OneHot(symbols[None], self.outputs + 1)
        logits, states = self._decode(ways.UNROLLED, decoding, given, None, None)
        return Decoding(states, decoding.memory, decoding.real), logits[:, 0].T

    def decode(
        self, source: Array, lengths: Array | int | None = None, *, limit: int, end: int | None = None
    ) -> tuple[Int[Array, "batch limit"], Int[Array, " batch"]]:
        """The likeliest symbol at every step, one after the other (greedily), for a batch of
        sources.

        **Arguments:** `limit`, how many symbols at most; `end`, the symbol that ends a target.
        **Returns:** symbols, and how many there are before `end`; behind it all are `end`.
        """
        decoding = self.encode(source, lengths)
        batch = decoding.real.shape[1]

        def one(carry: tuple[Decoding, Array, Array], _: None) -> Any:
            decoding, symbols, over = carry
            decoding, logits = self.step(decoding, symbols)
            symbols = jnp.argmax(logits, axis=1).astype(jnp.int32)
            if end is not None:
                symbols = jnp.where(over, end, symbols)
                over = over | (symbols == end)
            return (decoding, symbols, over), (symbols, over)

        first = (decoding, jnp.full((batch,), self.start, jnp.int32), jnp.zeros((batch,), bool))
        _, (symbols, over) = jax.lax.scan(one, first, None, length=limit)
        return symbols.T, jnp.sum(~over, axis=0)

    def _encode(
        self, sequence: Sequence, lengths: Array | int | None, dropout: Dropout | None, way: Way | None = None
    ) -> Decoding:
        lengths = as_lengths(lengths, sequence)
        handed = upwards(self.encoder_norms, dropout)
        stack = ways.Stack(self.encoder, _entered(self.entry), lambda outputs: jnp.moveaxis(outputs, 0, 1), handed)
        way = ways.usual(type(self.encoder[0]), sequence.length) if way is None else way
        memory, states = ways.run(way, stack, sequence, lengths=lengths)
        batch = memory.shape[2]
        known = jnp.full((batch,), sequence.length) if lengths is None else jnp.maximum(lengths, 1)
        states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (leaf.shape[0], batch)), states)
        return Decoding(states, jnp.moveaxis(memory, 0, 1), real_steps(known, sequence.length))

    def _decode(
        self, way: Way, decoding: Decoding, given: Sequence, lengths: Array | None, dropout: Dropout | None
    ) -> tuple[Float[Array, "outputs time batch"], tuple[State, ...]]:
        def read(outputs: Float[Array, "t n b"]) -> Float[Array, "o t b"]:
            if self.attention is not None:
                outputs = self.attention(outputs, decoding.memory, decoding.real)
            moved = jnp.moveaxis(outputs, 0, 1)
            return self.readout(moved if self.norm is None else self.norm(moved))

        stack = ways.Stack(self.decoder, _entered(self.target_entry), read, upwards(self.decoder_norms, dropout))
        return ways.run(way, stack, given, states=decoding.states, lengths=lengths)


def _entered(entry: Linear | None) -> PyTree:
    return (lambda x: x) if entry is None else entry
