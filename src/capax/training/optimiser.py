"""SGD, momentum, RMSProp, and Adam as one update rule whose coefficients are data, so that they
train in one program.

Symbols: g = gradient, m and v = running first and second moment, t = step from 1, mu =
momentum-like parameter.

    m' = first m + gain g            v' = second v + (1 - second) g^2
    update = -lr (m' / (1 - first_correction^t)) / d,
    d = sqrt(v' / (1 - second_correction^t) + eps_inside) + eps_outside if adaptive, else 1

            first gain    second first_correction second_correction eps_inside eps_outside
    sgd     0     1       1      0                0                 -          -
    momentum mu   1       1      0                0                 -          -
    rmsprop 0     1       mu     0                0                 1e-8       0
    adam    mu    1 - mu  .999   mu               .999              0          1e-8

With the preconditioner SOAP, v is of the gradient in other axes (training/soap.py).

The learning rate lr falls over all training steps to decay * lr, exponentially or along half a
cosine.

Checked in the tests against optax, whose defaults these are.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from capax.hyperparameters import (
    FINITE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    Choice,
    Hyperparameter,
    Number,
    defaults,
)

OPTIMISERS = ("sgd", "momentum", "rmsprop", "adam")
SCHEDULES = ("exponential", "cosine")
PRECONDITIONERS = ("none", "soap")
ADAM_SECOND = 0.999
EPSILON = 1e-8

HYPERPARAMETERS: tuple[Hyperparameter, ...] = (
    Choice("optimiser", "adam", OPTIMISERS, "The update rule."),
    Number(
        "learning_rate",
        default=1e-2,
        low=1e-4,
        high=1e-1,
        log=True,
        allowed=POSITIVE,
        meaning="The learning rate of the first step.",
    ),
    Number(
        "learning_rate_decay",
        default=0.03,
        low=1e-3,
        high=1.0,
        log=True,
        allowed=FRACTION,
        meaning="The learning rate of the last step, as a part of the first one.",
    ),
    Number(
        "momentum_logit",
        default=2.197225,  # mu = .9
        low=1.0,
        high=7.0,
        allowed=FINITE,
        meaning="Sets mu = 1 / (1 + exp(-value)): of momentum and Adam the momentum, of RMSProp the decay.",
    ),
    Number(
        "gradient_clip",
        default=1.0,
        low=1.0,
        high=100.0,
        log=True,
        allowed=POSITIVE,
        meaning="The largest norm of a gradient; longer ones are made this long.",
    ),
    Number(
        "l2_decay",
        default=1e-8,
        low=1e-8,
        high=1e-3,
        log=True,
        allowed=NOT_NEGATIVE,
        meaning="This many times the parameters is added to their gradient.",
    ),
    Number(
        "dropout",
        default=0.0,
        low=0.0,
        high=0.5,
        allowed=PROBABILITY,
        meaning="In training, the probability of each number that a layer hands upwards to be zero; 0: nothing is dropped.",
        tuned=False,
    ),
    Choice("schedule", "exponential", SCHEDULES, "How the learning rate falls over training.", tuned=False),
    Choice(
        "preconditioner",
        "none",
        PRECONDITIONERS,
        "soap: second moments are kept in the eigenbasis of each matrix's gradients (Vyas et al. 2024).",
        tuned=False,
    ),
)
"""The ranges are those of Collins et al. 2017, appendix A, where the schedule is exponential and
there is no preconditioner."""

DEFAULTS = defaults(HYPERPARAMETERS)


class Basis(NamedTuple):
    """Axes in which second moments are kept: how a flat vector is `seen` in them, and the way
    `back`."""

    seen: Callable[[Float[Array, " p"]], Float[Array, " p"]]
    back: Callable[[Float[Array, " p"]], Float[Array, " p"]]


def _same(flat: Float[Array, " p"]) -> Float[Array, " p"]:
    return flat


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
        """From hyperparameters by name (those of `HYPERPARAMETERS`; a missing one has its default)
        and the number of training steps. Raises `CapaxError` for a value that one of them cannot
        have.
        """
        given = {
            declared.name: declared.checked(hyperparameters.get(declared.name, declared.default), declared.name)
            for declared in HYPERPARAMETERS
        }
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
        basis: Basis | None = None,
    ) -> tuple[Float[Array, " p"], Float[Array, " p"], Float[Array, " p"], Float[Array, ""]]:
        """New parameters, m, v, and the gradient's norm before clipping.

        L2 decay adds l2 * parameters to the gradient (a penalty of l2/2 |parameters|^2), then the
        whole gradient is clipped by its global norm, then the learning rate of this step applies,
        with f = step / steps from 0: lr decay^f, or lr (decay + (1 - decay) (1 + cos(pi f)) / 2).
        With a basis, v is of the gradient seen in it, and so is what is divided by its root.
        """
        seen, back = (basis.seen, basis.back) if basis is not None else (_same, _same)
        g = gradient + self.l2 * parameters
        norm = jnp.sqrt(jnp.sum(g * g))
        g = g * jnp.minimum(1.0, self.clip / jnp.maximum(norm, 1e-30))
        t = (step + 1).astype(jnp.float32)
        m = self.first * m + self.gain * g
        of_v = seen(g)
        v = self.second * v + (1 - self.second) * of_v * of_v
        m_hat = seen(m) / (1 - self.first_correction**t)
        v_hat = v / (1 - self.second_correction**t)
        root = jnp.sqrt(v_hat + self.eps_inside) + self.eps_outside
        direction = jnp.where(self.adaptive, m_hat / jnp.where(self.adaptive, root, 1.0), m_hat)
        return parameters - self.rate(step) * back(direction), m, v, norm

    def rate(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The learning rate of a step, from 0."""
        done = step.astype(jnp.float32) / self.steps.astype(jnp.float32)
        cosine = self.decay + (1 - self.decay) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return self.learning_rate * jnp.where(self.cosine, cosine, self.decay**done)
