"""Diagonal linear recurrences with complex eigenvalues: what all share, and the plain
parametrisation.

Symbols: m = complex numbers in the state: units where outputs are mixed, else units / 2.
"""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.cells.cell import Demands, LinearCell, column, hyperparameter
from capax.hyperparameters import Interval

LARGEST_MODULUS = 0.999
"""Of an eigenvalue at the start; training may go beyond."""

Pair = tuple[Array, Array]  # real and imaginary part


def least_modulus() -> Any:
    """The least modulus of eigenvalues at the start, a hyperparameter (Orvieto et al. 2023, section
    3).
    """
    meaning = "The least modulus of the eigenvalues at the start: the closer to 1, the longer the memory."
    return hyperparameter(0.0, 0.99, default=0.9, allowed=Interval(0.0, 1.0, below=True), meaning=meaning)


def largest_phase() -> Any:
    """The largest phase of eigenvalues at the start, a hyperparameter (Orvieto et al. 2023, section
    3).
    """
    allowed, meaning = Interval(0.0, 2 * math.pi, above=True), "The largest phase of the eigenvalues at the start."
    return hyperparameter(0.01, math.pi, default=math.pi, log=True, allowed=allowed, meaning=meaning)


def _times(one: Pair, other: Pair) -> Pair:
    return one[0] * other[0] - one[1] * other[1], one[0] * other[1] + one[1] * other[0]


class Diagonal(LinearCell):
    """h' = lambda h + gain B x; y = Re(C h') + D x, with h complex. A subclass says what lambda and
    the gain are, and draws what they are made of. Real and imaginary parts are arrays of their own.

    A class whose outputs are not `mixed` has no C and D: y is real and imaginary parts of h', each
    half of the units, so that the network's readout is C, and D is its `direct` part. Such a
    network is one complex diagonal linear system.
    """

    nonlinearities: ClassVar[tuple[str, ...]] = ()
    states: ClassVar[tuple[str, ...]] = ("real", "imaginary")
    mixed: ClassVar[bool] = True
    B_real: Float[Array, "m i"]
    B_imaginary: Float[Array, "m i"]
    C_real: Float[Array, "n n"] | None
    C_imaginary: Float[Array, "n n"] | None
    D: Float[Array, "n i"] | None

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.initial = (jnp.zeros((self.modes,)), jnp.zeros((self.modes,)))
        self.B_real = self.B_imaginary = jnp.zeros((self.modes, inputs))
        self.C_real = self.C_imaginary = jnp.zeros((units, units)) if self.mixed else None
        self.D = jnp.zeros((units, inputs)) if self.mixed else None

    @property
    def modes(self) -> int:
        """Complex numbers in the state."""
        return self.units if self.mixed else self.units // 2

    @abc.abstractmethod
    def eigenvalues(self) -> Pair:
        """lambda, shapes (m,)."""

    @abc.abstractmethod
    def gain(self) -> Pair:
        """What inputs are multiplied by, shapes (m,)."""

    @abc.abstractmethod
    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        """Initial values of the fields that eigenvalues and gains are made of."""

    def drawn(self, key: Array) -> "Diagonal":
        own, *keys = jax.random.split(key, 6)
        new = self.drawn_recurrence(own)
        names = ("D", "B_real", "B_imaginary", "C_real", "C_imaginary") if self.mixed else ("B_real", "B_imaginary")
        for name, k in zip(names, keys, strict=False):
            shape = getattr(self, name).shape
            scale = (shape[1] if name == "D" else 2 * shape[1]) ** -0.5
            new[name] = scale * jax.random.normal(k, shape)
        return eqx.tree_at(lambda cell: [getattr(cell, name) for name in new], self, list(new.values()))

    def project(self, x: Array) -> tuple[Array, ...]:
        real, imaginary = (part[:, None] for part in self.gain())
        drive = (
            jnp.tensordot(real * self.B_real - imaginary * self.B_imaginary, x, 1),
            jnp.tensordot(real * self.B_imaginary + imaginary * self.B_real, x, 1),
        )
        return drive if self.D is None else (*drive, jnp.tensordot(self.D, x, 1))

    def advance(self, state: Pair, projected: tuple[Array, ...]) -> Pair:
        (real, imaginary), (drive_real, drive_imaginary, *_) = state, projected
        a, b = (column(part, real.ndim) for part in self.eigenvalues())
        turned = _times((a, b), (real, imaginary))
        return turned[0] + drive_real, turned[1] + drive_imaginary

    def all_states(self, initial: Pair, projected: tuple[Array, ...]) -> Pair:
        """By a parallel scan over h' = lambda h + x, whose steps compose: (l2, x2) after (l1, x1)
        is (l2 l1, l2 x1 + x2).
        """
        real, imaginary, *_ = projected
        a, b = (column(part, real.ndim - 1) for part in self.eigenvalues())
        begin = _times((a, b), initial)
        drive = (real.at[0].add(begin[0]), imaginary.at[0].add(begin[1]))
        lams = (jnp.broadcast_to(a, (real.shape[0], *a.shape)), jnp.broadcast_to(b, (real.shape[0], *b.shape)))

        def after(first: tuple[Pair, Pair], second: tuple[Pair, Pair]) -> tuple[Pair, Pair]:
            moved = _times(second[0], first[1])
            return _times(second[0], first[0]), (moved[0] + second[1][0], moved[1] + second[1][1])

        return jax.lax.associative_scan(after, (lams, drive))[1]

    def emit(self, state: Pair, projected: tuple[Array, ...]) -> Array:
        real, imaginary = state
        if self.C_real is None or self.C_imaginary is None:
            return jnp.concatenate([real, imaginary])
        return jnp.tensordot(self.C_real, real, 1) - jnp.tensordot(self.C_imaginary, imaginary, 1) + projected[2]


