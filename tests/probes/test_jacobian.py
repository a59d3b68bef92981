"""Entries of dh_{t+D} / dh_t against powers of a matrix and finite differences, and moments against
the closed form.
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from capax.errors import CapaxError
from capax.probes import Subject, probe
from capax.report.probe_figures import draw

SINGLE = {"rtol": 2e-4, "atol": 1e-6}  # float32, up to 30 products
CELLS = ("lstm", "lru", "chrono", "system-lru", "block-gru")
USERS = ("tests.cells.examples:Declared", "tests.cells.examples:Plain")


def column(measurement, quantity, name="measured"):
    frame = measurement.frame
    return frame[frame["quantity"] == quantity][name].to_numpy(float)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("layer", [0, 1])
def test_a_linear_recurrence_has_the_powers_of_its_matrix(layer):
    subject = Subject.create("heads-1", units=5, depth=2, length=60, batch=6)
    measured = probe("jacobian", subject, layer=layer)
    W = np.asarray(subject.network.layers[layer].W[0], float)
    lags = column(measured, "diagonal", "lag").astype(int)
    assert lags[0] == 1 and lags[-1] == 30 and np.all(np.diff(lags) > 0)
    off = ~np.eye(5, dtype=bool)
    for place, lag in enumerate(lags):
        power = np.linalg.matrix_power(W, lag)
        diagonal, beside = np.abs(np.diag(power)).mean(), np.abs(power[off]).mean()
        np.testing.assert_allclose(column(measured, "diagonal")[place], diagonal, **SINGLE)
        np.testing.assert_allclose(column(measured, "off_diagonal")[place], beside, **SINGLE)
        np.testing.assert_allclose(column(measured, "ratio")[place], beside / diagonal, rtol=2e-3)
        np.testing.assert_allclose(column(measured, "spectral_norm")[place], np.linalg.svd(power)[1][0], **SINGLE)
    np.testing.assert_allclose(measured.arrays["eigenvalues"], np.diag(W), **SINGLE)
    np.testing.assert_allclose(column(measured, "diagonal", "predicted")[0], np.abs(np.diag(W)).mean(), **SINGLE)


def test_independent_linear_units_are_predicted():
    subject = Subject.create("heads-3", units=3, length=1000, batch=64)
    lam = np.asarray([0.9, 0.5, -0.3])
    network = eqx.tree_at(lambda n: n.layers[0].W, subject.network, jnp.asarray(lam[:, None, None], jnp.float32))
    measured = probe("jacobian", dataclasses.replace(subject, network=network))
    np.testing.assert_allclose(column(measured, "diagonal", "predicted"), column(measured, "diagonal"), **SINGLE)
    assert np.all(column(measured, "off_diagonal") == 0)
    power = np.square(network.layers[0].B[:, 0])
    # 32,000 steps, alike for up to 20: a standard error of about 3%
    np.testing.assert_allclose(column(measured, "state"), power / (1 - lam**2), rtol=0.1)
    np.testing.assert_allclose(column(measured, "state", "predicted"), power / (1 - lam**2), rtol=0.1)
    np.testing.assert_allclose(column(measured, "sensitivity"), (1 - lam) ** -2.0, rtol=1e-3)
    np.testing.assert_allclose(column(measured, "sensitivity", "predicted"), (1 - lam) ** -2.0, rtol=1e-3)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(cell, h, x, moved=0.0):
    """The equations in double precision."""
    gates, candidate = (
        {name: np.asarray(getattr(part, name), float) for name in ("recurrent", "input", "bias")}
        for part in (cell.gates, cell.candidate)
    )
    r, u = np.split(gates["recurrent"] @ h + gates["input"] @ x + gates["bias"], 2)
    u = sigmoid(u + float(cell.forget_bias) + moved)
    c = np.tanh(candidate["recurrent"] @ (sigmoid(r) * h) + candidate["input"] @ x + candidate["bias"])
    return u * h + (1 - u) * c


def test_a_gru_agrees_with_finite_differences():
    subject = Subject.create("gru", units=4, length=4, batch=1, inputs=2)
    measured = probe("jacobian", subject)
    cell, x = subject.network.layers[0], np.asarray(subject.inputs[:, :, 0], float)
    step = 1e-6  # central differences in float64

    def states(moved=0.0, start=(0.0,) * 4, begin=0):
        found = [np.asarray(start)]
        for now in x[begin:]:
            found.append(gru(cell, found[-1], now, moved))
        return np.stack(found[1:])

    # of 4 steps the lags are 1 and 2, and the one start is t = 1
    h = states()[1]
    J = np.stack([(states(0.0, h + e, 2) - states(0.0, h - e, 2)) / (2 * step) for e in step * np.eye(4)], axis=2)
    off = ~np.eye(4, dtype=bool)
    for place in range(2):
        np.testing.assert_allclose(column(measured, "diagonal")[place], np.abs(np.diag(J[place])).mean(), **SINGLE)
        np.testing.assert_allclose(column(measured, "off_diagonal")[place], np.abs(J[place][off]).mean(), **SINGLE)
    by_bias = (states(step) - states(-step)) / (2 * step)
    np.testing.assert_allclose(column(measured, "state"), np.mean(states()[2:] ** 2, axis=0), **SINGLE)
    np.testing.assert_allclose(column(measured, "sensitivity"), np.mean(by_bias[2:] ** 2, axis=0), **SINGLE)
    assert measured.subject["bias"] == "forget bias"


def test_a_gru_whose_update_gates_are_constant_is_diagonal_and_predicted():
    subject = Subject.create("gru", units=6, length=600, batch=32, hyperparameters={"forget_bias": 2.0})
    where = lambda n: (n.layers[0].gates, n.layers[0].candidate.recurrent)  # noqa: E731
    gates, recurrent = where(subject.network)
    closed = eqx.tree_at(lambda g: (g.recurrent, g.input), gates, (0 * gates.recurrent, 0 * gates.input))
    network = eqx.tree_at(where, subject.network, (closed, 0 * recurrent))
    measured = probe("jacobian", dataclasses.replace(subject, network=network))
    lags = column(measured, "diagonal", "lag")
    np.testing.assert_allclose(column(measured, "diagonal"), sigmoid(2.0) ** lags, **SINGLE)
    assert measured.summary["largest_ratio"] == 0
    # the autocorrelation is measured on 9,600 steps, those alike for about 15
    for quantity in ("state", "sensitivity"):
        np.testing.assert_allclose(column(measured, quantity, "predicted"), column(measured, quantity), rtol=0.1)
        assert measured.summary[f"{quantity}_predicted_to_measured"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("cell", [*CELLS, *USERS])
def test_every_cell_has_a_jacobian(cell):
    measured = probe("jacobian", Subject.create(cell, units=4, depth=2, length=12, batch=3), layer=1)
    assert measured.subject["state_size"] == (8 if cell in ("lstm", "lru") else 4)
    sizes = measured.frame[measured.frame["quantity"] != "ratio"]
    assert np.isfinite(sizes["measured"]).all() and (sizes["measured"] >= 0).all()
    assert measured.summary["lag_longest"] == 6
    assert measured.summary["diagonal_shortest"] > 0


def test_what_overflows_is_infinite_and_the_figure_is_drawn():
    subject = Subject.create("heads-1", units=3, length=300, batch=3)
    network = eqx.tree_at(lambda n: n.layers[0].W, subject.network, 2.5 * jnp.eye(3)[None])
    measured = probe("jacobian", dataclasses.replace(subject, network=network))
    assert measured.summary["diagonal_longest"] == np.inf and measured.summary["diagonal_shortest"] == 2.5
    for quantity in ("state", "sensitivity"):
        assert np.all(np.isinf(column(measured, quantity))) and np.all(
            np.isinf(column(measured, quantity, "predicted"))
        )
    draw(measured).savefig("/dev/null", format="png")
    draw(probe("jacobian", subject)).savefig("/dev/null", format="png")


@pytest.mark.parametrize(
    ("length", "layer", "line"), [(8, 1, "layer must be from 0 to 0, not 1"), (3, 0, "at least 4 steps, not 3")]
)
def test_what_cannot_be_is_one_line(length, layer, line):
    with pytest.raises(CapaxError, match=line):
        probe("jacobian", Subject.create("gru", units=2, length=length, batch=2), layer=layer)
