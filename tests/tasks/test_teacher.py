"""The teacher task: targets are a linear system's responses, its eigenvalues where they should be,
one teacher a data seed.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.networks.sizing import parameters
from capax.tasks.teacher import TEACHERS, moved, response
from capax.training.program import Program
from capax.training.trial import NetworkShape, ProgramKey, Trial


def simulated(random, x, hidden, least_modulus, largest_phase):
    """What the teacher of `response` says to x, step by step in its real matrices; and its
    eigenvalues.
    """
    A = random.normal(size=(hidden, hidden)) / hidden**0.5
    values, vectors = np.linalg.eig(A)
    values = moved(values, least_modulus, largest_phase)
    A = vectors @ np.diag(values) @ np.linalg.inv(vectors)
    assert np.abs(A.imag).max() < 1e-9  # conjugate pairs stay pairs
    B, C, D = random.normal(size=hidden), random.normal(size=hidden) / hidden**0.5, random.normal()
    h, found = np.zeros(hidden), []
    for x_t in x:
        h = A.real @ h + B * x_t
        found.append(C @ h + D * x_t)
    return np.array(found), np.linalg.eigvals(A.real)


@pytest.mark.parametrize(("least_modulus", "largest_phase"), [(0.36, math.pi), (0.99, math.pi), (0.9, 0.3)])
def test_the_impulse_response_is_that_of_the_simulated_system(least_modulus, largest_phase):
    x = np.random.default_rng(1).normal(size=60)
    expected, eigenvalues = simulated(np.random.default_rng(0), x, 10, least_modulus, largest_phase)
    impulse = response(np.random.default_rng(0), 10, 60, least_modulus, largest_phase)
    np.testing.assert_allclose(np.convolve(impulse, x)[:60], expected, rtol=1e-8, atol=1e-9)
    assert np.abs(eigenvalues).min() >= least_modulus - 1e-9 and np.abs(eigenvalues).max() < 1
    assert np.abs(np.angle(eigenvalues)).max() <= largest_phase + 1e-9


def test_a_batch_has_white_inputs_and_the_first_teacher_s_outputs():
    task = tasks.get("teacher", time_steps=40, hidden=3)
    batch = task.batch(jax.random.key(0), 300)
    x, y = np.asarray(batch.inputs[..., 0], np.float64), np.asarray(batch.targets[..., 0])
    assert x.shape == y.shape == (300, 40)
    assert abs(np.mean(x**2) - 1) < 5 * (2 / x.size) ** 0.5
    impulse = task.responses()[0]
    for one, other in zip(x[:5], y[:5], strict=True):
        np.testing.assert_allclose(np.convolve(impulse, one)[:40], other, rtol=1e-4, atol=1e-4)
    assert task.score(batch.targets, batch) == task.facts.perfect == 0
    # the mean square of what the teacher says, within five standard errors of 300 sequences whose
    # powers vary by their own size
    assert task.score(jnp.zeros_like(batch.targets), batch) == pytest.approx(task.powers()[0], rel=5 * (2 / 300) ** 0.5)
    assert task.facts.chance == np.median(task.powers())


def test_trials_share_a_teacher_and_every_rerun_has_its_own():
    task = tasks.get("teacher", time_steps=8, hidden=2, batch_size=4, held_out=64)
    shape = NetworkShape("system-lru", 1, 4, parameters("system-lru", inputs=1, outputs=1, depth=1, units=4))
    data = task.data(shape.parameters)
    program = Program(ProgramKey(task, shape, None), "mapped", data)

    def chance(data_seed, seed=0):
        """The power of the held-out targets: share of power and error of a network that is there,
        from its scores.
        """
        trial = Trial("t", task, shape, {}, steps=1, seed=seed, data_seed=data_seed)
        state, settings = program.start(trial)
        scores = program.scores(state, settings, data)[0]
        return scores["score"] / scores["share_of_power"]

    powers = task.powers()
    for data_seed in (0, 1, 2, TEACHERS + 1):
        assert chance(data_seed) == pytest.approx(powers[data_seed % TEACHERS], rel=0.7)
    assert chance(0, seed=5) == pytest.approx(chance(0)) and chance(TEACHERS + 1) == pytest.approx(chance(1))
    assert len({round(chance(k), 5) for k in range(4)}) == 4


def test_a_cell_that_is_told_starts_with_the_teachers_modulus():
    assert tasks.get("teacher", least_modulus=0.9, told=True).starts() == {
        "least_modulus": 0.9,
        "largest_phase": math.pi,
    }
    assert tasks.get("teacher", least_modulus=0.9).starts() == {"least_modulus": 0.0}
