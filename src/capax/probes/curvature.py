"""Curvature of the loss: the Hessian at a network's parameters, and on how many of them its
steepest directions live.

Symbols: p = parameters, k = eigenvalues asked for, H = Hessian, g = gradient, v = a unit
eigenvector.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.linalg
from jaxtyping import Array, Float
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from capax.errors import CapaxError, closest
from capax.networks.parts import count_parameters
from capax.probes.measurement import Measurement, finite_or_infinite
from capax.probes.subject import Groups, Subject
from capax.training.population import default_batching

METHODS = ("auto", "full", "lanczos")

DIRECTIONS = 32
"""Hessian-vector products in a chunk: on a CPU one after the other (measured: together they are no
faster, and take twice as long to compile), on an accelerator together.
"""

PRECISION = 1e-9
"""Relative error of an eigenvalue by Lanczos's method."""

RESTARTS = 300
"""Of Lanczos's method, each some 20 to 2 k products: what has not converged by then lies among many
that are alike.
"""

LARGEST = float(np.finfo(np.float32).max)
"""Networks train in single precision: what that cannot hold is infinite here, too."""

Vector = Float[np.ndarray, " p"]
Matrix = Float[np.ndarray, "p p"]
Rows = Float[np.ndarray, "k p"]
Loss = Callable[[Float[Array, " p"]], Float[Array, ""]]


def measure(
    subject: Subject, *, method: str = "auto", eigenvalues: int = 10, most_parameters: int = 3000
) -> Measurement:
    """The Hessian of the task's loss on the fixed batch, at the network's parameters.

    In double precision. As in Zucchet & Orvieto 2024, "Recurrent neural networks: vanishing and
    exploding gradients are not the end of the story".

    Curvatures are in units of the loss per squared unit of parameters. Eigenvalues are ordered by
    magnitude, and "largest" means largest in magnitude. The participation ratio of a unit
    eigenvector, 1 / sum v_i^4, is the number of parameters on which it lives: from 1 to p.

    **Arguments:**

    - `method`: "full", all of H by Hessian-vector products, 8 p^2 bytes; "lanczos", Lanczos's
      method on such products, which finds the largest eigenvalues without H, and the trace by
      Hutchinson's estimate; "auto": full up to `most_parameters`.
    - `eigenvalues`: k, how many have their eigenvectors described; by Lanczos's method fewer, where
      not all of them converge.
    - `most_parameters`: largest network of which "auto" computes all of H.

    **Returns:** `summary`: loss, gradient_norm, largest_eigenvalue, trace with its standard error
    (0 if full), directional_sharpness g^T H g / |g|^2 (NaN where g is zero), and the first
    eigenvector's participation. `frame`: one row a quantity, of an eigenvalue by its rank, or of a
    group of parameters with another: the first k eigenvalues, participation ratios and what shares
    of p they are, and, if full, the mean |entry| of each block of H. `arrays`: "eigenvalues" (all
    if full, else k), "eigenvectors" (k, p), "group_sizes", and, if full, "hessian" (p, p). What
    single precision, in which networks train, cannot hold is infinite; if H has such entries its
    eigenvalues are infinite, and eigenvectors and participation ratios, which there are none of,
    NaN.

    Raises `CapaxError` where the subject has no task, or for an option that cannot be.
    """
    _check(method, eigenvalues)
    full = method == "full" or (method == "auto" and count_parameters(subject.network) <= most_parameters)
    hessian = Hessian(subject, together=DIRECTIONS if full else 1)
    found = (_full if full else _lanczos)(hessian, eigenvalues)
    loss, gradient = hessian.loss_and_gradient()
    trace, error = _trace(hessian, found)
    ratios = participation(found.vectors)
    arrays = {
        "eigenvalues": found.values,
        "eigenvectors": found.vectors,
        "group_sizes": np.asarray([part.stop - part.start for part in hessian.groups.values()]),
    }
    if found.matrix is not None:
        arrays["hessian"] = found.matrix
    summary = {
        "method": "lanczos" if found.matrix is None else "full",
        "loss": loss,
        "gradient_norm": float(np.linalg.norm(gradient)),
        "largest_eigenvalue": float(found.values[0]),
        "trace": trace,
        "trace_error": error,
        "directional_sharpness": _sharpness(hessian, found, gradient),
        "participation_ratio": float(ratios[0]),
        "participation_share": float(ratios[0] / hessian.parameters),
    }
    return Measurement("curvature", subject.describe(), summary, _frame(found, ratios, hessian.groups), arrays)


