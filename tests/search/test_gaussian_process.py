"""Gaussian-process numerics against finite differences, Monte Carlo, and full matrices."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import norm

from capax.search import gaussian_process as gp

CATEGORIES = np.array([0, 0, 3, 2])


def _points(count: int, seed: int) -> np.ndarray:
    cube = np.random.default_rng(seed).random((count, len(CATEGORIES)))
    return np.where(CATEGORIES > 0, np.floor(cube * CATEGORIES), cube)


def _targets(X: np.ndarray) -> np.ndarray:
    y = np.sin(5.0 * X[:, 0]) + X[:, 1] ** 2 + 0.7 * (X[:, 2] == 1.0)
    return (y - y.mean()) / y.std()


def _process(count: int = 40) -> gp.GaussianProcess:
    X = _points(count, 0)
    kernel = gp.Kernel(np.array([3.0, 1.0, 0.5, 0.2]), 1.5, 1e-3, CATEGORIES)
    return gp.GaussianProcess.condition(kernel, X, _targets(X))


def _numeric_gradient(function, points: np.ndarray) -> np.ndarray:
    numbers = CATEGORIES == 0

    def of_numbers(u: np.ndarray, x: np.ndarray) -> float:
        moved = x.copy()
        moved[numbers] = u
        return float(function(moved[None])[0])

    return np.array([approx_fprime(x[numbers], of_numbers, 1e-6, x) for x in points])


def test_matern_is_the_textbook_formula_and_its_slope_the_derivative():
    r = np.array([0.3, 1.0, 2.5])
    # Rasmussen & Williams 2006, equation 4.17
    expected = (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r)
    np.testing.assert_allclose(gp.matern(r**2), expected, rtol=1e-14)
    difference = (gp.matern(r**2 + 1e-6) - gp.matern(r**2 - 1e-6)) / 2e-6
    np.testing.assert_allclose(gp.matern_slope(r**2), difference, rtol=1e-7)


def test_distance_adds_weighted_squares_and_weighted_mismatches():
    kernel = gp.Kernel(np.array([2.0, 3.0, 5.0, 7.0]), 1.0, 0.1, CATEGORIES)
    a, b = np.array([[0.1, 0.5, 0.0, 1.0]]), np.array([[0.4, 0.5, 2.0, 1.0], [0.1, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(kernel.squared_distance(a, b), [[2.0 * 0.09 + 5.0, 3.0 * 0.25 + 7.0]], rtol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_likelihood_gradient_matches_finite_differences(seed: int):
    X = _points(30, seed)
    differences, y = gp.pair_differences(X, CATEGORIES), _targets(X)
    theta = gp.prior_mean(len(CATEGORIES)) + np.random.default_rng(seed).normal(size=len(CATEGORIES) + 2)
    _, gradient = gp.log_marginal_likelihood(theta, differences, y)
    h = 1e-5
    for i, step in enumerate(h * np.eye(len(theta))):
        above, _ = gp.log_marginal_likelihood(theta + step, differences, y)
        below, _ = gp.log_marginal_likelihood(theta - step, differences, y)
        # Central differences: error h^2 of the third derivative, and rounding of about 1e-14 / h.
        assert gradient[i] == pytest.approx((above - below) / (2 * h), rel=1e-5, abs=1e-5)


def test_likelihood_is_the_normal_density():
    X = _points(12, 3)
    y, theta = _targets(X), np.array([0.5, 0.0, -1.0, -1.0, 0.3, -3.0])
    kernel = gp.Kernel(np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1])), CATEGORIES)
    K = kernel.covariance(X, X) + kernel.sigma2 * np.eye(12)
    expected = -0.5 * (y @ np.linalg.solve(K, y) + np.linalg.slogdet(K)[1] + 12 * np.log(2 * np.pi))
    value, _ = gp.log_marginal_likelihood(theta, gp.pair_differences(X, CATEGORIES), y)
    assert value == pytest.approx(expected, rel=1e-10)


def test_prior_gradient_matches_finite_differences():
    theta = np.array([0.4, -2.0, 1.0, 0.0, 0.7, -6.0])
    _, gradient = gp.log_prior(theta)
    by_difference = np.ravel(np.array(approx_fprime(theta, lambda t: gp.log_prior(t)[0], 1e-6)))
    np.testing.assert_allclose(gradient, by_difference, atol=1e-4)


def test_fit_finds_which_dimensions_matter():
    X = _points(120, 1)
    w = gp.fit(X, _targets(X), CATEGORIES).w
    assert min(w[0], w[1], w[2]) > 3.0 * w[3]


def test_fit_predicts_points_it_has_not_seen_from_a_capped_number_of_observations():
    X, held_out = _points(gp.FIT_AT_MOST + 50, 2), _points(100, 9)
    y = _targets(X)
    process = gp.GaussianProcess.condition(gp.fit(X, y, CATEGORIES), X, y)
    assert np.corrcoef(process.mean(held_out), _targets(held_out))[0, 1] > 0.999


def test_rank_one_extension_equals_full_cholesky():
    process = _process()
    kernel, new = process.kernel, _points(5, 7)
    extended = process
    for x in new:
        extended = extended.extend(x)
    K = kernel.covariance(extended.X, extended.X) + kernel.sigma2 * np.eye(45)
    np.testing.assert_allclose(extended.L, np.linalg.cholesky(K), atol=1e-9)
    points = _points(20, 8)
    _, variance, _ = extended.posterior(points)
    cross = kernel.covariance(extended.X, points)
    np.testing.assert_allclose(variance, kernel.s2 - (cross * np.linalg.solve(K, cross)).sum(axis=0), atol=1e-9)


def test_believed_points_leave_the_mean_and_lower_the_variance():
    process, x, points = _process(), _points(1, 7)[0], _points(50, 8)
    believer = process.extend(x)
    # The believer is the process that has observed its own mean at x.
    y = np.append(_targets(process.X), process.mean(x[None]))
    observed = gp.GaussianProcess.condition(process.kernel, believer.X, y)
    np.testing.assert_allclose(believer.mean(points), observed.mean(points), atol=1e-9)
    np.testing.assert_allclose(believer.posterior(points)[1], observed.posterior(points)[1], atol=1e-9)
    assert np.all(believer.posterior(points)[1] <= process.posterior(points)[1] + 1e-12)


def test_extension_by_the_same_point_twice_stays_finite():
    process, x = _process(), _points(1, 7)[0]
    for _ in range(10):
        process = process.extend(x)
    assert np.all(np.isfinite(process.L))
    assert process.posterior(x[None])[1][0] < process.kernel.sigma2


def test_posterior_gradients_match_finite_differences():
    process, points = _process().extend(_points(1, 7)[0]), _points(6, 8)
    numbers = CATEGORIES == 0
    mean, variance, mean_gradient, variance_gradient = process.posterior_gradients(points)
    np.testing.assert_allclose(mean, process.posterior(points)[0], rtol=1e-12)
    np.testing.assert_allclose(variance, process.posterior(points)[1], rtol=1e-12)
    np.testing.assert_allclose(mean_gradient[:, numbers], _numeric_gradient(process.mean, points), atol=1e-4)
    by_difference = _numeric_gradient(lambda x: process.posterior(x)[1], points)
    np.testing.assert_allclose(variance_gradient[:, numbers], by_difference, atol=1e-4)


def test_feasibility_learns_a_boundary_and_its_gradient_matches_finite_differences():
    X, points = _points(80, 0), _points(40, 8)
    feasibility = gp.Feasibility.condition(X, X[:, 0] < 0.6, CATEGORIES)
    value, gradient = feasibility.log_probability_gradients(points)
    np.testing.assert_allclose(value, feasibility.log_probability(points), rtol=1e-10)
    by_difference = _numeric_gradient(feasibility.log_probability, points)
    np.testing.assert_allclose(gradient[:, CATEGORIES == 0], by_difference, rtol=1e-3, atol=1e-3)
    clear = np.abs(points[:, 0] - 0.6) > 0.1
    assert np.all((np.exp(value) > 0.5)[clear] == (points[:, 0] < 0.6)[clear])


def test_expected_improvement_matches_monte_carlo():
    mean, variance, best = np.array([0.5, 0.0, -1.0, 2.0]), np.array([1.0, 0.3, 0.5, 2.0]), 0.2
    draws = mean + np.sqrt(variance) * np.random.default_rng(0).standard_normal((400_000, 4))
    gain = np.maximum(best - draws, 0.0)
    value, _, _ = gp.log_expected_improvement(mean, variance, best)
    # Five standard errors of the estimate.
    assert np.all(np.abs(np.exp(value) - gain.mean(axis=0)) < 5 * gain.std(axis=0) / np.sqrt(len(draws)))


def test_log_expected_improvement_is_the_textbook_form_where_that_has_digits_and_finite_everywhere():
    z = np.linspace(-5.0, 5.0, 41)
    value, _, _ = gp.log_expected_improvement(-z, np.ones_like(z), 0.0)
    np.testing.assert_allclose(value, np.log(norm.pdf(z) + z * norm.cdf(z)), rtol=1e-8)
    far = np.array([-1e6, -1001.0, -999.0, -40.0, -1.0001, -0.9999, 30.0])
    value, by_mean, by_variance = gp.log_expected_improvement(-far, np.ones_like(far), 0.0)
    assert np.all(np.isfinite([value, by_mean, by_variance]))
    assert np.all(np.diff(value) > 0)


def test_log_expected_improvement_derivatives_match_finite_differences():
    mean, variance, best, h = np.array([-1.0, 0.3, 4.0, 30.0]), np.array([0.5, 1.0, 0.2, 2.0]), 0.0, 1e-6
    _, by_mean, by_variance = gp.log_expected_improvement(mean, variance, best)
    moved_mean = [gp.log_expected_improvement(mean + s * h, variance, best)[0] for s in (1, -1)]
    moved_variance = [gp.log_expected_improvement(mean, variance + s * h, best)[0] for s in (1, -1)]
    np.testing.assert_allclose(by_mean, (moved_mean[0] - moved_mean[1]) / (2 * h), rtol=1e-5)
    np.testing.assert_allclose(by_variance, (moved_variance[0] - moved_variance[1]) / (2 * h), rtol=1e-5)
