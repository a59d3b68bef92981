"""Closed forms against automatic differentiation, printed special cases, and simulation, in double
precision.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capax
from capax.errors import CapaxError
from capax.theory import autocorrelation as ac
from capax.theory import moments

RHO = (0.0, 0.9, 0.99, 0.999)
MODULI = tuple(1 - np.geomspace(1, 1e-3, 7)[1:])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("rho", RHO)
@pytest.mark.parametrize("lam", MODULI)
def test_real_eigenvalues_have_the_printed_moments(rho, lam):
    state = (1 + rho * lam) / ((1 - rho * lam) * (1 - lam**2))
    numerator = (1 + lam**2) * (1 - lam**2 * rho**2) + 2 * (1 - lam**2) * lam * rho
    sensitivity = numerator / ((1 - lam**2) ** 3 * (1 - lam * rho) ** 2)
    assert float(capax.theory.moments.state_variance(lam, rho)) == pytest.approx(state, rel=1e-12)
    assert float(moments.sensitivity_variance(lam, rho)) == pytest.approx(sensitivity, rel=1e-10)


@pytest.mark.parametrize("rho", RHO)
@pytest.mark.parametrize("modulus", MODULI)
def test_derivatives_agree_with_automatic_differentiation(rho, modulus):
    r = ac.Exponentials((0.7, 0.3), (rho, 0.5), 0.2)
    a, b = modulus * np.exp(0.3j), 0.8 * modulus * np.exp(-0.5j)
    s = lambda a, b: moments.correlation(a, b, r)  # noqa: E731
    by_a = jax.grad(s, holomorphic=True)
    by_both = jax.grad(by_a, argnums=1, holomorphic=True)
    a, b = jnp.asarray(a), jnp.asarray(b)
    np.testing.assert_allclose(moments.cross_correlation(a, b, r), by_a(a, b), rtol=1e-10)
    np.testing.assert_allclose(moments.sensitivity_correlation(a, b, r), by_both(a, b), rtol=1e-10)


def simulated(lam, rho, steps=400_000, seed=0):
    """h and dh/dlambda driven by an AR(1) input of variance 1, after a warm-up; means of squares
    and their errors.
    """
    random = np.random.default_rng(seed)
    lanes, warm = 64, 5_000
    x, h, d = random.normal(size=lanes), np.zeros(lanes), np.zeros(lanes)
    total = np.zeros((2, lanes))
    count = steps // lanes
    for t in range(warm + count):
        d = h + lam * d
        h = lam * h + x
        x = rho * x + np.sqrt(1 - rho**2) * random.normal(size=lanes)
        if t >= warm:
            total += np.stack([np.abs(h) ** 2, np.abs(d) ** 2])
    means = total / count
    return means.mean(axis=1), means.std(axis=1, ddof=1) / np.sqrt(lanes)


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("lam", [0.5, 0.9, 0.9 * np.exp(0.4j)])
def test_simulation_agrees_within_three_standard_errors(rho, lam):
    mean, error = simulated(lam, rho)
    expected = float(moments.state_variance(lam, rho)), float(moments.sensitivity_variance(lam, rho))
    assert np.all(np.abs(mean - expected) < 3 * error), (mean, expected, error)


def test_any_autocorrelation_gives_the_same():
    lam = 0.97 * np.exp(0.2j)
    as_function = moments.sensitivity_variance(lam, lambda lag: 0.8**lag)
    as_array = moments.sensitivity_variance(lam, [0.8**lag for lag in range(3000)])
    np.testing.assert_allclose([as_function, as_array], moments.sensitivity_variance(lam, 0.8), rtol=1e-9)


@pytest.mark.parametrize("lam", [0.9, 0.999, -0.99, 0.999 * np.exp(0.2j)])
def test_a_function_of_the_lag_that_takes_arrays_is_called_a_few_times_and_not_once_a_lag(lam):
    calls = []

    def decay(lag):
        calls.append(lag)
        return jnp.exp(-0.1 * lag)

    found = moments.state_variance(lam, decay)
    np.testing.assert_allclose(found, moments.state_variance(lam, np.exp(-0.1)), rtol=1e-10)
    assert len(calls) < 10  # |lambda| = .999 needs 41,426 lags


def test_a_function_of_one_lag_is_asked_for_each():
    expected = moments.sensitivity_variance(0.9, ac.Exponentials((0.5,), (1.0,), 0.5))
    for one_lag in (
        lambda lag: 1.0 if lag == 0 else 0.5,  # an array has no truth value
        lambda lag: [1.0, 0.5][min(lag, 1)],  # no array of floats is an index
        lambda lag: 0.5 + 0.5 * (str(lag) == "0"),  # takes an array, and is wrong for it in shape
    ):
        np.testing.assert_allclose(moments.sensitivity_variance(0.9, one_lag), expected, rtol=1e-10)


def test_sums_over_lags_are_horners_of_any_shape_and_differentiable_at_zero():
    values = np.random.default_rng(0).normal(size=23)
    a = np.asarray([[0.0, 0.5, -0.9], [0.3j, 0.2 + 0.7j, 1.0]])
    total, slope = ac.Lags(tuple(values)).sums(a)
    lag = np.arange(1, 23)
    np.testing.assert_allclose(total, (a[..., None] ** lag) @ values[1:], rtol=1e-12)
    np.testing.assert_allclose(slope, (a[..., None] ** lag) @ (lag * values[1:]), rtol=1e-12)
    derivative = jax.grad(lambda a: ac.Lags(tuple(values)).sums(a)[0])(0.0)
    assert float(derivative) == pytest.approx(values[1], rel=1e-12)


def test_sums_over_lags_do_not_depend_on_how_many_eigenvalues_fit_into_memory(monkeypatch):
    a, r = jnp.linspace(-0.9, 0.9, 50), ac.Lags(tuple(0.8 ** np.arange(100)))
    expected = r.sums(a)
    monkeypatch.setattr(ac, "MOST_POWERS", 60)
    np.testing.assert_allclose(r.sums(a), expected, rtol=1e-13)


def test_a_function_of_the_lag_leaves_unstable_eigenvalues_infinite():
    found = moments.state_variance(np.asarray([0.5, 1.0, 1.2]), lambda lag: 0.8**lag)
    np.testing.assert_allclose(found, [moments.state_variance(0.5, 0.8), np.inf, np.inf], rtol=1e-12)
    assert np.isinf(float(moments.sensitivity_variance(1.0, lambda lag: 0.8**lag)))


def test_normalised_inputs_with_the_exponential_parametrisation_stay_bounded_for_white_noise():
    nu = 1 - np.geomspace(0.5, 1e-6, 20)
    variance = moments.normalised_state_variance(nu, 0.0)
    np.testing.assert_allclose(variance, 1.0, rtol=1e-9)
    found = np.asarray(moments.normalised_modulus_sensitivity(nu, 0.0))
    assert found.max() < 1.0
    assert found[-1] == pytest.approx(0.25, rel=1e-4)  # (nu log nu)^2 / (1 - nu^2)^2
    assert np.asarray(moments.normalised_modulus_sensitivity(nu, 0.0, exponential=False))[-1] > 1e9


def test_normalised_sensitivity_agrees_with_a_derivative_of_sampled_states():
    random = np.random.default_rng(3)
    x, nu = random.normal(size=(300, 20_000)), 0.8

    def state(nu):
        powers = nu ** jnp.arange(300)
        return jnp.sqrt(1 - nu**2) * powers @ x

    slopes = np.asarray(jax.jacfwd(state)(nu)) * nu * np.log(nu)
    error = np.std(slopes**2) / np.sqrt(len(slopes))
    assert abs(np.mean(slopes**2) - float(moments.normalised_modulus_sensitivity(nu, 0.0))) < 3 * error


def test_unstable_eigenvalues_are_infinite():
    assert np.isinf(np.asarray(moments.state_variance(np.asarray([1.0, 1.2]), 0.5))).all()
    assert np.isinf(float(moments.sensitivity_variance(1.0, 0.0)))


def test_a_measured_autocorrelation_is_that_of_the_process_and_its_fit():
    random = np.random.default_rng(0)
    x = np.zeros((50, 4000, 2))
    x[:, 0] = random.normal(size=(50, 2))
    for t in range(1, 4000):
        x[:, t] = 0.9 * x[:, t - 1] + np.sqrt(1 - 0.81) * random.normal(size=(50, 2))
    measured = ac.measure(x, lags=60)
    np.testing.assert_allclose(measured.values, 0.9 ** np.arange(61), atol=0.03)
    fitted = ac.fit(measured)
    np.testing.assert_allclose([fitted(lag) for lag in range(61)], measured.values, atol=0.02)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: ac.make([]), "list of finite numbers"),
        (lambda: ac.make([1.0, np.nan]), "list of finite numbers"),
        (lambda: ac.Exponentials((1.0,), (1.5,)), "rates .* must be from 0 to 1, not 1.5"),
        (lambda: ac.Exponentials((1.0, 2.0), (0.5,)), "as many weights as rates"),
        (lambda: ac.measure(np.zeros((3, 1, 2))), "at least two time steps"),
    ],
    ids=["empty", "not a number", "a rate above 1", "a rate too few", "too short"],
)
def test_bad_input_is_one_line(call, line):
    with pytest.raises(CapaxError, match=line):
        call()