def as_in_training(values: Any) -> np.ndarray:
    """Numbers computed in double precision, infinite where single precision, in which networks
    train, overflows.
    """
    found = finite_or_infinite(values)
    return np.where(np.abs(found) > LARGEST, np.inf, found)


def _check(method: str, eigenvalues: int) -> None:
    if method not in METHODS:
        raise CapaxError(
            f"probe curvature: unknown method '{method}'{closest(method, list(METHODS))}; choose of {', '.join(METHODS)}."
        )
    if eigenvalues < 1:
        raise CapaxError(f"probe curvature: eigenvalues must be at least 1, not {eigenvalues}.")


def loss_in_double_precision(subject: Subject) -> tuple[Float[Array, " p"], Loss, Groups]:
    """The parameters as one vector, the loss of such a vector on the fixed batch, and the groups of
    parameters: to be called, and the loss to be computed, under `jax.enable_x64`. Raises
    `CapaxError` where there is no task.
    """
    subject.required_task()
    network, draw = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64) if eqx.is_inexact_array(leaf) else leaf,
        (subject.network, subject.draw),
    )
    double = dataclasses.replace(subject, network=network, draw=draw)
    vector, network_of, groups = double.flat()
    return vector, lambda vector: double.loss(network_of(vector)), groups


class Hessian:
    """The Hessian of a subject's loss as an operator: its products with vectors, forward over
    reverse, in double precision, compiled for chunks of `together` vectors. Raises `CapaxError`
    where there is no task.
    """

    def __init__(self, subject: Subject, *, together: int):
        with jax.enable_x64(True):
            self._vector, loss, self.groups = loss_in_double_precision(subject)
        self.together, self.seed = min(together, self.parameters), subject.seed
        batch_size = None if default_batching() == "mapped" else self.together

        def chunk(vector: Array, directions: Array) -> Any:
            def one(direction: Array) -> Any:
                (value, gradient), (_, product) = jax.jvp(jax.value_and_grad(loss), (vector,), (direction,))
                return value, gradient, product

            return jax.lax.map(one, directions, batch_size=batch_size)

        self._chunk = jax.jit(chunk)

    @property
    def parameters(self) -> int:
        """p."""
        return self._vector.shape[0]

    def loss_and_gradient(self) -> tuple[float, Vector]:
        """The loss and its gradient."""
        with jax.enable_x64(True):
            values, gradients, _ = self._chunk(self._vector, np.zeros((self.together, self.parameters)))
        return float(as_in_training(values[0])), as_in_training(gradients[0])

    def products(self, directions: Rows) -> Rows:
        """H times each row."""
        found = np.empty_like(directions)
        for begin in range(0, len(directions), self.together):
            rows = directions[begin : begin + self.together]
            padded = np.pad(rows, ((0, self.together - len(rows)), (0, 0)))
            with jax.enable_x64(True):
                found[begin : begin + len(rows)] = as_in_training(self._chunk(self._vector, padded)[2])[: len(rows)]
        return found

    def matrix(self) -> Matrix:
        """All of H, in chunks of rows: beside the matrix itself only one chunk is in memory."""
        size = self.parameters
        found = np.empty((size, size))
        for begin in range(0, size, self.together):
            found[begin : begin + self.together] = self.products(np.eye(min(self.together, size - begin), size, begin))
        return found


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigenvalues by magnitude, the first of their eigenvectors as rows, and H if all of it was
    computed.
    """

    values: Float[np.ndarray, " values"]
    vectors: Rows
    matrix: Matrix | None


def _overflowed(values: int, vectors: int, size: int, matrix: Matrix | None) -> Spectrum:
    return Spectrum(np.full(values, np.inf), np.full((vectors, size), np.nan), matrix)


def _full(hessian: Hessian, number: int) -> Spectrum:
    """By way of all of H."""
    matrix, size = hessian.matrix(), hessian.parameters
    number = min(number, size)
    if not np.isfinite(matrix.max()):
        return _overflowed(size, number, size, matrix)
    # The driver that needs the least memory. The transpose is laid out as LAPACK wants it, so that
    # one copy is enough.
    values, vectors = scipy.linalg.eigh(matrix.T, driver="evr", check_finite=False)
    order = np.argsort(-np.abs(values))
    return Spectrum(values[order], vectors[:, order[:number]].T.copy(), matrix)


def _lanczos(hessian: Hessian, number: int) -> Spectrum:
    """By Lanczos's method, for fewer eigenvalues than there are parameters."""
    size = hessian.parameters
    number = min(number, size - 1)
    start = np.random.default_rng(hessian.seed).normal(size=size)

    def times(vector: np.ndarray) -> np.ndarray:
        found = hessian.products(vector.reshape(1, -1))[0]
        if not np.isfinite(found).all():
            raise FloatingPointError
        return found

    try:
        if not times(start).any():  # then H is zero, and any directions are as good as others
            return Spectrum(np.zeros(number), np.eye(number, size), None)
        operator = LinearOperator((size, size), times, dtype=np.float64)  # pyright: ignore
        values, vectors = eigsh(operator, number, which="LM", v0=start, maxiter=RESTARTS, tol=PRECISION)  # pyright: ignore
    except FloatingPointError:
        return _overflowed(number, number, size, None)
    except ArpackNoConvergence as partial:
        values, vectors = partial.eigenvalues, partial.eigenvectors
        if not len(values):
            raise CapaxError(
                f"probe curvature: none of the {number} largest eigenvalues could be told apart; ask for another number of eigenvalues."
            ) from None
    order = np.argsort(-np.abs(values))
    return Spectrum(values[order], vectors[:, order].T.copy(), None)


