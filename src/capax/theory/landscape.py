"""Loss landscapes of one linear unit that learns another, driven by white noise, and
parametrisations of its eigenvalue (Zucchet & Orvieto 2024; what is learned is one complex
eigenvalue).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from capax.errors import CapaxError

Parameters = Float[Array, " two"]


def loss(lam: Any, teacher: Any, *, normalised: bool = False) -> Any:
    """1/2 E|h - h*|^2 of units with eigenvalues `lam` and `teacher` that read the same white noise
    of variance 1: 1/2 [1 / (1 - |l|^2) + 1 / (1 - |l*|^2) - 2 Re 1 / (1 - l conj(l*))], its terms
    multiplied by gamma(l)^2, gamma(l*)^2, and gamma(l) gamma(l*) if inputs are `normalised`.
    Infinite where |lam| >= 1.
    """
    own, theirs = 1 - jnp.abs(lam) ** 2, 1 - jnp.abs(teacher) ** 2
    cross = jnp.real(1 / (1 - lam * jnp.conj(teacher)))
    value = (
        1 - jnp.sqrt(jnp.where(own > 0, own, 1.0) * theirs) * cross
        if normalised
        else 0.5 * (1 / own + 1 / theirs - 2 * cross)
    )
    return jnp.where(own > 0, value, jnp.inf)


def _polar(modulus: Any, angle: Any) -> Any:
    return modulus * (jnp.cos(angle) + 1j * jnp.sin(angle))


def cartesian(w: Parameters) -> Any:
    """lambda = a + i b."""
    return w[0] + 1j * w[1]


def polar(w: Parameters) -> Any:
    """lambda = nu exp(i theta)."""
    return _polar(w[0], w[1])


def exponential(w: Parameters) -> Any:
    """nu = exp(-exp(w_nu)), theta = exp(w_theta), as in the LRU."""
    return _polar(jnp.exp(-jnp.exp(w[0])), jnp.exp(w[1]))


def optimal(w: Parameters, *, held: bool = False) -> Any:
    """nu = tanh(w_nu), theta = w_theta (1 - nu^2) / (nu sqrt(1 + nu^2)); with `held` the scale of
    theta has no derivative.
    """
    nu = jnp.tanh(w[0])
    scale = (1 - nu**2) / (nu * jnp.sqrt(1 + nu**2))
    return _polar(nu, w[1] * (jax.lax.stop_gradient(scale) if held else scale))


def optimal_held(w: Parameters) -> Any:
    """`optimal` with the scale of theta held constant."""
    return optimal(w, held=True)


PARAMETRISATIONS: dict[str, Callable[[Parameters], Any]] = {
    "cartesian": cartesian,
    "polar": polar,
    "exponential": exponential,
    "optimal": optimal,
    "optimal, scale held": optimal_held,
}


def parameters(name: str, modulus: float, angle: float) -> Parameters:
    """The parameters of the eigenvalue modulus exp(i angle). Raises `CapaxError` where a
    parametrisation cannot have it.
    """
    if name not in PARAMETRISATIONS:
        raise CapaxError(f"unknown parametrisation '{name}'; choose of {', '.join(PARAMETRISATIONS)}.")
    if not 0 < modulus < 1 or (name == "exponential" and angle <= 0):
        above = " and an angle above 0" if name == "exponential" else ""
        raise CapaxError(
            f"the {name} parametrisation needs a modulus between 0 and 1{above}, not {modulus} and {angle}."
        )
    if name == "cartesian":
        return jnp.asarray([modulus * jnp.cos(angle), modulus * jnp.sin(angle)])
    if name == "polar":
        return jnp.asarray([modulus, angle])
    if name == "exponential":
        return jnp.asarray([jnp.log(-jnp.log(modulus)), jnp.log(angle)])
    return jnp.asarray([jnp.arctanh(modulus), angle * modulus * (1 + modulus**2) ** 0.5 / (1 - modulus**2)])


def hessian(name: str, modulus: float, angle: float, *, normalised: bool = True) -> Float[Array, "two two"]:
    """The Hessian of the loss in a parametrisation's two parameters, at the teacher's own
    eigenvalue. In double precision only under `jax.enable_x64`.
    """
    w = parameters(name, modulus, angle)
    teacher = _polar(modulus, angle)
    return jax.hessian(lambda w: loss(PARAMETRISATIONS[name](w), teacher, normalised=normalised))(w)
