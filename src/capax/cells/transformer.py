"""Transformer layers (Vaswani et al. 2017), so that attention can be compared with recurrence on
every task, at every budget.

Symbols: n = units, t and s = time, d = n / heads. Normalisation comes before each part (Xiong et
al. 2020), positions by rotation of queries and keys (Su et al. 2021); attention has no biases, so
it has 4 n^2 weights.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from capax.cells.cell import Demands, SequenceLayer, hyperparameter, real_steps, scaled_norm
from capax.hyperparameters import NOT_NEGATIVE

MULTIPLE = 8
"""Of which the number of units must be one: four heads of an even number of features."""

WIDENING = 4
"""Hidden units of the feed-forward part for each unit of the layer."""

BASE = 10_000.0
"""Of the rotations: the j-th of m pairs turns by BASE^(-j / m) a step, from 1 down to nearly 1 /
BASE where there are many.
"""


def rotated(x: Float[Array, "time heads d batch"]) -> Float[Array, "time heads d batch"]:
    """Pairs of features turned by angles that grow with time, so that a product of two depends on
    their distance.
    """
    half = x.shape[2] // 2
    rates = BASE ** (-jnp.arange(half) / half)
    angles = (jnp.arange(x.shape[0])[:, None] * rates[None, :])[:, None, :, None]
    one, other, sin, cos = x[:, :, :half], x[:, :, half:], jnp.sin(angles), jnp.cos(angles)
    return jnp.concatenate([one * cos - other * sin, one * sin + other * cos], axis=2)


class Attending(SequenceLayer):
    """x = x + W_o attention(norm(x)), then x + W_down gelu(W_up norm(x) + b_up) + b_down.

    Abstract: its kinds say what attention sees."""

    heads: ClassVar[int] = 4
    W_qkv: Float[Array, "3n n"]
    W_o: Float[Array, "n n"]
    W_up: Float[Array, "4n n"]
    b_up: Float[Array, " 4n"]
    W_down: Float[Array, "n 4n"]
    b_down: Float[Array, " n"]
    norm_scales: Float[Array, "two n"]
    norm_biases: Float[Array, "two n"]
    weight_scale: Array = hyperparameter(
        0.05, 2.0, default=1.0, log=True, allowed=NOT_NEGATIVE, meaning="Scale of all weight matrices at the start."
    )

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)  # pyright: ignore[reportCallIssue]  # no constructor of fields
        wide = WIDENING * units
        self.W_qkv, self.W_o = jnp.zeros((3 * units, units)), jnp.zeros((units, units))
        self.W_up, self.b_up = jnp.zeros((wide, units)), jnp.zeros((wide,))
        self.W_down, self.b_down = jnp.zeros((units, wide)), jnp.zeros((units,))
        self.norm_scales, self.norm_biases = jnp.ones((2, units)), jnp.zeros((2, units))

    def drawn(self, key: Array) -> "Attending":
        names = ("W_qkv", "W_o", "W_up", "W_down")
        matrices = [
            self.weight_scale / getattr(self, name).shape[1] ** 0.5 * jax.random.normal(k, getattr(self, name).shape)
            for name, k in zip(names, jax.random.split(key, len(names)), strict=True)
        ]
        return eqx.tree_at(lambda cell: [getattr(cell, name) for name in names], self, matrices)

    def whole(
        self, x: Float[Array, "time n batch"], lengths: Int[Array, " batch"] | None = None
    ) -> Float[Array, "time n batch"]:
        x = x + _each_time(self.W_o, self._attention(self._norm(0, x), lengths))
        hidden = jax.nn.gelu(_each_time(self.W_up, self._norm(1, x)) + self.b_up[None, :, None])
        return x + _each_time(self.W_down, hidden) + self.b_down[None, :, None]

    @abc.abstractmethod
    def seen(
        self, scores: Float[Array, "heads batch time keys"], lengths: Int[Array, " batch"] | None
    ) -> Float[Array, "heads batch time keys"]:
        """The scores, minus infinity where a step does not see a key."""

    def numbers_kept(self, length: int) -> int:
        """Keys and values of all steps so far. (Of an encoder: what its outputs hang on; they
        change with every further step.)
        """
        return 2 * self.units * length

    def _norm(self, part: int, x: Array) -> Array:
        return jax.vmap(lambda x: scaled_norm(self.norm_scales[part], self.norm_biases[part], x))(x)

    def _attention(
        self, x: Float[Array, "time n batch"], lengths: Int[Array, " batch"] | None
    ) -> Float[Array, "time n batch"]:
        time, units, batch = x.shape
        parts = jnp.split(_each_time(self.W_qkv, x), 3, axis=1)
        q, k, v = (part.reshape(time, self.heads, units // self.heads, batch) for part in parts)
        scores = jnp.einsum("thdb,shdb->hbts", rotated(q), rotated(k)) / (units // self.heads) ** 0.5
        weights = jax.nn.softmax(self.seen(scores, lengths), axis=-1)
        return jnp.einsum("hbts,shdb->thdb", weights, v).reshape(time, units, batch)


class Transformer(Attending):
    """x = x + W_o attention(norm(x)), then x + W_down gelu(W_up norm(x) + b_up) + b_down; attention
    sees the past and the present.
    """

    demands: ClassVar[Demands] = Demands(square=True, multiple=MULTIPLE)

    def seen(
        self, scores: Float[Array, "heads batch time keys"], lengths: Int[Array, " batch"] | None
    ) -> Float[Array, "heads batch time keys"]:
        del lengths  # what is behind a length is future to all that is real
        time = scores.shape[2]
        future = jnp.arange(time)[None, :] > jnp.arange(time)[:, None]
        return jnp.where(future[None, None], -jnp.inf, scores)


class TransformerEncoder(Attending):
    """The same layer, but attention sees the future, too: for tasks whose answers are not among
    their later inputs.
    """

    demands: ClassVar[Demands] = Demands(square=True, multiple=MULTIPLE, causal=False)

    def seen(
        self, scores: Float[Array, "heads batch time keys"], lengths: Int[Array, " batch"] | None
    ) -> Float[Array, "heads batch time keys"]:
        if lengths is None:
            return scores
        real = real_steps(jnp.maximum(lengths, 1), scores.shape[2]).T  # one key at least, so that weights are numbers
        return jnp.where(real[None, :, None, :], scores, -jnp.inf)


def _each_time(matrix: Float[Array, "o i"], x: Float[Array, "time i batch"]) -> Float[Array, "time o batch"]:
    return jnp.einsum("oi,tib->tob", matrix, x)
