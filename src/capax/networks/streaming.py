"""One step of a sequence at a time, with constant memory."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from capax.cells.cell import State
from capax.networks.network import Network


@eqx.filter_jit
def _step(network: Network, states: tuple[State, ...], x: Array) -> tuple[tuple[State, ...], Array]:
    return network.step(states, x)


class Stream:
    """A network that reads a sequence step by step: what it says at a step is what a call says
    there for the whole sequence, to rounding.

        stream = Stream(network)
        for x in sequence:
            y = stream.push(x)

    Raises `CapaxError` for a network whose layers have no steps (`network.recurrent`).
    """

    def __init__(self, network: Network):
        self._network = network
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self._states = self._network.initial()

    def push(self, x: Float[np.ndarray, " inputs"] | int) -> Float[np.ndarray, " outputs"]:
        """The outputs after one more step, of features or of a symbol, which is a whole number."""
        if isinstance(x, int | np.integer):
            features = jnp.zeros((self._network.inputs,)).at[int(x)].set(1.0)
        else:
            features = jnp.asarray(x, jnp.float32)
        self._states, outputs = _step(self._network, self._states, features)
        return np.asarray(outputs)
