"""Beam search for encoder-decoder networks, and where a network's attention was.

At every step the best beginnings of targets are kept, `width` of them for each source; one that has
ended keeps its place as long as it is among them. Beginnings are compared by their log probability
divided by ((5 + symbols) / 6)^alpha (Wu et al. 2016, eq. 14), so that long targets are not at a
disadvantage; `alpha` = 0 compares log probabilities.

Symbols: B sources, W beginnings of each, O outputs, T steps at most.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from capax.errors import CapaxError
from capax.networks import ways
from capax.networks.batches import as_batch
from capax.networks.encoder_decoder import Decoding, EncoderDecoder
from capax.networks.parts import upwards

ALPHA = 0.6


class Found(NamedTuple):
    """The targets that were found, of each source the best first.

    `symbols` (sources, best, limit), `end` behind each target; `lengths`, how many symbols stand
    before `end`; `logs`, natural logarithms of their probabilities, the end included where it was
    reached; `scores`, by which they are ordered.
    """

    symbols: Int[Array, "sources best limit"]
    lengths: Int[Array, "sources best"]
    logs: Float[Array, "sources best"]
    scores: Float[Array, "sources best"]


class _Beam(NamedTuple):
    """Where a search stands after `time` steps. `said` and `parents`: the last symbol of each
    beginning, and its number at the step before, for all steps."""

    time: Int[Array, ""]
    decoding: Decoding
    last: Int[Array, "B W"]
    logs: Float[Array, "B W"]
    sizes: Int[Array, "B W"]
    over: Bool[Array, "B W"]
    said: Int[Array, "T B W"]
    parents: Int[Array, "T B W"]


def beam_search(
    network: EncoderDecoder,
    source: Array,
    lengths: Array | None = None,
    *,
    width: int,
    limit: int,
    end: int,
    best: int = 1,
    alpha: float = ALPHA,
) -> Found:
    """The `best` targets of a batch of sources that a beam of this width finds, as one compiled
    program. A width of 1 is `EncoderDecoder.decode`.

    **Arguments:** `source`, numbers or symbols, a batch, with its `lengths` (default: all real);
    `limit`, how many symbols a target has at most, with `end`, the symbol that ends it.

    Raises `CapaxError` for a width or limit below 1, and where `best` is more than the width.
    """
    if width < 1 or limit < 1:
        raise CapaxError(f"a beam search needs a width and a limit of at least 1, not {width} and {limit}.")
    if not 1 <= best <= width:
        raise CapaxError(f"best must be from 1 to the width of the beam, {width}, not {best}.")
    if not 0 <= end < network.outputs:
        raise CapaxError(f"end must be one of the {network.outputs} symbols, not {end}.")
    return _search(network, source, lengths, width, limit, end, best, jnp.asarray(alpha, jnp.float32))


@eqx.filter_jit
def _search(
    network: EncoderDecoder,
    source: Array,
    lengths: Array | None,
    width: int,
    limit: int,
    end: int,
    best: int,
    alpha: Array,
) -> Found:
    decoding = network.encode(source, lengths)
    batch = decoding.real.shape[1]
    shape = (batch, width)
    start = _Beam(
        jnp.asarray(0),
        decoding.chosen(jnp.repeat(jnp.arange(batch), width)),
        jnp.full(shape, network.start, jnp.int32),
        jnp.full(shape, -jnp.inf).at[:, 0].set(0.0),  # at first there is one beginning, the empty one
        jnp.zeros(shape, jnp.int32),
        jnp.zeros(shape, bool),
        jnp.full((limit, *shape), end, jnp.int32),
        jnp.broadcast_to(jnp.arange(width), (limit, *shape)).astype(jnp.int32),
    )
    beam = jax.lax.while_loop(
        lambda beam: (beam.time < limit) & ~jnp.all(beam.over), lambda beam: _one(network, beam, end, alpha), start
    )
    scores = beam.logs / _length_penalty(beam.sizes, alpha)
    scores, order = jax.lax.top_k(scores, best)
    symbols = _followed_back(beam, order)
    taken = lambda array: jnp.take_along_axis(array, order, axis=1)  # noqa: E731
    return Found(symbols, jnp.sum(jnp.cumsum(symbols == end, axis=2) == 0, axis=2), taken(beam.logs), scores)


def _length_penalty(sizes: Int[Array, "B *W"], alpha: Array) -> Float[Array, "B *W"]:
    return ((5 + sizes) / 6) ** alpha


def _one(network: EncoderDecoder, beam: _Beam, end: int, alpha: Array) -> _Beam:
    """One step: all symbols after all beginnings, of which the best are kept."""
    batch, width = beam.last.shape
    decoding, logits = network.step(beam.decoding, beam.last.reshape(-1))
    logs = jax.nn.log_softmax(logits).reshape(batch, width, -1)
    outputs = logs.shape[2]
    only_end = jnp.where(jnp.arange(outputs) == end, 0.0, -jnp.inf)
    logs = beam.logs[..., None] + jnp.where(beam.over[..., None], only_end[None, None], logs)
    sizes = beam.sizes + ~beam.over
    scores = logs / _length_penalty(sizes, alpha)[..., None]
    _, order = jax.lax.top_k(scores.reshape(batch, -1), width)
    parents, symbols = order // outputs, (order % outputs).astype(jnp.int32)
    taken = lambda array: jnp.take_along_axis(array, parents, axis=1)  # noqa: E731
    members = (jnp.arange(batch)[:, None] * width + parents).reshape(-1)
    states = jax.tree.map(lambda leaf: leaf[..., members], decoding.states)
    return _Beam(
        beam.time + 1,
        Decoding(states, decoding.memory, decoding.real),  # of one source, whatever the beginning
        symbols,
        jnp.take_along_axis(logs.reshape(batch, -1), order, axis=1),
        taken(sizes),
        taken(beam.over) | (symbols == end),
        beam.said.at[beam.time].set(symbols),
        beam.parents.at[beam.time].set(parents.astype(jnp.int32)),
    )


def _followed_back(beam: _Beam, order: Int[Array, "B best"]) -> Int[Array, "B best T"]:
    """The symbols of the beginnings with these numbers, from the last to the first."""

    def one(number: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        said, parents = step
        return jnp.take_along_axis(parents, number, axis=1), jnp.take_along_axis(said, number, axis=1)

    _, symbols = jax.lax.scan(one, order.astype(jnp.int32), (beam.said, beam.parents), reverse=True)
    return jnp.moveaxis(symbols, 0, 2)


def attended(network: EncoderDecoder, source: Array, target: Int[Array, " time"]) -> Float[Array, "time source_time"]:
    """How much of each step of a source the network sees at each symbol of a target: rows of
    numbers that add up to 1.

    **Arguments:** one source, as a network reads it; the symbols of its target, whose first one is
    said at the first row.

    Raises `CapaxError` for a network without attention.
    """
    attention = network.attention
    if attention is None:
        raise CapaxError('this network has no attention: attention="dot" or "additive" makes one that has.')
    sequence, single = as_batch(source, network.inputs)
    if not single:
        raise CapaxError("attention is shown for one source, not for a batch of them.")
    del sequence
    decoding = network.encode(source[None])
    given = network.given(target[:, None])

    def read(outputs: Float[Array, "t n b"]) -> Float[Array, "s t b"]:
        return jnp.swapaxes(attention.weights(outputs, decoding.memory, decoding.real), 0, 1)

    entry = network.target_entry
    stack = ways.Stack(
        network.decoder, (lambda x: x) if entry is None else entry, read, upwards(network.decoder_norms, None)
    )
    weights, _ = ways.run(ways.usual(type(network.decoder[0]), given.length), stack, given, states=decoding.states)
    return weights[:, :, 0].T
