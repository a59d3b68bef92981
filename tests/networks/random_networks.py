"""Networks in which no parameter is zero, so that a forgotten term shows."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from capax.cells.cell import affine_declarations
from capax.networks.parts import trainable


def randomise(network, seed=0, scale=0.5):
    """The network with every trainable parameter normal with standard deviation `scale`; the
    scalars stay.
    """
    trained, rest = eqx.partition(network, trainable(network))
    flat, unravel = ravel_pytree(trained)
    drawn = scale * np.random.default_rng(seed).normal(size=flat.size)
    return eqx.combine(unravel(jnp.asarray(drawn, flat.dtype)), rest)


def blocks(cell):
    """For each block that a cell declares, by name: W_h, W_x, and b as NumPy arrays."""
    found = {}
    for name, declaration in affine_declarations(type(cell)).items():
        stacked = getattr(cell, name)
        parts = [np.split(np.asarray(array), len(declaration.blocks)) for array in (stacked.recurrent, stacked.input)]
        biases = np.split(np.asarray(stacked.bias), len(declaration.blocks))
        found.update(zip(declaration.blocks, zip(*parts, biases, strict=True), strict=True))
    return found
