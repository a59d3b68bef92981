"""Autocorrelations of inputs and layers against processes whose autocorrelation is known."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.probes import Subject, probe
from capax.report.probe_figures import draw
from capax.theory import moments

CELLS = ("lstm", "chrono", "system-lru", "block-gru")
USERS = ("tests.cells.examples:Declared", "tests.cells.examples:Plain")


def column(measurement, sequence, name="measured"):
    frame = measurement.frame
    return frame[frame["sequence"] == sequence][name].to_numpy(float)


def ar1(rho, sequences=64, steps=600, features=2, scale=3.0):
    random = np.random.default_rng(0)
    x = np.zeros((sequences, steps, features))
    x[:, 0] = random.normal(size=(sequences, features))
    for t in range(1, steps):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * random.normal(size=(sequences, features))
    return scale * x


def test_inputs_have_the_autocorrelation_of_their_process_and_its_predictions():
    rho = 0.8
    measured = probe("autocorrelation", Subject.create("gru", units=3, data=ar1(rho)), lags=50)
    lag = np.arange(51)
    assert np.array_equal(column(measured, "input", "lag"), lag)
    # 76,800 numbers, alike for about 9: a standard error of 1.1% of R(0)
    np.testing.assert_allclose(column(measured, "input"), rho**lag, atol=0.04)
    np.testing.assert_allclose(column(measured, "input", "fitted"), rho**lag, atol=0.04)
    assert measured.summary["input_variance"] == pytest.approx(9.0, rel=0.04)
    assert measured.summary["input_correlation_time"] == pytest.approx(1 / (1 - rho), rel=0.1)
    assert measured.summary["input_fit_error"] < 0.04
    memory = measured.arrays["memory"]
    assert memory[0] == 1 and memory[-1] == pytest.approx(1000)
    short = memory <= 30  # beyond, what is left of the noise at long lags counts as correlation
    expected = 9.0 * np.asarray(moments.state_variance(1 - 1 / memory, rho))
    np.testing.assert_allclose(measured.arrays["state"][0][short], expected[short], rtol=0.15)
    expected = 9.0 * np.asarray(moments.sensitivity_variance(1 - 1 / memory, rho))
    np.testing.assert_allclose(measured.arrays["sensitivity"][0][short], expected[short], rtol=0.25)


def test_a_linear_unit_that_reads_white_noise_has_the_autocorrelation_of_its_eigenvalue():
    subject = Subject.create("heads-1", units=1, length=600, batch=128)
    lam = 0.7
    network = eqx.tree_at(lambda n: n.layers[0].W, subject.network, jnp.full((1, 1, 1), lam))
    measured = probe("autocorrelation", dataclasses.replace(subject, network=network), lags=20)
    white = (np.arange(21) == 0).astype(float)
    # 76,800 numbers: standard errors of .4% for inputs and .9% for outputs
    np.testing.assert_allclose(column(measured, "input"), white, atol=0.015)
    np.testing.assert_allclose(column(measured, "layer 0"), lam ** np.arange(21), atol=0.04)
    assert measured.summary["layer_0_correlation_time"] == pytest.approx(1 / (1 - lam), rel=0.1)
    assert measured.summary["input_correlation_time"] == pytest.approx(1.0, abs=0.05)


def test_noise_at_long_lags_does_not_enter_the_correlation_time():
    measured = probe("autocorrelation", Subject.create("gru", units=2, length=100, batch=4), lags=99)
    assert abs(column(measured, "input").sum() - 1) > 0.3  # the whole sum is mostly noise
    assert measured.summary["input_correlation_time"] == pytest.approx(1.0, abs=0.25)


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("cell", [*CELLS, *USERS])
def test_every_cell_has_layers_with_an_autocorrelation(cell):
    measured = probe("autocorrelation", Subject.create(cell, units=4, depth=2, length=20, batch=3))
    assert list(measured.frame["sequence"].unique()) == ["input", "layer 0", "layer 1"]
    assert np.isfinite(measured.frame[["measured", "fitted"]]).all(axis=None)
    assert column(measured, "layer 1", "lag").max() == 19  # no more than there are
    assert measured.arrays["state"].shape == measured.arrays["sensitivity"].shape == (3, 31)


def test_letters_have_the_variance_of_their_frequencies_and_the_figure_is_drawn():
    subject = Subject.create("lstm", units=5, task=tasks.get("text", window=60), batch=16)
    measured = probe("autocorrelation", subject)
    share = np.asarray(subject.inputs, float).mean(axis=(0, 2))
    assert measured.summary["input_variance"] == pytest.approx(np.mean(share * (1 - share)), rel=1e-5)
    draw(measured).savefig("/dev/null", format="png")


def test_what_overflows_is_infinite():
    subject = Subject.create("heads-1", units=3, length=300, batch=3)
    network = eqx.tree_at(lambda n: n.layers[0].W, subject.network, 2.0 * jnp.eye(3)[None])
    measured = probe("autocorrelation", dataclasses.replace(subject, network=network))
    assert measured.summary["layer_0_variance"] == measured.summary["layer_0_correlation_time"] == np.inf
    assert np.all(np.isinf(column(measured, "layer 0"))) and np.all(np.isinf(measured.arrays["state"][1]))
    assert np.isfinite(column(measured, "input")).all()
    draw(measured).savefig("/dev/null", format="png")


def test_what_never_varies_has_no_correlation_time():
    measured = probe("autocorrelation", Subject.create("rnn", units=3, data=np.zeros((4, 20, 2))))
    assert measured.summary["input_variance"] == 0 and np.isnan(measured.summary["input_correlation_time"])
    assert np.all(measured.arrays["state"] == 0)
    draw(measured).savefig("/dev/null", format="png")


@pytest.mark.parametrize(
    ("length", "lags", "line"), [(8, 0, "lags must be at least 1, not 0"), (1, 5, "at least two time steps")]
)
def test_what_cannot_be_is_one_line(length, lags, line):
    with pytest.raises(CapaxError, match=line):
        probe("autocorrelation", Subject.create("gru", units=2, length=length, batch=2), lags=lags)