def steepest(subject: Subject, number: int) -> Rows:
    """The unit eigenvectors of the largest eigenvalues, by Lanczos's method; NaN where H
    overflows.
    """
    return _lanczos(Hessian(subject, together=1), number).vectors


def participation(vectors: Rows) -> Float[np.ndarray, " k"]:
    """1 / sum v_i^4 of each unit vector: on how many coordinates it lives."""
    return 1 / np.sum(vectors**4, axis=1)


def _sharpness(hessian: Hessian, found: Spectrum, gradient: Vector) -> float:
    """g^T H g / |g|^2."""
    norm = np.linalg.norm(gradient)
    if norm == 0:
        return np.nan
    if not np.isfinite([norm, found.values[0]]).all():
        return np.inf
    direction = gradient / norm
    product = hessian.products(direction[None])[0] if found.matrix is None else found.matrix @ direction
    return float(direction @ product)


def _trace(hessian: Hessian, found: Spectrum) -> tuple[float, float]:
    """The trace and its standard error."""
    if not np.isfinite(found.values[0]):
        return np.inf, 0.0
    if found.matrix is not None:
        return float(np.trace(found.matrix)), 0.0
    signs = np.random.default_rng([hessian.seed, 1]).choice([-1.0, 1.0], size=(DIRECTIONS, hessian.parameters))
    estimates = np.sum(signs * hessian.products(signs), axis=1)
    if not np.isfinite(estimates).all():
        return np.inf, 0.0
    return float(estimates.mean()), float(estimates.std(ddof=1) / DIRECTIONS**0.5)


def _frame(found: Spectrum, ratios: np.ndarray, groups: Groups) -> pd.DataFrame:
    """Eigenvalues with their eigenvectors' participation, then blocks: all as quantity, of, with,
    value.
    """
    number, size = found.vectors.shape
    rows: list[tuple[str, str, str, float]] = []
    for k in range(number):
        rows.append(("eigenvalue", str(k + 1), "", found.values[k]))
        rows.append(("participation ratio", str(k + 1), "", ratios[k]))
        rows.append(("participation share", str(k + 1), "", ratios[k] / size))
    if found.matrix is not None:
        for one, a in groups.items():
            means = ((other, np.abs(found.matrix[a, b]).mean()) for other, b in groups.items())
            rows += [("mean absolute entry", one, other, mean) for other, mean in means]
    return pd.DataFrame(rows, columns=["quantity", "of", "with", "value"])
