"""Generation: a network says one symbol after another, each drawn from what it says of the next,
with constant memory.

What is drawn from: softmax(logits / temperature), of it the `top_k` likeliest symbols, and of these
the likeliest that together have the probability `top_p` (nucleus sampling, Holtzman et al. 2020).
A temperature of 0 takes the likeliest symbol.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from capax.errors import CapaxError
from capax.networks.network import Network

CHUNK = 64
"""Steps of one run of the compiled program. Symbols come in such portions."""


class Sampling(eqx.Module):
    """How symbols are drawn: arrays without dimensions. `top_k`: 0 for all; `top_p`: 1 for all."""

    temperature: Float[Array, ""]
    top_k: Int[Array, ""]
    top_p: Float[Array, ""]

    @staticmethod
    def of(temperature: float | int = 1.0, top_k: int | None = None, top_p: float | int | None = None) -> "Sampling":
        """Raises `CapaxError` for what is out of range."""
        top_k, top_p = 0 if top_k is None else top_k, 1.0 if top_p is None else top_p
        if not 0 <= temperature < np.inf:
            raise CapaxError(f"temperature must be 0 or more, not {temperature}.")
        if top_k < 0:
            raise CapaxError(f"top-k must be 1 or more, or 0 for all symbols, not {top_k}.")
        if not 0 < top_p <= 1:
            raise CapaxError(f"top-p must be above 0 and at most 1, not {top_p}.")
        return Sampling(
            jnp.asarray(temperature, jnp.float32), jnp.asarray(top_k, jnp.int32), jnp.asarray(top_p, jnp.float32)
        )

    def log_probabilities(self, logits: Float[Array, " symbols"]) -> Float[Array, " symbols"]:
        """Natural logarithms of the probabilities to draw each symbol; -inf for those left out."""
        greedy = jnp.where(jnp.arange(len(logits)) == jnp.argmax(logits), 0.0, -jnp.inf)
        logs = jax.nn.log_softmax(logits / jnp.where(self.temperature > 0, self.temperature, 1.0))
        order = jnp.argsort(-logs, stable=True)
        rank = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))
        logs = jnp.where((self.top_k > 0) & (rank >= self.top_k), -jnp.inf, logs)
        logs = jax.nn.log_softmax(logs)
        sorted_ = jnp.exp(logs[order])
        before = jnp.cumsum(sorted_) - sorted_  # of all that are likelier
        inside = jnp.where(self.top_p < 1, before < self.top_p, True) | (jnp.arange(len(order)) == 0)
        logs = jax.nn.log_softmax(jnp.where(inside[rank], logs, -jnp.inf))
        return jnp.where(self.temperature > 0, logs, greedy)


class Standing(NamedTuple):
    """Where generation stands: the network's `states`, the `logits` of the next symbol, and how
    many symbols were drawn."""

    states: Any
    logits: Float[Array, " symbols"]
    drawn: Int[Array, ""]


def generate(
    network: Network,
    prompt: Sequence[int] | Int[np.ndarray, " time"],
    *,
    length: int | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    never: Sequence[int] = (),
) -> Iterator[int]:
    """Symbols that go on from a prompt, one at a time, `length` of them or without end.

    **Arguments:** `prompt`, symbols, at least one; `never`, symbols that are never drawn, such as
    that of unknown ones. The same seed draws the same symbols, however many are asked for.

    Raises `CapaxError` for an empty prompt, for symbols that the network does not have, and for
    layers that have no steps.
    """
    given = np.asarray(prompt, np.int32)
    if given.ndim != 1 or not len(given):
        raise CapaxError("generation needs a prompt of at least one symbol.")
    if given.min() < 0 or given.max() >= network.inputs:
        raise CapaxError(f"symbols of a prompt are from 0 to {network.inputs - 1}.")
    if length is not None and length < 0:
        raise CapaxError(f"length must be 0 or more symbols, not {length}.")
    if set(range(len(network.readout.bias))) <= set(never):
        raise CapaxError("no symbol is left to be drawn.")
    return _symbols(network, given, length, Sampling.of() if sampling is None else sampling, seed, tuple(never))


def _symbols(
    network: Network, prompt: np.ndarray, length: int | None, sampling: Sampling, seed: int, never: tuple[int, ...]
) -> Iterator[int]:
    allowed = np.zeros(len(network.readout.bias), np.float32)
    allowed[list(never)] = -np.inf
    standing, key = read(network, prompt), jax.random.key(seed)
    left = length
    while left is None or left > 0:
        standing, symbols = _chunk(network, standing, sampling, key, jnp.asarray(allowed))
        portion = np.asarray(symbols).tolist()
        yield from portion if left is None else portion[:left]
        left = None if left is None else left - len(portion)


def read(network: Network, prompt: Int[np.ndarray, " time"]) -> Standing:
    """Where a network stands after a prompt, which is read in portions of one size."""
    states = network.initial(1)
    logits = jnp.zeros_like(network.readout.bias)
    for begin in range(0, len(prompt), CHUNK):
        part = prompt[begin : begin + CHUNK]
        portion = np.zeros(CHUNK, np.int32)
        portion[: len(part)] = part
        states, logits = _read(network, states, jnp.asarray(portion), jnp.asarray(len(part)))
    return Standing(states, logits, jnp.asarray(0))


@eqx.filter_jit
def _read(network: Network, states: Any, symbols: Array, length: Array) -> tuple[Any, Array]:
    outputs, states = network(symbols[None], lengths=length[None], states=states, return_states=True)
    return states, outputs[0, length - 1]


@eqx.filter_jit
def _chunk(
    network: Network, standing: Standing, sampling: Sampling, key: Array, allowed: Array
) -> tuple[Standing, Int[Array, " chunk"]]:
    def one(standing: Standing, _: None) -> tuple[Standing, Array]:
        logs = sampling.log_probabilities(standing.logits + allowed)
        symbol = jax.random.categorical(jax.random.fold_in(key, standing.drawn), logs)
        states, logits = network.step(standing.states, jax.nn.one_hot(symbol, network.inputs)[None])
        return Standing(states, logits[0], standing.drawn + 1), symbol

    return jax.lax.scan(one, standing, None, length=CHUNK)
