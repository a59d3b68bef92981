"""Slices of the loss: against the loss itself, the Hessian's eigenvalues, and the path of an
optimiser.
"""

import numpy as np
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.probes import Subject, adam, curvature, landscape, probe
from tests.probes.test_curvature import unstable

MEMORY = tasks.get("memory", numbers=2, time_steps=3)


def make(cell="gru", units=2, task=MEMORY):
    return Subject.create(cell, units=units, task=task, batch=8, seed=3)


def at(subject, away):
    """The loss of a subject's network moved by so much, in single precision."""
    vector, network_of, _ = subject.flat()
    return float(subject.loss(network_of(vector + np.asarray(away, np.float32))))


def test_random_slices_are_the_loss_along_directions_as_long_as_each_group():
    subject = make()
    found = probe("landscape", subject, radius=0.5, points=3)
    directions, grid = found.arrays["directions"], found.arrays["grid"]
    vector, _, groups = subject.flat()
    for part in groups.values():
        np.testing.assert_allclose(np.linalg.norm(directions[:, part], axis=1), np.linalg.norm(vector[part]), rtol=1e-6)
    np.testing.assert_array_equal(found.arrays["first"], [-0.5, 0, 0.5])
    for row, column in ((0, 2), (2, 1), (1, 1)):
        a, b = found.arrays["first"][row], found.arrays["second"][column]
        assert grid[row, column] == pytest.approx(at(subject, a * directions[0] + b * directions[1]), rel=1e-5)
    np.testing.assert_allclose(found.arrays["slices"], [grid[:, 1], grid[1]], rtol=1e-12)
    assert found.summary["loss"] == grid[1, 1] and found.summary["least_loss"] == grid.min()
    assert not found.summary["any_infinite"]
    assert found.frame["part"].value_counts().to_dict() == {"grid": 9, "first": 3, "second": 3}
    of_grid = found.frame.query("part == 'grid'")
    np.testing.assert_array_equal(of_grid["loss"], grid.ravel())
    np.testing.assert_array_equal(of_grid["second"], np.tile(found.arrays["second"], 3))


def test_curvature_directions_are_the_eigenvectors_with_their_eigenvalues_for_curvatures():
    subject = make()
    expected = curvature.measure(subject, eigenvalues=2)
    found = probe("landscape", subject, directions="curvature", points=2)
    overlap = np.sum(found.arrays["directions"] * expected.arrays["eigenvectors"], axis=1)
    np.testing.assert_allclose(np.abs(overlap), 1, rtol=1e-6)
    curvatures = [found.summary[f"curvature_along_{name}"] for name in ("first", "second")]
    # A second difference over h has an error of h^2 by higher derivatives, and of 1e-16 / h^2 by
    # rounding; h is 1e-4.
    np.testing.assert_allclose(curvatures, expected.arrays["eigenvalues"][:2], rtol=1e-5, atol=1e-6)


def test_the_path_is_adams_and_its_directions_are_the_principal_ones():
    subject = make("lru")
    options = {"steps": 60, "learning_rate": 0.01}
    found = probe("landscape", subject, directions="path", points=3, radius=0.5, **options)
    states = np.stack([np.asarray(state.parameters, float) for state in adam.training(subject, *options.values())])
    away = states - states[0]
    values, vectors = np.linalg.eigh(away.T @ away)
    directions = found.arrays["directions"]
    np.testing.assert_allclose(np.abs(np.sum(directions * vectors[:, [-1, -2]].T, axis=1)), 1, rtol=1e-6)
    assert found.summary["share_of_path_in_plane"] == pytest.approx(values[-2:].sum() / values.sum())
    np.testing.assert_allclose(found.arrays["path"], away @ directions.T, atol=1e-12)
    assert (found.arrays["path"][-1] >= 0).all() and len(away) == adam.MOMENTS + 1
    of_path = found.frame.query("part == 'path'")["loss"].to_numpy()
    assert of_path[0] == found.summary["loss"] > of_path[-1] == pytest.approx(at(subject, away[-1]), rel=1e-5)
    for name, along in zip(("first", "second"), found.arrays["path"].T, strict=True):
        low, _, high = found.arrays[name]
        assert (high - low) / np.ptp(along) == pytest.approx(1.5)
        assert along.min() - low == pytest.approx(high - along.max())
    assert found.summary["steps"] == 60 and found.summary["diverged"] is False


def test_a_path_of_one_step_is_a_line_on_a_plane_all_the_same():
    found = probe("landscape", make("lru"), directions="path", points=2, steps=1, radius=1)
    assert np.isfinite(found.arrays["grid"]).all() and found.summary["share_of_path_in_plane"] == pytest.approx(1)
    assert all(np.ptp(found.arrays[name]) > 1e-4 for name in ("first", "second"))


@pytest.mark.parametrize("directions", landscape.DIRECTIONS)
def test_around_an_unstable_network_the_loss_is_infinite(directions):
    found = probe("landscape", unstable(2), directions=directions, points=2, steps=10)
    assert np.isinf(found.arrays["grid"]).all() and np.isinf(found.frame["loss"]).all()
    for name in ("loss", "least_loss", "curvature_along_first", "curvature_along_second"):
        assert found.summary[name] == np.inf, name
    assert found.summary["any_infinite"] is True
    assert directions != "path" or (found.summary["diverged"] is True and found.summary["steps"] == 0)


@pytest.mark.parametrize("cell", ["lstm", "heads-1", "block-lru", "tests.cells.examples:Plain"])
def test_any_cell_has_a_landscape(cell):
    found = probe("landscape", make(cell), points=2)
    assert np.isfinite(found.arrays["grid"]).all()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"directions": "paths"}, "unknown directions 'paths' \\(did you mean 'path'\\?\\)"),
        ({"radius": 0.0}, "radius must be above 0 and points at least 2, not 0.0 and 25"),
        ({"points": 1}, "points at least 2, not 1.0 and 1"),
        ({"directions": "path", "steps": 0}, "at least 1 step and a learning rate above 0, not 0"),
    ],
)
def test_bad_options_are_one_line(options, line):
    with pytest.raises(CapaxError, match=line):
        probe("landscape", make(), **options)


def test_without_a_task_there_is_no_loss():
    with pytest.raises(CapaxError, match="measures a task's loss"):
        probe("landscape", Subject.create("gru", units=2, length=4, batch=2))
