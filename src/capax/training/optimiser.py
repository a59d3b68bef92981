"""SGD, momentum, RMSProp, and Adam as one update rule whose coefficients are data, so that they train in one program.

Symbols: g = gradient, m and v = running first and second moment, t = step from 1, mu = momentum-like parameter.

    m' = first m + gain g            v' = second v + (1 - second) g^2
    update = -lr (m' / (1 - first_correction^t)) / d,
    d = sqrt(v' / (1 - second_correction^t) + eps_inside) + eps_outside if adaptive, else 1

            first gain    second first_correction second_correction eps_inside eps_outside
    sgd     0     1       1      0                0                 -          -
    momentum mu   1       1      0                0                 -          -
    rmsprop 0     1       mu     0                0                 1e-8       0
    adam    mu    1 - mu  .999   mu               .999              0          1e-8

The learning rate lr falls over all training steps to decay * lr, exponentially or along half a cosine.

Checked in the tests against optax, whose defaults these are.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

OPTIMISERS = ("sgd", "momentum", "rmsprop", "adam")
SCHEDULES = ("exponential", "cosine")
ADAM_SECOND = 0.999
EPSILON = 1e-8

DEFAULTS: dict[str, Any] = {
    "optimiser": "adam",
    "learning_rate": 1e-2,
    "learning_rate_decay": 0.03,
    "schedule": "exponential",
    "momentum_logit": 2.197225,  # mu = .9
    "gradient_clip": 1.0,
    "l2_decay": 1e-8,
}


def space() -> dict[str, BaseDistribution]:
    """The optimiser's hyperparameters that are tuned (Collins et al. 2017, appendix A); the schedule is exponential there."""
    return {
        "optimiser": CategoricalDistribution(OPTIMISERS),
        "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "learning_rate_decay": FloatDistribution(1e-3, 1.0, log=True),
        "momentum_logit": FloatDistribution(1.0, 7.0),
        "gradient_clip": FloatDistribution(1.0, 100.0, log=True),
        "l2_decay": FloatDistribution(1e-8, 1e-3, log=True),
    }


class Optimiser(eqx.Module):
    """The coefficients of one trial: arrays without dimensions."""

    steps: Int[Array, ""]
    learning_rate: Float[Array, ""]
    decay: Float[Array, ""]
    cosine: Bool[Array, ""]
    clip: Float[Array, ""]
    l2: Float[Array, ""]
    first: Float[Array, ""]
    gain: Float[Array, ""]
    second: Float[Array, ""]
    first_correction: Float[Array, ""]
    second_correction: Float[Array, ""]
    adaptive: Bool[Array, ""]
    eps_inside: Float[Array, ""]
    eps_outside: Float[Array, ""]

    @staticmethod
    def create(hyperparameters: Mapping[str, Any], steps: int) -> "Optimiser":
        """From hyperparameters by name (those of `space`; a missing one has its default) and the number of training steps."""
        given = {**DEFAULTS, **hyperparameters}
        kind = given["optimiser"]
        mu = 1 / (1 + np.exp(-given["momentum_logit"]))
        adam, rmsprop = kind == "adam", kind == "rmsprop"
        values = {
            "learning_rate": given["learning_rate"],
            "decay": given["learning_rate_decay"],
            "clip": given["gradient_clip"],
            "l2": given["l2_decay"],
            "first": mu if adam or kind == "momentum" else 0.0,
            "gain": 1 - mu if adam else 1.0,
            "second": ADAM_SECOND if adam else mu if rmsprop else 1.0,
            "first_correction": mu if adam else 0.0,
            "second_correction": ADAM_SECOND if adam else 0.0,
            "eps_inside": EPSILON if rmsprop else 0.0,
            "eps_outside": EPSILON if adam else 0.0,
        }
        return Optimiser(
            steps=jnp.asarray(steps, jnp.int32),
            adaptive=jnp.asarray(adam or rmsprop),
            cosine=jnp.asarray(given["schedule"] == "cosine"),
            **{name: jnp.asarray(value, jnp.float32) for name, value in values.items()},
        )

    def update(
        self,
        parameters: Float[Array, " p"],
        gradient: Float[Array, " p"],
        m: Float[Array, " p"],
        v: Float[Array, " p"],
        step: Int[Array, ""],
    ) -> tuple[Float[Array, " p"], Float[Array, " p"], Float[Array, " p"], Float[Array, ""]]:
        """New parameters, m, v, and the gradient's norm before clipping.

        L2 decay adds l2 * parameters to the gradient (a penalty of l2/2 |parameters|^2), then the whole gradient is
        clipped by its global norm, then the learning rate of this step applies, with f = step / steps from 0:
        lr decay^f, or lr (decay + (1 - decay) (1 + cos(pi f)) / 2).
        """
        g = gradient + self.l2 * parameters
        norm = jnp.sqrt(jnp.sum(g * g))
        g = g * jnp.minimum(1.0, self.clip / jnp.maximum(norm, 1e-30))
        t = (step + 1).astype(jnp.float32)
        m = self.first * m + self.gain * g
        v = self.second * v + (1 - self.second) * g * g
        m_hat = m / (1 - self.first_correction**t)
        v_hat = v / (1 - self.second_correction**t)
        root = jnp.sqrt(v_hat + self.eps_inside) + self.eps_outside
        direction = jnp.where(self.adaptive, m_hat / jnp.where(self.adaptive, root, 1.0), m_hat)
        return parameters - self.rate(step) * direction, m, v, norm

    def rate(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The learning rate of a step, from 0."""
        done = step.astype(jnp.float32) / self.steps.astype(jnp.float32)
        cosine = self.decay + (1 - self.decay) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return self.learning_rate * jnp.where(self.cosine, cosine, self.decay**done)
