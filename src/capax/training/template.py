"""From a trial to its network and back: what is trained is one flat vector, what is not is kept
beside it."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from capax.cells import registry
from capax.networks.assembling import AnyNetwork, blank
from capax.networks.initialisation import initialise
from capax.networks.parts import is_array_shape, trainable
from capax.training.trial import NetworkShape


class Template:
    """The structure of all networks of a cell, size, and nonlinearity. No arrays, no data, no
    compiled code.

    `parameters`: how many numbers are trained; `constants`: shapes of the arrays that are not;
    `shapes`: of all; `trained_shapes`: of the arrays that the flat vector is made of, in order.
    """

    def __init__(self, shape: NetworkShape, nonlinearity: str | None, inputs: int, outputs: int):
        self.shape, self.nonlinearity = shape, nonlinearity
        self._inputs, self._outputs = inputs, outputs
        template = eqx.filter_eval_shape(self._blank, None)
        self._mask = trainable(template)
        self._static = eqx.filter(template, is_array_shape, inverse=True)
        trained, rest = eqx.partition(template, self._mask)
        self.shapes = eqx.filter(template, is_array_shape)
        self.constants = eqx.filter(rest, is_array_shape)
        self.trained_shapes = [leaf.shape for leaf in jax.tree.leaves(trained)]
        self._structure = jax.tree.structure(trained)
        self.parameters = sum(int(np.prod(each)) for each in self.trained_shapes)

    def _blank(self, key: Array | None) -> AnyNetwork:
        return blank(
            self.shape.architecture,
            registry.get(self.shape.cell),
            inputs=self._inputs,
            outputs=self._outputs,
            depth=self.shape.depth,
            units=self.shape.units,
            nonlinearity=self.nonlinearity,
            key=key,
        )

    def initial(self, hyperparameters: Mapping[str, Any], seed: int) -> tuple[Float[Array, " p"], PyTree]:
        """A network's parameters, flat, and its other arrays, drawn from a seed."""
        own, drawn = jax.random.split(jax.random.key(seed))
        trained, rest = eqx.partition(initialise(self._blank(own), hyperparameters, drawn), self._mask)
        return ravel_pytree(trained)[0], eqx.filter(rest, eqx.is_array)

    def unravel(self, flat: Float[Array, " p"]) -> PyTree:
        """The trained arrays of a flat vector, in a network's structure."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.trained_shapes])
        parts = [
            part.reshape(shape) for part, shape in zip(jnp.split(flat, ends[:-1]), self.trained_shapes, strict=True)
        ]
        return jax.tree.unflatten(self._structure, parts)

    def combine(self, trained: PyTree, constants: PyTree) -> AnyNetwork:
        """The network of trained arrays, as `unravel` gives them, and of the arrays that are not
        trained."""
        return eqx.combine(trained, constants, self._static)

    def network(self, parameters: Float[Array, " p"], constants: PyTree) -> AnyNetwork:
        """The network of flat parameters."""
        return self.combine(self.unravel(parameters), constants)

    def filled(self, arrays: PyTree) -> AnyNetwork:
        """The network of all its arrays, in the structure of `shapes`."""
        return eqx.combine(arrays, self._static)
