"""Gaussian-process regression for the tuner: kernel, fit, posterior, expected improvement. NumPy
and SciPy, no Optuna.

Symbols (Rasmussen & Williams 2006, chapters 2 and 5, unless said otherwise):

    d          number of dimensions of the search space; n: observations; m: points asked about
    X          (n, d) observations: numbers in [0, 1], categories as the index of the choice
    y          (n,) targets; lower is better; mean about 0, standard deviation about 1
    w          (d,) inverse squared length scales (automatic relevance determination)
    r2         squared scaled distance: sum_i w_i (x_i - x'_i)^2 over numbers
               + sum_i w_i [x_i != x'_i] over categories
    s2, sigma2 signal variance; noise variance
    theta      (d + 2,) = (log w, log s2, log sigma2)
    K          (n, n) = s2 k(r2) + sigma2 I;  L: its lower Cholesky factor;  alpha = K^-1 y
    V          (n, m) = L^-1 K(X, points), the part of the points' variance that X explains

The kernel k is Matern 5/2 with one length scale a dimension (Snoek et al. 2012). Categories enter
r2 by a weighted Hamming distance (Hutter et al. 2011).
"""

import dataclasses

import numpy as np
import scipy  # its parts are loaded when they are first used: they are slow to load
from scipy.linalg import get_blas_funcs, get_lapack_funcs
from scipy.special import erfcx, log_ndtr, ndtr

_potrf, _potrs, _potri = get_lapack_funcs(("potrf", "potrs", "potri"), dtype=np.float64)
(_trsm,) = get_blas_funcs(("trsm",), dtype=np.float64)

_SQRT5 = np.sqrt(5.0)
_LOG_SQRT_2PI = 0.5 * np.log(2.0 * np.pi)

FIT_AT_MOST = 400

# A trial must look this much more feasible than midway between the labels -1 and 1. A loss often
# falls right up to where trials diverge, and a batch that shares one guess of where that is would
# lie beyond it together. Measured: proposals that fail go from 28% to 5% (8 dimensions) and from
# 12% to 8% (15), and the best loss found is no worse.
_CAUTION = 0.5

# Cholesky of a thousand points stays well within double precision down to the least noise.
_LOG_W_BOUNDS = (np.log(1e-5), np.log(1e4))
_LOG_S2_BOUNDS = (np.log(0.05), np.log(20.0))
_LOG_SIGMA2_BOUNDS = (np.log(1e-5), np.log(1.0))


def matern(r2: np.ndarray) -> np.ndarray:
    """Matern 5/2 correlation at squared scaled distance `r2` (any shape)."""
    r = _SQRT5 * np.sqrt(r2)
    return (1.0 + r + (5.0 / 3.0) * r2) * np.exp(-r)


def matern_slope(r2: np.ndarray) -> np.ndarray:
    """Derivative of `matern` with respect to `r2`: finite at 0, so no distance needs special
    care.
    """
    r = _SQRT5 * np.sqrt(r2)
    return (-5.0 / 6.0) * (1.0 + r) * np.exp(-r)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A covariance function: `w` (d,), `s2`, `sigma2`, and `categories` (d,): the number of
    choices, 0 for a number.
    """

    w: np.ndarray
    s2: float
    sigma2: float
    categories: np.ndarray

    def embed(self, points: np.ndarray) -> np.ndarray:
        """Points (m, d) where squared Euclidean distance is r2, so that all distances are one
        matrix product.
        """
        numeric = self.categories == 0
        columns = [points[:, numeric] * np.sqrt(self.w[numeric])]
        for i in np.flatnonzero(~numeric):
            columns.append((points[:, i, None] == np.arange(self.categories[i])) * np.sqrt(0.5 * self.w[i]))
        return np.concatenate(columns, axis=1)

    def squared_distance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """r2 between points (n, d) and (m, d): shape (n, m)."""
        a, b = self.embed(a), self.embed(b)
        r2 = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
        return np.maximum(r2, 0.0)

    def covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Noise-free covariance between points (n, d) and (m, d): shape (n, m)."""
        return self.s2 * matern(self.squared_distance(a, b))


