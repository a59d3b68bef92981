"""Tasks made up as they are needed: every training step is new, held-out sets are fixed, and all
are different draws.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks

SMALL = {
    "memory": {"numbers": 5, "time_steps": 3},
    "parentheses": {"time_steps": 20},
    "arithmetic": {},
}


@pytest.fixture(params=SMALL)
def task(request):
    return tasks.get(request.param, batch_size=8, held_out=20, **SMALL[request.param])


def sequences(task, split, key=0, draws=None):
    """The sequences of a split that count, one row each."""
    scalars, found = task.scalars({}, 0), []
    for index in range(int(task.batches(split, scalars)) if draws is None else draws):
        draw = task.batch_at(task.data(0), split, jax.random.key(key), jnp.asarray(index), scalars)
        shown = np.asarray(jax.tree.leaves(draw.inputs)[0])
        assert shown.shape[-1] == task.batch_size
        counts = np.asarray(draw.weights).max(axis=0)
        assert set(counts) <= {0.0, 1.0}
        found.append(shown.reshape(-1, task.batch_size).T[counts > 0])
    return np.concatenate(found)


def distinct(*sets):
    rows = np.concatenate(sets)
    return len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.grid(keep=1)
def test_a_held_out_set_has_its_number_of_sequences_whatever_the_batch_size(task):
    assert len(sequences(task, "validation")) == len(sequences(task, "evaluation")) == 20
    assert len(sequences(task, "train")) == 8


def test_held_out_sets_are_fixed_by_the_data_seed(task):
    again = tasks.get(task.name, batch_size=8, held_out=20, **SMALL[task.name])
    other = tasks.get(task.name, batch_size=8, held_out=20, data_seed=1, **SMALL[task.name])
    for split in ("validation", "evaluation"):
        np.testing.assert_array_equal(sequences(task, split), sequences(again, split, key=1))
        assert distinct(sequences(task, split), sequences(other, split))


def test_training_validation_and_evaluation_are_different_draws(task):
    # Training keys begin with the same seed as the data seed does by default.
    training = [sequences(task, "train", key) for key in range(3)]
    assert distinct(*training, sequences(task, "validation"), sequences(task, "evaluation"))


def test_a_larger_held_out_set_begins_with_the_smaller_one(task):
    larger = tasks.get(task.name, batch_size=8, held_out=30, **SMALL[task.name])
    np.testing.assert_array_equal(sequences(larger, "validation")[:20], sequences(task, "validation"))


def test_the_cost_of_a_step_is_its_sequences_times_their_steps(task):
    assert task.work({}, 100) == 8 * task.length
