"""Activity and sensitivities by forward derivatives: against finite Jacobians, closed forms, and on
networks that overflow.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capax
from capax.probes import Subject, probe
from capax.probes.subject import layer_outputs
from capax.report.probe_figures import draw
from capax.theory import moments

CELLS = ["gru", "system-lru", "block-lru", "tests.cells.examples:Declared"]


def small(cell, **kwargs):
    return Subject.create(cell, **{"units": 4, "inputs": 2, "length": 12, "batch": 3, **kwargs})


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("cell", CELLS)
def test_sensitivities_are_the_squares_of_the_jacobian(cell):
    subject = small(cell, depth=2)
    found = probe("sensitivity", subject)
    vector, network_of, groups = subject.flat()
    jacobian = jax.jacrev(lambda v: layer_outputs(network_of(v), subject.inputs)[-1][-1])(vector)  # (units, batch, p)
    expected = np.asarray(jnp.mean(jnp.sum(jacobian**2, axis=0), axis=0))
    assert list(found.frame["group"]) == [name for name in groups if name.startswith(("entry", "layers"))]
    for row in found.frame.itertuples():
        assert row.exact
        assert row.sensitivity == pytest.approx(expected[groups[row.group]].mean(), rel=1e-3, abs=1e-9)
    assert found.summary["infinite"] is False
    states = layer_outputs(subject.network, subject.inputs)
    np.testing.assert_allclose(found.arrays["states"][:, -1], [np.mean(h[-1] ** 2) for h in states], rtol=1e-4)
    draw(found)


def test_random_directions_estimate_what_single_ones_sum_up():
    subject = small("gru", units=20)
    exact = probe("sensitivity", subject, directions=2000).frame.set_index("group")
    estimated = probe("sensitivity", subject, directions=300).frame.set_index("group")
    name = "layers.0.gates.recurrent"
    assert exact["exact"][name] and not estimated["exact"][name]
    # 300 draws of a sum of squares of 20 outputs in 3 sequences: a standard error of at most sqrt(2
    # / 300) = 8 %
    assert estimated["sensitivity"][name] == pytest.approx(exact["sensitivity"][name], rel=0.25)


def test_of_one_linear_unit_the_angle_s_sensitivity_is_the_closed_form():
    subject = Subject.create("system-diagonal", units=2, length=400, batch=600)
    cell = subject.network.layers[0]
    a, b = 0.6, 0.3
    cell = eqx.tree_at(
        lambda c: (c.a, c.b, c.B_real, c.B_imaginary),
        cell,
        (jnp.asarray([a]), jnp.asarray([b]), jnp.ones((1, 1)), jnp.zeros((1, 1))),
    )
    network = eqx.tree_at(lambda n: n.layers, subject.network, (cell,))
    found = probe("sensitivity", dataclasses.replace(subject, network=network))
    rows = found.frame.set_index("group")["sensitivity"]
    lam = a + 1j * b
    # dh/da is the complex sensitivity itself, dh/db is i times it
    expected = float(moments.sensitivity_variance(lam, 0.0))
    assert rows["layers.0.a"] == pytest.approx(expected, rel=0.15)  # 600 sequences, heavy tails: about 5 % each
    assert rows["layers.0.b"] == pytest.approx(expected, rel=0.15)
    # x is white but finite: the measured autocorrelation's own noise, and 600 last states
    assert found.summary["state_square_measured"] == pytest.approx(1 / (1 - abs(lam) ** 2), rel=0.15)
    assert found.summary["state_square_predicted"] == pytest.approx(1 / (1 - abs(lam) ** 2), rel=0.05)


def test_what_overflows_is_infinite():
    subject = Subject.create("heads-1", units=4, length=300, batch=2)
    network = eqx.tree_at(lambda n: n.layers[0].W, subject.network, 2 * jnp.eye(4)[None])
    found = probe("sensitivity", dataclasses.replace(subject, network=network))
    assert found.summary["infinite"] is True and found.summary["largest_sensitivity"] == np.inf
    draw(found)


def test_a_probe_is_one_call_that_leaves_files_behind(tmp_path):
    report = capax.probe("sensitivity", "gru", tmp_path, units=3, length=10, batch=2)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"sensitivity.{kind}" for kind in ("json", "csv", "svg", "png")
    }
    assert report.summary["largest_sensitivity"] == report.frame["sensitivity"].max() > 0


def test_a_plain_cell_that_holds_a_function_is_measured_like_any_other():
    measured = probe("sensitivity", Subject.create("tests.cells.examples:WithFunction", units=3, length=6, batch=2))
    assert any("weight_hh" in name for name in measured.frame["group"])
    assert np.isfinite(measured.frame["sensitivity"]).all()