def pair_differences(X: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Unweighted squared differences of every pair of rows, one dimension a row: (d, n (n - 1) /
    2).
    """
    first, second = np.triu_indices(len(X), k=1)
    difference = (X[first] - X[second]).T
    hamming = (categories > 0)[:, None]
    return np.ascontiguousarray(np.where(hamming, difference != 0.0, difference * difference))


def log_marginal_likelihood(theta: np.ndarray, differences: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Logarithm of p(y | X, theta) and its gradient (d + 2,) (Rasmussen & Williams 2006, equations
    5.8 and 5.9).

    `differences` is `pair_differences(X, categories)`. Only pairs are touched: half the work of the
    full matrices.
    """
    n = len(y)
    w, s2, sigma2 = np.exp(theta[:-2]), np.exp(theta[-2]), np.exp(theta[-1])
    r2 = w @ differences
    K = scipy.spatial.distance.squareform(s2 * matern(r2), checks=False)
    K[np.diag_indices(n)] = s2 + sigma2
    # Row-major upper is column-major lower: LAPACK reads K.T in place, and squareform reads the
    # inverse's upper half.
    L, info = _potrf(K.T, lower=1, overwrite_a=1)
    if info != 0:
        return -np.inf, np.zeros_like(theta)
    alpha, _ = _potrs(L, y, lower=1)
    value = -0.5 * y @ alpha - np.log(np.diag(L)).sum() - n * _LOG_SQRT_2PI
    inverse, _ = _potri(L, lower=1, overwrite_c=1)
    # G = alpha alpha^T - K^-1; d value / d theta = tr(G dK/d theta) / 2.
    G = alpha[:, None] * alpha - inverse.T
    trace = np.trace(G)
    gradient = np.empty_like(theta)
    gradient[:-2] = w * (
        differences @ (scipy.spatial.distance.squareform(G, force="tovector", checks=False) * s2 * matern_slope(r2))
    )
    gradient[-2] = 0.5 * (y @ alpha - n - sigma2 * trace)
    gradient[-1] = 0.5 * sigma2 * trace
    return float(value), gradient


def prior_mean(d: int) -> np.ndarray:
    """The prior's centre (d + 2,), where fitting starts: signal variance 1, noise a hundredth of
    it.

    Length scales grow as sqrt(d), so that a typical pair is as strongly correlated in many
    dimensions as in few (Hvarfner et al. 2024).
    """
    return np.concatenate([np.full(d, np.log(8.0 / d)), [0.0, np.log(1e-2)]])


def log_prior(theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Normal priors on `theta`, up to a constant, with gradient (d + 2,).

    The deviation 1.2 of log w is measured (15 mixed dimensions, 24 to 192 trials): with wider
    priors a handful of trials picks a few dimensions by chance, forgets the others, and the
    held-out likelihood falls; with narrower ones relevance comes late.
    """
    deviation = np.concatenate([np.full(len(theta) - 2, 1.2), [1.0, 2.0]])
    z = (theta - prior_mean(len(theta) - 2)) / deviation
    return float(-0.5 * z @ z), -z / deviation


def fit(X: np.ndarray, y: np.ndarray, categories: np.ndarray) -> Kernel:
    """The kernel of largest posterior density given X (n, d) and y (n,): L-BFGS-B from two fixed
    starts.

    One start is the prior's centre; the other has longer length scales and more noise, where a
    second optimum usually is. Of more than `FIT_AT_MOST` observations the best half of that number
    and an even share of the rest are used: the region that matters, and how it differs from
    elsewhere. Fitting costs the cube of the number, and more of them hardly move the kernel.
    """
    d = X.shape[1]
    if len(y) > FIT_AT_MOST:
        order, half = np.argsort(y, kind="stable"), FIT_AT_MOST // 2
        chosen = np.concatenate([order[:half], order[np.linspace(half, len(y) - 1, half).astype(int)]])
        X, y = X[chosen], y[chosen]
    differences = pair_differences(X, categories)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        likelihood, slope = log_marginal_likelihood(theta, differences, y)
        prior, prior_slope = log_prior(theta)
        return -(likelihood + prior), -(slope + prior_slope)

    centre = prior_mean(d)
    noisy = centre + np.concatenate([np.full(d, -2.0), [0.0, 2.0]])
    bounds = [_LOG_W_BOUNDS] * d + [_LOG_S2_BOUNDS, _LOG_SIGMA2_BOUNDS]
    fits = [
        scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50})
        for start in (centre, noisy)
    ]
    theta = min(fits, key=lambda result: result.fun).x
    return Kernel(np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1])), categories)


def solve_lower(L: np.ndarray, B: np.ndarray, *, transpose: bool = False) -> np.ndarray:
    """L^-1 B, or L^-T B, for a lower triangular L (n, n) and B (n, m)."""
    return _trsm(1.0, L, B, lower=1, trans_a=int(transpose))


@dataclasses.dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process given n observations and p pending points, whose outcomes are not known
    yet.

    Each pending point is believed to come out at its posterior mean (the kriging believer), which
    leaves the mean where the observations put it and lowers the variance (Desautels et al. 2014):
    hence `alpha` is (n,), `L` (n + p, n + p).
    """

    kernel: Kernel
    X: np.ndarray
    L: np.ndarray
    alpha: np.ndarray

    @classmethod
    def condition(cls, kernel: Kernel, X: np.ndarray, y: np.ndarray) -> "GaussianProcess":
        """The posterior given X (n, d) and y (n,)."""
        K = kernel.covariance(X, X)
        K[np.diag_indices(len(X))] = kernel.s2 + kernel.sigma2
        L, info = _potrf(K, lower=1, clean=1)
        if info != 0:
            raise np.linalg.LinAlgError("the covariance of the observations is not positive definite")
        alpha, _ = _potrs(L, y, lower=1)
        return cls(kernel, X, L, alpha)

    def extend(self, x: np.ndarray) -> "GaussianProcess":
        """The process with one more pending point x (d,): a new last row of L, at the cost of one
        triangular solve.
        """
        size = len(self.X)
        row = solve_lower(self.L, self.kernel.covariance(self.X, x[None]))[:, 0]
        L = np.zeros((size + 1, size + 1), order="F")
        L[:size, :size] = self.L
        L[size, :size] = row
        # The floor is exact for a repeated point; rounding alone could bring it lower.
        L[size, size] = np.sqrt(max(self.kernel.s2 + self.kernel.sigma2 - row @ row, self.kernel.sigma2))
        return GaussianProcess(self.kernel, np.vstack([self.X, x]), L, self.alpha)

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Posterior mean (m,) at points (m, d)."""
        return self.alpha @ self.kernel.covariance(self.X[: len(self.alpha)], points)

    def posterior(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Posterior mean (m,), noise-free variance (m,), and V (n + p, m) at points (m, d)."""
        covariance = self.kernel.covariance(self.X, points)
        V = solve_lower(self.L, covariance)
        return self.alpha @ covariance[: len(self.alpha)], self.floor(self.kernel.s2 - (V * V).sum(axis=0)), V

    def posterior_gradients(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean (m,), variance (m,), and their gradients (m, d) at points (m, d); along categories
        they mean nothing.
        """
        kernel, n = self.kernel, len(self.alpha)
        r2 = kernel.squared_distance(self.X, points)
        covariance, slope = kernel.s2 * matern(r2), kernel.s2 * matern_slope(r2)
        V = solve_lower(self.L, covariance)
        beta = solve_lower(self.L, V, transpose=True)

        def along(weighted: np.ndarray, X: np.ndarray) -> np.ndarray:
            # sum_a weighted_a dr2_a/dx, with dr2_a/dx_i = 2 w_i (x_i - X_ai)
            return 2.0 * kernel.w * (weighted.sum(axis=0)[:, None] * points - weighted.T @ X)

        mean_gradient = along(slope[:n] * self.alpha[:, None], self.X[:n])
        variance_gradient = -2.0 * along(slope * beta, self.X)
        variance = self.floor(kernel.s2 - (V * V).sum(axis=0))
        return self.alpha @ covariance[:n], variance, mean_gradient, variance_gradient

    def floor(self, variance: np.ndarray) -> np.ndarray:
        """Variance kept above rounding error, so that its root and logarithm exist."""
        return np.maximum(variance, 1e-10 * self.kernel.s2)


@dataclasses.dataclass(frozen=True)
class Feasibility:
    """The probability that a trial comes out feasible.

    A regression on labels -1 and 1, squashed by the normal distribution function (Rasmussen &
    Williams 2006, section 6.5). `offset`, to which the regression reverts far from data, is the
    mean label less some caution.
    """

    process: GaussianProcess
    offset: float

    @classmethod
    def condition(cls, X: np.ndarray, feasible: np.ndarray, categories: np.ndarray) -> "Feasibility":
        """The posterior given X (n, d) and whether each was feasible (n,)."""
        labels = np.where(feasible, 1.0, -1.0)
        y = labels - labels.mean()
        process = GaussianProcess.condition(fit(X, y, categories), X, y)
        return cls(process, float(labels.mean()) - _CAUTION)

    def log_probability(self, points: np.ndarray) -> np.ndarray:
        """Logarithm of P(feasible) (m,) at points (m, d)."""
        mean, variance, _ = self.process.posterior(points)
        return log_ndtr((mean + self.offset) / np.sqrt(variance + self.process.kernel.sigma2))

    def log_probability_gradients(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of P(feasible) (m,) and its gradient (m, d) at points (m, d); along categories
        it means nothing.
        """
        mean, variance, mean_gradient, variance_gradient = self.process.posterior_gradients(points)
        deviation = np.sqrt(variance + self.process.kernel.sigma2)
        z = (mean + self.offset) / deviation
        value = log_ndtr(z)
        z_gradient = (mean_gradient - (0.5 * z / deviation)[:, None] * variance_gradient) / deviation[:, None]
        return value, np.exp(-0.5 * z * z - _LOG_SQRT_2PI - value)[:, None] * z_gradient


def log_expected_improvement(
    mean: np.ndarray, variance: np.ndarray, best: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithm of E[max(best - f, 0)], f ~ N(mean, variance), and its derivatives by mean and by
    variance; all (m,).

    In logarithms, since improvement far from the best underflows and leaves a search nowhere to
    climb (Ament et al. 2023).
    """
    deviation = np.sqrt(variance)
    z = (best - mean) / deviation
    log_h = _log_h(z)
    # d(sigma h)/d mean = -Phi(z); d(sigma h)/d sigma = phi(z)
    by_mean = -np.exp(log_ndtr(z) - log_h) / deviation
    by_deviation = np.exp(-0.5 * z * z - _LOG_SQRT_2PI - log_h) / deviation
    return np.log(deviation) + log_h, by_mean, by_deviation / (2.0 * deviation)


def _log_h(z: np.ndarray) -> np.ndarray:
    """Logarithm of phi(z) + z Phi(z) in three forms, each keeping its digits in its range (Ament et
    al. 2023).
    """
    log_phi = -0.5 * z * z - _LOG_SQRT_2PI
    near, far = np.maximum(z, -1.0), np.clip(z, -1e3, -1.0)
    direct = np.log(np.exp(-0.5 * near * near - _LOG_SQRT_2PI) + near * ndtr(near))
    # Mills' ratio: Phi(z) / phi(z) = sqrt(pi/2) erfcx(-z / sqrt 2)
    scaled = log_phi + np.log1p(np.sqrt(np.pi / 2.0) * far * erfcx(-far / np.sqrt(2.0)))
    asymptotic = log_phi - 2.0 * np.log(np.maximum(-z, 1.0))
    return np.where(z > -1.0, direct, np.where(z > -1e3, scaled, asymptotic))
