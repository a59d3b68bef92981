"""Gradients through time against products by hand, and the limits of numbers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.probes import Subject, probe
from capax.report import probe_report
from capax.theory import gradients


def linear(scale, *, units=8, length=60):
    """h' = scale Q h + W x with an orthogonal Q in double precision."""
    subject = Subject.create("linear", units=units, length=length, batch=3)
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(units, units)))[0]
    (name,) = [name for name, part in vars(subject.network.layers[0]).items() if hasattr(part, "recurrent")]
    with jax.enable_x64(True):
        network = eqx.tree_at(
            lambda n: getattr(n.layers[0], name).recurrent, subject.network, jnp.asarray(scale * q, jnp.float64)
        )
    return Subject("linear", "linear", network, subject.draw, None, 0)


def of(found, quantity):
    rows = found.frame[found.frame["quantity"] == quantity]
    return rows["lag"].to_numpy(), rows["norm"].to_numpy()


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_an_orthogonal_recurrence_decays_or_explodes_as_its_scale_says(scale):
    found = probe("gradients", linear(scale))
    lags, norms = of(found, "jacobian")
    np.testing.assert_allclose(norms, scale**lags, rtol=1e-6)
    lags, norms = of(found, "gradient")
    np.testing.assert_allclose(norms / norms[0], scale ** (lags - 1.0), rtol=1e-6)
    assert found.summary["factor_per_step"] == pytest.approx(scale, rel=1e-9)
    assert found.summary["lyapunov_exponent"] == pytest.approx(np.log(scale), rel=1e-9)
    shrinks = scale < 1
    assert (
        found.summary["horizon_fp32"] == gradients.horizon(scale)
        and found.summary["horizon_fp32_extrapolated"] == shrinks
    )
    assert found.summary["explosion_fp64"] == gradients.explosion(scale, "fp64")


def test_a_horizon_within_the_sequences_is_measured_and_what_no_float_holds_has_its_logarithm():
    found = probe("gradients", linear(0.01, length=200))
    assert not found.summary["horizon_fp64_extrapolated"]
    assert found.summary["horizon_fp64"] == gradients.horizon(0.01, "fp64") == 154
    last = found.frame[found.frame["quantity"] == "jacobian"].iloc[-1]
    assert last["log10"] == pytest.approx(-400, rel=1e-6) and last["norm"] == 0.0


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("cell", ["gru", "lstm", "system-lru"])
def test_products_are_those_of_the_steps_jacobians(cell):
    subject = Subject.create(cell, units=6, depth=2, length=9, batch=2, hyperparameters={})
    with jax.enable_x64(True):
        network = jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)) if eqx.is_inexact_array(leaf) else leaf,
            subject.network,
        )
        x = jnp.asarray(np.asarray(subject.inputs, np.float64))
        initial = tuple(cell.initial for cell in network.layers)
        flat, unravel = jax.flatten_util.ravel_pytree(initial)

        def after(flat, steps):
            states = unravel(flat)
            for x_t in steps:
                output, new = x_t if network.entry is None else network.entry(x_t), []
                for layer, state in zip(network.layers, states, strict=True):
                    state, output = layer.step(state, layer.project(output))
                    new.append(state)
                states = tuple(new)
            return jax.flatten_util.ravel_pytree(states)[0]

        logs = []
        for sequence in range(2):
            steps = x[:, :, sequence]
            before = after(flat, steps[:4])
            product = jax.jacfwd(lambda state: after(state, steps[4:]))(before)  # noqa: B023
            logs.append(np.log(np.linalg.norm(np.asarray(product), 2)))
    lags, norms = of(probe("gradients", subject), "jacobian")
    assert norms[list(lags).index(5)] == pytest.approx(np.exp(np.mean(logs)), rel=1e-8)


def test_the_path_along_the_cell_state_is_the_product_of_forget_gates():
    subject = Subject.create("lstm", units=4, length=7, batch=1, hyperparameters={"forget_bias": 3.0})
    cell, states, forgets = subject.network.layers[0], subject.network.layers[0].initial, []
    for x in subject.inputs[:, :, 0]:
        _, f, *_ = cell.affine.recur(states[0], cell.affine.project(x))
        forgets.append(np.asarray(jax.nn.sigmoid(f + cell.forget_bias), np.float64))
        states = cell.step(states, cell.project(x))[0]
    lags, norms = of(probe("gradients", subject, sequences=1), "layers.0.c")
    for lag, norm in zip(lags, norms, strict=True):
        assert norm == pytest.approx(np.prod(forgets[-lag:], axis=0).max(), rel=1e-5)


def test_the_gradient_of_a_task_is_that_of_its_loss():
    task = tasks.get("memory", numbers=3, time_steps=4)
    subject = Subject.create("gru", units=5, task=task, batch=3)
    cell, x = subject.network.layers[0], subject.inputs
    first = cell.step(jnp.broadcast_to(cell.initial[:, None], (5, 3)), cell.project(x[0]))[0]

    def loss(state):
        for x_t in x[1:]:
            state, output = cell.step(state, cell.project(x_t))
        sums = task.measure(subject.network.readout(output)[:, None], subject.draw)
        return sums["loss"] / sums["weight"]

    lags, norms = of(probe("gradients", subject), "gradient")
    assert lags[-1] == len(x) - 1
    assert norms[-1] == pytest.approx(float(jnp.linalg.norm(jax.grad(loss)(first))), rel=1e-4)


def test_an_unstable_network_is_a_result():
    found = probe("gradients", Subject.create("irnn", units=8, length=400, hyperparameters={"nonlinearity": "relu"}))
    assert found.frame["lag"].max() >= 399
    huge = linear(1e3, length=150)
    found = probe("gradients", huge)
    assert found.summary["explosion_fp64"] == gradients.explosion(1e3, "fp64") == 103
    text = probe_report.as_json(found)
    assert text["summary"]["explosion_fp64"] == 103


def test_a_transformer_has_gradients_and_no_products():
    found = probe("gradients", Subject.create("transformer", units=8, length=20, batch=2))
    assert set(found.frame["quantity"]) == {"gradient"} and np.isfinite(found.frame["log10"]).all()
    with pytest.raises(CapaxError, match="needs a recurrence, which transformer has not"):
        probe("jacobian", Subject.create("transformer", units=8, length=20, batch=2))
