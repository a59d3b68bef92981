"""Signal propagation of h_t = lambda h_{t-1} + x_t in closed form (Zucchet & Orvieto 2024,
Recurrent neural networks: vanishing and exploding gradients are not the end of the story), for any
stationary input.
"""

from typing import Any

import jax.numpy as jnp

from capax.theory.autocorrelation import make


def correlation(a: Any, b: Any, autocorrelation: Any) -> Any:
    """S(a, b) = [R(0) + sum_{D >= 1} (a^D + b^D) R(D)] / (1 - a b): E[h h'] of two units with
    eigenvalues a and b that read the same input, whose autocorrelation is R.

    `a`, `b`: numbers or arrays inside the unit circle, real or complex, traced by JAX or not.
    `autocorrelation`: rho for rho^|D|, a function of the lag, an array R(0), R(1), .., or one of
    `theory.autocorrelation`.
    """
    r = make(autocorrelation)
    return (r(0) + r.sums(a)[0] + r.sums(b)[0]) / (1 - a * b)


def sensitivity_correlation(a: Any, b: Any, autocorrelation: Any) -> Any:
    """d^2 S / (da db): E[dh/da dh'/db] of two units' sensitivities to their eigenvalues."""
    r = make(autocorrelation)
    (total_a, slope_a), (total_b, slope_b) = r.sums(a), r.sums(b)
    numerator, rest = r(0) + total_a + total_b, 1 - a * b
    return (slope_a + slope_b) / rest**2 + numerator * (1 + a * b) / rest**3


def cross_correlation(a: Any, b: Any, autocorrelation: Any) -> Any:
    """dS / da: E[dh/da h'] of a unit's sensitivity and a unit's state."""
    r = make(autocorrelation)
    (total_a, slope_a), total_b = r.sums(a), r.sums(b)[0]
    rest = 1 - a * b
    # slope is a F'(a); at a = 0 F' is R(1)
    derivative = jnp.where(a == 0, r(1), slope_a / jnp.where(a == 0, 1.0, a))
    return derivative / rest + (r(0) + total_a + total_b) * b / rest**2


def state_variance(lam: Any, autocorrelation: Any) -> Any:
    """E|h|^2 for eigenvalue(s) `lam`, |lam| < 1; infinite where |lam| >= 1. With R(D) = rho^|D| and
    real lambda: (1 + rho lambda) / ((1 - rho lambda)(1 - lambda^2)).
    """
    return _finite(lam, correlation(lam, jnp.conj(lam), autocorrelation))


def sensitivity_variance(lam: Any, autocorrelation: Any) -> Any:
    """E|dh/dlambda|^2 for eigenvalue(s) `lam`, |lam| < 1; infinite where |lam| >= 1. With R(D) =
    rho^|D| and real lambda: [(1 + l^2)(1 - l^2 rho^2) + 2 (1 - l^2) l rho] / [(1 - l^2)^3 (1 - l
    rho)^2].
    """
    return _finite(lam, sensitivity_correlation(lam, jnp.conj(lam), autocorrelation))


def normalised_state_variance(lam: Any, autocorrelation: Any) -> Any:
    """E|h|^2 with inputs multiplied by gamma = sqrt(1 - |lambda|^2)."""
    return (1 - jnp.abs(lam) ** 2) * state_variance(lam, autocorrelation)


def normalised_modulus_sensitivity(modulus: Any, autocorrelation: Any, *, exponential: bool = True) -> Any:
    """E[(dh/dw)^2] of a real, positive eigenvalue with normalised inputs: for w_nu of nu =
    exp(-exp(w_nu)), or for nu itself.

    The modulus enters twice, by the recurrence and by gamma: dh/dnu = gamma dh0/dnu - nu / gamma
    h0, where h0 is the state without normalisation. For white inputs with the exponential
    parametrisation it stays bounded as nu goes to 1.
    """
    squared = 1 - modulus**2
    sensitivity = sensitivity_variance(modulus, autocorrelation)
    state = state_variance(modulus, autocorrelation)
    cross = cross_correlation(modulus, modulus, autocorrelation)
    plain = squared * sensitivity - 2 * modulus * cross + modulus**2 / squared * state
    return plain * (modulus * jnp.log(modulus)) ** 2 if exponential else plain


def _finite(lam: Any, value: Any) -> Any:
    return jnp.where(jnp.abs(lam) < 1, jnp.real(value), jnp.inf)
