"""Landscapes of one unit: the loss against simulation, Hessians against what is known of each
parametrisation.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax.errors import CapaxError
from capax.theory import landscape

MODULI = [0.36, 0.68, 0.84, 0.92, 0.96, 0.98, 0.99]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("normalised", [False, True])
def test_the_loss_is_that_of_simulated_units(normalised):
    own, teacher, random = 0.8 * np.exp(0.3j), 0.7 * np.exp(-0.2j), np.random.default_rng(0)
    x = random.normal(size=(200, 20_000))
    gains = np.sqrt(1 - np.abs([own, teacher]) ** 2) if normalised else np.ones(2)
    powers = np.arange(200)[:, None]
    h = gains[0] * (own**powers * x).sum(axis=0) - gains[1] * (teacher**powers * x).sum(axis=0)
    samples = 0.5 * np.abs(h) ** 2
    error = samples.std() / np.sqrt(len(samples))
    assert abs(samples.mean() - float(landscape.loss(own, teacher, normalised=normalised))) < 3 * error


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("name", landscape.PARAMETRISATIONS)
@pytest.mark.parametrize("normalised", [False, True])
def test_the_loss_is_least_and_zero_at_the_teacher(name, normalised):
    w = landscape.parameters(name, 0.9, 0.5)
    lam = landscape.PARAMETRISATIONS[name](w)
    np.testing.assert_allclose(lam, 0.9 * np.exp(0.5j), rtol=1e-12)
    value = lambda w: landscape.loss(landscape.PARAMETRISATIONS[name](w), lam, normalised=normalised)  # noqa: E731
    assert float(value(w)) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(jax.grad(value)(w), 0, atol=1e-9)
    assert np.linalg.eigvalsh(landscape.hessian(name, 0.9, 0.5, normalised=normalised)).min() > 0


@pytest.mark.parametrize("modulus", MODULI)
def test_the_optimal_parametrisation_has_the_identity_for_its_hessian(modulus):
    np.testing.assert_allclose(landscape.hessian("optimal", modulus, 0.0), np.eye(2), atol=1e-6)
    for angle in (0.0, 0.3, 1.0, 3.0):
        np.testing.assert_allclose(landscape.hessian("optimal, scale held", modulus, angle), np.eye(2), atol=1e-6)


def test_without_holding_the_scale_an_angle_makes_the_hessian_explode():
    assert float(landscape.hessian("optimal", 0.99, 1.0)[0, 0]) == pytest.approx(1.98e4, rel=0.01)


def test_memory_makes_the_plain_hessian_explode_and_the_angle_stays_hard_for_the_exponential_one():
    plain = [float(landscape.hessian("polar", m, 0.5, normalised=False)[0, 0]) for m in MODULI]
    assert np.all(np.diff(plain) > 0) and plain[-1] > 1e5
    exponential = np.asarray([landscape.hessian("exponential", m, 0.5) for m in MODULI])
    assert np.ptp(exponential[:, 0, 0]) < 1
    assert exponential[-1, 1, 1] > 1e3 * exponential[0, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("spherical", 0.5, 0.1), "unknown parametrisation 'spherical'"),
        (("polar", 1.0, 0.1), "needs a modulus between 0 and 1, not 1.0"),
        (("exponential", 0.5, 0.0), "and an angle above 0"),
    ],
)
def test_bad_input_is_one_line(arguments, line):
    with pytest.raises(CapaxError, match=line):
        landscape.parameters(*arguments)


def test_an_unstable_unit_has_an_infinite_loss():
    assert jnp.isinf(landscape.loss(1.01, 0.5)) and jnp.isinf(landscape.loss(1.01, 0.5, normalised=True))