class System(Diagonal):
    """A diagonal recurrence whose states are its outputs. To be mixed into its class: `system` does
    that.
    """


def system(cell: type[Diagonal]) -> type[Diagonal]:
    """The class of cells with the same recurrence whose states are their outputs, which makes a
    network one linear system.
    """
    doc = f"The linear system y = Re(C h') + D x with the recurrence of `{cell.__name__}`: each unit is half a complex number."
    attributes = {"mixed": False, "demands": Demands(multiple=2), "__doc__": doc, "__module__": cell.__module__}
    return type(f"{cell.__name__}System", (System, cell), attributes)


def ring(key: Array, units: int, least_modulus: Array, largest_phase: Array) -> Pair:
    """Squared moduli uniform from least_modulus^2 to .999^2, phases uniform from 0 to the largest
    (Orvieto et al. 2023, lemma 3.2).
    """
    modulus_key, phase_key = jax.random.split(key)
    low, high = least_modulus**2, LARGEST_MODULUS**2
    squared = low + (high - low) * jax.random.uniform(modulus_key, (units,), minval=1e-6)
    return jnp.sqrt(squared), largest_phase * jax.random.uniform(phase_key, (units,), minval=1e-3)


class Cartesian(Diagonal):
    """lambda = a + i b, trained as it is. Abstract: a subclass says what the gain is."""

    a: Float[Array, " m"]
    b: Float[Array, " m"]
    least_modulus: Array = least_modulus()
    largest_phase: Array = largest_phase()

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.a = self.b = jnp.zeros((self.modes,))

    def eigenvalues(self) -> Pair:
        return self.a, self.b

    def start(self, key: Array) -> Pair:
        """Eigenvalues on the ring from `least_modulus` to .999, up to `largest_phase`."""
        modulus, phase = ring(key, self.modes, self.least_modulus, self.largest_phase)
        return modulus * jnp.cos(phase), modulus * jnp.sin(phase)


class ComplexDiagonal(Cartesian):
    """lambda = a + i b, trained as it is; inputs are not normalised: the plain complex diagonal RNN
    (Zucchet & Orvieto 2024).
    """

    def gain(self) -> Pair:
        return jnp.ones((self.modes,)), jnp.zeros((self.modes,))

    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        a, b = self.start(key)
        return {"a": a, "b": b}


class NormalisedDiagonal(Cartesian):
    """The complex diagonal RNN with inputs multiplied by gamma = exp(w_gamma), at the start sqrt(1
    - |lambda|^2): half of the way to the LRU, for ablations.
    """

    w_gamma: Float[Array, " m"]  # pyright: ignore[reportGeneralTypeIssues]  # no constructor is made of the fields

    def __init__(self, inputs: int, units: int, nonlinearity: str | None = None, key: Array | None = None):
        super().__init__(inputs, units, nonlinearity, key)
        self.w_gamma = jnp.zeros((self.modes,))

    def gain(self) -> Pair:
        return jnp.exp(self.w_gamma), jnp.zeros((self.modes,))

    def drawn_recurrence(self, key: Array) -> dict[str, Array]:
        a, b = self.start(key)
        return {"a": a, "b": b, "w_gamma": 0.5 * jnp.log(1 - a**2 - b**2)}
