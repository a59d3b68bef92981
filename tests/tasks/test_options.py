"""Options of every task: any number gives one line or a task that works, and each option changes
something.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import tasks
from capax.errors import CapaxError
from capax.tasks.options import _allowed, _kinds

SMALL: dict[str, dict] = {
    "memory": {"numbers": 8, "time_steps": 4, "batch_size": 4, "held_out": 8},
    "text": {"window": 20, "warm_up": 5, "batch_size": 4},
    "rcf": {"samples": 500, "dimensions": 4, "time_steps": 4},
    "parentheses": {"time_steps": 6, "batch_size": 4, "held_out": 8},
    "arithmetic": {"largest": 9, "time_steps": 20, "batch_size": 4, "held_out": 8},
    "teacher": {"hidden": 3, "time_steps": 8, "batch_size": 4, "held_out": 8},
}
ODD = [math.nan, math.inf, -math.inf, -1, -0.5, 0, 1, 3, 0.5, 10**18, -(10**18), 1e300, 10**400, True, "7", None, [1]]
"""Numbers and other things that somebody may write where a number is due."""
OPTIONS = [(name, field.name) for name, kind in tasks.BUILT_IN.items() for field in dataclasses.fields(kind)]


def works(task):
    """A batch, its loss, and its score are finite."""
    batch = task.batch(jax.random.key(0), 2)
    outputs = jnp.zeros((2, task.length, task.outputs))
    assert batch.inputs.shape == (2, task.length, task.inputs) and batch.mask.shape == (2, task.length)
    return math.isfinite(task.loss(outputs, batch)) and math.isfinite(task.score(outputs, batch))


def is_number(name, option):
    return bool({int, float} & set(_allowed(_kinds(tasks.BUILT_IN[name])[option])))


@pytest.mark.grid(keep=7)
@pytest.mark.parametrize(("name", "option"), [pair for pair in OPTIONS if is_number(*pair)])
def test_any_value_of_a_numeric_option_is_refused_in_one_line_or_gives_a_task_that_works(name, option):
    accepted = 0
    for value in ODD:
        try:
            task = tasks.get(name, **{**SMALL.get(name, {}), option: value})
        except CapaxError as error:
            assert str(error).startswith(f"task {name}: ") and "\n" not in str(error)
            continue
        accepted += 1
        assert works(task), (option, value)
        assert isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    assert accepted < len(ODD) / 2


@pytest.mark.parametrize(
    ("name", "option", "value"), [("rcf", "tau", math.nan), ("teacher", "least_modulus", math.nan)]
)
def test_nan_is_no_number_that_an_option_may_be(name, option, value):
    with pytest.raises(CapaxError, match=f"task {name}: option {option} must be a number .*, not nan"):
        tasks.get(name, **{option: value})


def test_data_that_no_memory_holds_are_refused():
    with pytest.raises(CapaxError, match="samples times dimensions must be at most 5,000,000,000"):
        tasks.get("rcf", samples=10**8, dimensions=10**4)


OTHER = {
    "data_seed": 1,
    "bits": 9,
    "time_steps": 25,
    "numbers": 9,
    "batch_size": 5,
    "held_out": 11,
    "window": 25,
    "warm_up": 6,
    "samples": 40,
    "dimensions": 5,
    "tau": 1.0,
    "input_always": False,
    "largest": 3,
    "hidden": 4,
    "least_modulus": 0.2,
    "largest_phase": 1.0,
    "alphabet": "unicode",
}


def traces(task):
    """What an option may change: the data, the batches, and how many there are; arrays side by
    side.
    """
    scalars, key = task.scalars({}, 10), jax.random.key(0)
    data = task.data(10)
    found = [jnp.asarray(task.length), task.batches("train", scalars), task.batches("validation", scalars)]
    for split in ("train", "validation", "evaluation"):
        for index in (0, int(task.batches(split, scalars)) - 1):
            found.append(task.batch_at(data, split, key, jnp.asarray(index), scalars))
    return [np.asarray(leaf) for leaf in jax.tree.leaves([found, task.sample(key, 3)])]


@pytest.mark.grid(keep=7)
@pytest.mark.parametrize(
    ("name", "option"),
    [
        pair
        for pair in OPTIONS
        if (pair != ("teacher", "told") and pair[0] != "text")
        or pair[1] in ("window", "warm_up", "batch_size", "alphabet")
    ],
)
def test_each_option_changes_the_data(name, option):
    assert option in OTHER, f"give OTHER another value of {option}"
    one, other = (
        tasks.get(name, **SMALL.get(name, {})),
        tasks.get(name, **{**SMALL.get(name, {}), option: OTHER[option]}),
    )
    before, after = traces(one), traces(other)
    assert len(before) != len(after) or any(
        a.shape != b.shape or np.any(a != b) for a, b in zip(before, after, strict=True)
    )


def test_a_seed_that_would_change_nothing_is_refused():
    with pytest.raises(CapaxError, match="data_seed changes nothing"):
        tasks.get("text", data_seed=1)


def test_a_teacher_that_is_told_starts_cells_otherwise():
    assert tasks.get("teacher", told=True).starts() != tasks.get("teacher").starts()
