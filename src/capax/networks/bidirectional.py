"""Bidirectional networks (Schuster & Paliwal 1997): at every layer one cell reads forwards, another
one backwards.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from capax.cells import registry
from capax.cells.cell import Cell, Layer, real_steps
from capax.cells.sequence import Dense, Sequence
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.networks import ways
from capax.networks.batches import as_batch, as_lengths, cleared
from capax.networks.creation import check_sizes, create, dropout_of, features
from capax.networks.parts import Assembled, Dropout, Linear, Norm, upwards
from capax.networks.ways import Way


class Bidirectional(Assembled):
    """A stack of pairs of cells. Both of a pair read what the pair below hands upwards, one from
    the first step to the last, the other from the last real step to the first; what they say is put
    together, 2 x units features.

    It has no steps: an output depends on later inputs. `Bidirectional.create` initialises one.
    """

    entry: Linear | None
    forwards: tuple[Cell, ...]
    backwards: tuple[Cell, ...]
    readout: Linear
    norm: Norm | None
    norms: tuple[Norm, ...]
    direct: Array | None
    maps: tuple[Linear, ...]
    wiring: Wiring = eqx.field(static=True)

    def __init__(
        self,
        cell: type[Layer],
        *,
        inputs: int,
        outputs: int,
        depth: int,
        units: int,
        nonlinearity: str | None = None,
        key: Array | None = None,
        wiring: Wiring | None = None,
    ):
        """All parameters zero. **Arguments:** the class of the cells, and sizes; `units`, of each
        cell.

        Raises `CapaxError` for sizes that the cells cannot have, for layers that are no recurrence
        or whose inputs and outputs have one size, and for a wiring with a direct part.
        """
        wiring = registry.wiring(cell) if wiring is None else wiring
        if not issubclass(cell, Cell) or cell.demands.square or wiring.direct:
            raise CapaxError(
                f"{cell.__name__} makes no bidirectional network: that takes a recurrence with inputs of any size and "
                "without a direct part."
            )
        check_sizes(cell, wiring, inputs=inputs, outputs=outputs, depth=depth, units=units)
        keys = [None] * (2 * depth) if key is None else jax.random.split(key, 2 * depth)
        entered = features(cell, wiring, units)
        self.entry = Linear(inputs, entered) if entered else None
        sizes = [entered or inputs, *[2 * units] * (depth - 1)]
        self.forwards = tuple(cell(size, units, nonlinearity, keys[l]) for l, size in enumerate(sizes))
        self.backwards = tuple(cell(size, units, nonlinearity, keys[depth + l]) for l, size in enumerate(sizes))
        self.readout = Linear(2 * units, outputs)
        self.norm = Norm(2 * units) if wiring.norm else None
        self.norms = tuple(Norm(2 * units) for _ in range(depth - 1)) if wiring.between else ()
        self.direct, self.maps, self.wiring = None, (), wiring

    @property
    def layers(self) -> tuple[Layer, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All cells: those that read forwards, then those that read backwards."""
        return (*self.forwards, *self.backwards)

    @property
    def inputs(self) -> int:
        """Features of an input, or symbols."""
        return self.forwards[0].inputs if self.entry is None else self.entry.weight.shape[1]

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
        nonlinearity: str | None = None,
        wiring: Wiring | None = None,
        **hyperparameters: Any,
    ) -> "Bidirectional":
        """An initialised network; arguments and errors as those of `Network.create`."""
        return create(
            Bidirectional, cell, inputs=inputs, outputs=outputs, depth=depth, units=units, budget=budget, key=key,
            nonlinearity=nonlinearity, wiring=wiring, hyperparameters=hyperparameters,
        )  # fmt: skip

    def __call__(
        self, x: Array, lengths: Array | int | None = None, *, key: Array | None = None, training: bool = False
    ) -> Float[Array, "*batch time outputs"]:
        """Outputs at every step, of shape (time, outputs) for one sequence and (batch, time,
        outputs) for a batch; arguments and errors as those of a `Network`.
        """
        sequence, single = as_batch(x, self.inputs)
        found = self.run(sequence, lengths=lengths, dropout=dropout_of(self.wiring, key, training))
        return found[:, :, 0].T if single else found.T

    def run(
        self,
        sequence: Sequence,
        first: int = 0,
        way: Way | None = None,
        *,
        lengths: Array | int | None = None,
        dropout: Dropout | None = None,
    ) -> Float[Array, "outputs time batch"]:
        """Outputs at the steps from `first` on, for a batch of sequences, features first; 0 behind
        a length.
        """
        lengths = as_lengths(lengths, sequence)
        way = ways.usual(type(self.forwards[0]), sequence.length) if way is None else way
        steps = cleared(sequence, lengths).project(lambda x: x if self.entry is None else self.entry(x))
        entered = jax.vmap(steps.read)(steps.xs)

        def one(cell: Cell, x: Array) -> Array:
            stack = ways.Stack((cell,), lambda x: x, lambda outputs: jnp.moveaxis(outputs, 0, 1))
            return jnp.moveaxis(ways.run(way, stack, Dense(x), lengths=lengths)[0], 0, 1)

        def both(pair: tuple[Cell, Cell], state: None, x: Array) -> tuple[Array, None]:
            forward, backward = pair
            back = backwards(one(backward, backwards(x, lengths)), lengths)
            return jnp.concatenate([one(forward, x), back], axis=1), state

        handed = upwards(self.norms, dropout)
        pairs = tuple(zip(self.forwards, self.backwards, strict=True))
        between = ways.upwards_at(handed, jnp.arange(sequence.length))
        top, _ = ways.through(pairs, (None,) * len(pairs), entered, both, between=between)
        top = jnp.moveaxis(top[first:], 0, 1)
        outputs = self.readout(top if self.norm is None else self.norm(top))
        if lengths is None:
            return outputs
        return jnp.where(real_steps(lengths, sequence.length)[first:], outputs, 0.0)


def backwards(x: Float[Array, "time n batch"], lengths: Int[Array, " batch"] | None) -> Float[Array, "time n batch"]:
    """Sequences from their last real step to their first; what is behind a length stays there."""
    if lengths is None:
        return x[::-1]
    time = jnp.arange(x.shape[0])[:, None]
    place = jnp.where(time < lengths[None], lengths[None] - 1 - time, time)
    return jnp.take_along_axis(x, place[:, None], axis=0)
