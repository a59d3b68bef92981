"""The Hessian against a closed form and JAX's own; both methods against each other; what overflows
is infinite.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.probes import Subject, curvature, probe
from capax.probes.curvature import Hessian, loss_in_double_precision, participation

MEMORY = tasks.get("memory", numbers=2, time_steps=3)


def make(cell="gru", units=3, task=MEMORY, **options):
    return Subject.create(cell, units=units, task=task, batch=8, seed=3, **options)


def unstable(radius):
    """A linear network that multiplies its state at every step by up to `radius`, 300 times."""
    task = tasks.get("teacher", time_steps=300, hidden=3)
    subject = Subject.create("heads-1", units=4, task=task, batch=4)
    W = np.asarray(subject.network.layers[0].W)
    W = radius * W / np.abs(np.linalg.eigvals(W)).max()
    return dataclasses.replace(subject, network=eqx.tree_at(lambda n: n.layers[0].W, subject.network, jnp.asarray(W)))


def values(measurement, quantity):
    return measurement.frame.query("quantity == @quantity")["value"].to_numpy(float)


def test_the_hessian_of_an_affine_readout_is_that_of_least_squares():
    """The loss is the mean of |W h + b + D x - y|^2, so that in the row of W, D, and b it is 2 E[z
    z^T], z = (h, x, 1).
    """
    subject = make("heads-1", 2, tasks.get("teacher", time_steps=5, hidden=2))
    x = np.asarray(subject.inputs, np.float64)
    W, B = (np.asarray(part, np.float64) for part in (subject.network.layers[0].W[0], subject.network.layers[0].B))
    h, states = np.zeros((2, x.shape[2])), []
    for x_t in x:
        h = W @ h + B @ x_t
        states.append(h)
    z = np.concatenate(
        [np.stack(states), np.ones_like(x), x], axis=1
    )  # as the groups are ordered: weight, bias, direct
    expected = 2 * np.einsum("tib,tjb->ij", z, z) / (z.shape[0] * z.shape[2])
    found = probe("curvature", subject, method="full")
    groups = subject.flat()[2]
    begin = groups["readout.weight"].start
    assert [groups[name].start - begin for name in ("readout.bias", "direct")] == [2, 3]
    np.testing.assert_allclose(found.arrays["hessian"][begin:, begin:], expected, rtol=1e-10)
    blocks = found.frame.query("quantity == 'mean absolute entry'").set_index(["of", "with"])["value"]
    assert blocks["readout.weight", "direct"] == pytest.approx(np.abs(expected[:2, 3]).mean())
    assert len(blocks) == len(groups) ** 2


def test_the_hessian_is_that_of_jax_and_its_numbers_are_numpys():
    subject = make("ugrnn", 2)
    with jax.enable_x64(True):
        vector, loss, _ = loss_in_double_precision(subject)
        assert vector.dtype == jnp.float64
        gradient, expected = map(np.asarray, jax.jit(lambda v: (jax.grad(loss)(v), jax.hessian(loss)(v)))(vector))
    found = curvature.measure(subject, eigenvalues=4)
    assert found.summary["method"] == "full" and found.arrays["group_sizes"].sum() == len(expected)
    np.testing.assert_allclose(found.arrays["hessian"], expected, rtol=1e-9, atol=1e-12)
    eigenvalues, vectors = np.linalg.eigh(expected)
    order = np.argsort(-np.abs(eigenvalues))
    np.testing.assert_allclose(found.arrays["eigenvalues"], eigenvalues[order], rtol=1e-8, atol=1e-12)
    ratios = 1 / np.sum(vectors[:, order[:4]] ** 4, axis=0)
    np.testing.assert_allclose(values(found, "participation ratio"), ratios, rtol=1e-6)
    np.testing.assert_allclose(values(found, "participation share"), ratios / len(expected), rtol=1e-6)
    expected_summary = {
        "loss": float(subject.loss(subject.network)),
        "gradient_norm": np.linalg.norm(gradient),
        "largest_eigenvalue": eigenvalues[order[0]],
        "trace": np.trace(expected),
        "trace_error": 0.0,
        "directional_sharpness": gradient @ expected @ gradient / (gradient @ gradient),
        "participation_ratio": ratios[0],
        "participation_share": ratios[0] / len(expected),
    }
    for name, value in expected_summary.items():
        assert found.summary[name] == pytest.approx(value, rel=1e-5), name


def test_both_methods_find_the_same_eigenvalues_and_the_trace_within_its_error():
    subject = make("system-lru", 4, tasks.get("teacher", time_steps=18, hidden=3))
    full = probe("curvature", subject, eigenvalues=5)
    lanczos = probe("curvature", subject, eigenvalues=5, most_parameters=10)
    assert (full.summary["method"], lanczos.summary["method"]) == ("full", "lanczos")
    np.testing.assert_allclose(lanczos.arrays["eigenvalues"], full.arrays["eigenvalues"][:5], rtol=1e-5)
    overlap = np.sum(lanczos.arrays["eigenvectors"] * full.arrays["eigenvectors"], axis=1)
    np.testing.assert_allclose(np.abs(overlap), 1, rtol=1e-5)
    assert lanczos.summary["directional_sharpness"] == pytest.approx(full.summary["directional_sharpness"], rel=1e-8)
    assert lanczos.summary["trace_error"] > 0 and "hessian" not in lanczos.arrays
    assert abs(lanczos.summary["trace"] - full.summary["trace"]) < 4 * lanczos.summary["trace_error"]


def test_the_matrix_is_computed_in_chunks_of_one_size():
    hessian, asked = Hessian(make("heads-1", 2), together=7), []
    expected, chunk = hessian.matrix(), hessian._chunk
    hessian._chunk = lambda vector, rows: asked.append(rows.shape) or chunk(vector, rows)
    size = hessian.parameters
    assert size % 7
    np.testing.assert_array_equal(hessian.matrix(), expected)
    assert asked == [(7, size)] * -(-size // 7)
    np.testing.assert_array_equal(hessian.products(2 * np.eye(size)), 2 * expected)  # to the bit: doubling is exact


def test_participation_counts_coordinates():
    vectors = np.zeros((3, 16))
    vectors[0, 2], vectors[1, :4], vectors[2] = 1, 0.5, 0.25
    np.testing.assert_allclose(participation(vectors), [1, 4, 16])


@pytest.mark.parametrize(("method", "radius"), [("full", 2), ("lanczos", 20)])
def test_an_unstable_network_has_infinite_curvature(method, radius):
    """Of radius 2 the loss is infinite in single precision, of radius 20 in double precision,
    too.
    """
    found = probe("curvature", unstable(radius), method=method, eigenvalues=3)
    for name in ("loss", "gradient_norm", "largest_eigenvalue", "trace", "directional_sharpness"):
        assert found.summary[name] == np.inf, name
    assert np.isinf(found.arrays["eigenvalues"]).all()
    assert np.isnan(found.summary["participation_ratio"])
    if method == "full":
        assert not np.isnan(found.arrays["hessian"]).any()


@pytest.fixture
def given():
    """A Hessian with given eigenvalues, as many of them as it has parameters (or the same
    again).
    """
    hessian = Hessian(make("heads-1", 4), together=1)

    def put(eigenvalues):
        basis = np.linalg.qr(np.random.default_rng(0).normal(size=(hessian.parameters,) * 2))[0]
        matrix = basis * np.resize(eigenvalues, hessian.parameters) @ basis.T
        hessian.products = lambda rows: rows @ matrix
        return hessian

    return put


@pytest.mark.parametrize("method", [curvature._full, curvature._lanczos])
def test_a_flat_loss_has_no_curvature(method, given):
    found = method(given([0.0]), 3)
    assert not found.values.any()
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("method", [curvature._full, curvature._lanczos])
def test_eigenvalues_come_by_magnitude_with_their_signs(method, given):
    found = method(given(np.r_[-9.0, 5.0, 7.0, np.linspace(-1, 1, 100)]), 3)
    np.testing.assert_allclose(found.values[:3], [-9, 7, 5])


def test_without_convergence_there_is_one_line(given, monkeypatch):
    monkeypatch.setattr(curvature, "PRECISION", 1e-300)
    monkeypatch.setattr(curvature, "RESTARTS", 1)
    with pytest.raises(CapaxError, match="none of the 3 largest eigenvalues could be told apart"):
        curvature._lanczos(given(1 + 1e-9 * np.random.default_rng(1).normal(size=100)), 3)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("cell", ["block-lru", "tests.cells.examples:Plain"])
def test_any_cell_has_a_spectrum(cell):
    found = probe("curvature", make(cell, 2, tasks.get("memory", numbers=2, time_steps=2)), eigenvalues=2)
    assert np.isfinite(found.arrays["eigenvalues"]).all() and found.arrays["eigenvectors"].shape[0] == 2


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"method": "fully"}, "unknown method 'fully' \\(did you mean 'full'\\?\\); choose of auto, full, lanczos"),
        ({"eigenvalues": 0}, "eigenvalues must be at least 1, not 0"),
    ],
)
def test_bad_options_are_one_line(options, line):
    with pytest.raises(CapaxError, match=line):
        probe("curvature", make(), **options)


def test_without_a_task_there_is_no_loss():
    with pytest.raises(CapaxError, match="measures a task's loss"):
        probe("curvature", Subject.create("gru", units=2, length=4, batch=2))
