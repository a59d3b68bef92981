"""Multinomial logistic regression, by L-BFGS with the exact gradient. NumPy and SciPy alone.

Symbols: x (items, features), dense or sparse; y (items,), labels from 0; w (features + 1, classes),
the last row the constants, which are not drawn towards 0.
"""

import dataclasses
from typing import Any

import numpy as np
import scipy.optimize
from jaxtyping import Float, Int

Inputs = Any
"""A NumPy array or a SciPy matrix in rows."""
Labels = Int[np.ndarray, " items"]

STRENGTHS = (30.0, 3.0, 0.3, 0.03, 0.003)
"""Of L2 on the sum of the cross-entropies, from strong to weak. The first is taken after which the
validation part is predicted no better."""
STEPS, TOLERANCE = 100, 1e-5
"""Of L-BFGS: at most so many steps, until the loss changes by less, relative to itself."""


@dataclasses.dataclass(frozen=True)
class Logistic:
    """log p(k | x) is x w_k + b_k, but for what all k have in common. `strength`: of its L2, on the
    sum of the cross-entropies."""

    weights: Float[np.ndarray, "features_1 classes"]
    strength: float

    @staticmethod
    def fit(
        x: Inputs, y: Labels, classes: int, strength: float, start: Float[np.ndarray, "f classes"] | None = None
    ) -> "Logistic":
        """The least sum of cross-entropies + strength / 2 |w|^2. Sparse inputs may be of single
        precision, by which they are computed twice as fast."""
        shape = (x.shape[1] + 1, classes)
        begin = np.zeros(shape) if start is None else start

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = loss_and_slope(flat.reshape(shape), x, y, strength / len(y))
            return value, slope.ravel()

        options = {"maxiter": STEPS, "ftol": TOLERANCE}
        found = scipy.optimize.minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
        return Logistic(found.x.reshape(shape), strength)

    @staticmethod
    def chosen(x: Inputs, y: Labels, validation: tuple[Inputs, Int[np.ndarray, " others"]], classes: int) -> "Logistic":
        """Fitted with the strength that gives the validation part the least cross-entropy."""
        best, least = None, np.inf
        for strength in STRENGTHS:
            one = Logistic.fit(x, y, classes, strength, None if best is None else best.weights)
            value = cross_entropy(one.log_probabilities(validation[0]), validation[1])
            if best is not None and not value < least:
                return best
            best, least = one, value
        assert best is not None
        return best

    def log_probabilities(self, x: Inputs) -> Float[np.ndarray, "items classes"]:
        """Of each label, for each item."""
        return _log_softmax(_logits(self.weights, x)).astype(np.float64)


def loss_and_slope(
    w: Float[np.ndarray, "f classes"], x: Inputs, y: Labels, strength: float
) -> tuple[float, Float[np.ndarray, "f classes"]]:
    """Mean cross-entropy + strength / 2 |w|^2, and its gradient."""
    log_p = _log_softmax(_logits(w, x))
    error = np.exp(log_p)
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    slope = np.concatenate([x.T @ error, error.sum(axis=0)[None]]).astype(np.float64)
    slope[:-1] += strength * w[:-1]
    return cross_entropy(log_p, y) + strength / 2 * float((w[:-1] ** 2).sum()), slope


def cross_entropy(log_p: Float[np.ndarray, "items classes"], y: Labels) -> float:
    """Mean of -log p of the labels, in nats; labels that no training item has do not count."""
    known = y < log_p.shape[1]
    return float(-log_p[np.flatnonzero(known), y[known]].mean()) if known.any() else float("nan")


def _logits(w: np.ndarray, x: Inputs) -> np.ndarray:
    weights = w.astype(x.dtype)
    return x @ weights[:-1] + weights[-1]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
