"""Tasks by name; every wrong name, option, or value is one line that says what is allowed."""

import pytest

from capax import tasks
from capax.errors import CapaxError


def test_tasks_have_their_names_and_options():
    assert {"capacity", "memory", "text", "rcf", "parentheses", "arithmetic", "teacher"} <= set(tasks.BUILT_IN)
    assert all(task.name == name for name, task in tasks.BUILT_IN.items())
    task = tasks.get("capacity", bits=12, time_steps=3)
    assert (task.inputs, task.outputs, task.length, task.first, task.bits) == (12, 1, 3, 2, 12)
    assert task == tasks.get("capacity", bits=12, time_steps=3) != tasks.get("capacity", bits=12)
    assert hash(task) == hash(tasks.get("capacity", bits=12, time_steps=3))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("capacty", {}, "did you mean 'capacity'?"),
        ("capacity", {"bit": 12}, "did you mean 'bits'?"),
        ("capacity", {"bits": "12"}, "a whole number"),
        ("capacity", {"bits": 12.0}, "a whole number"),
        ("capacity", {"bits": True}, "a whole number"),
        ("capacity", {"bits": None}, "a whole number"),
        ("capacity", {"bits": 3}, "from 4 to 24"),
        ("capacity", {"bits": 25}, "from 4 to 24"),
        ("capacity", {"time_steps": 0}, "from 1 to 10000"),
        ("text", {"path": 3}, "a text"),
        ("text", {"warm_up": 50}, "window - 1 = 49"),
        ("text", {"warm_up": -1}, "warm_up"),
        ("text", {"window": 0, "warm_up": 0}, "window must be a whole number from 1"),
        ("text", {"batch_size": 0}, "batch_size"),
        ("memory", {"numbers": 0}, "numbers must be a whole number from 1 to 100000, not 0"),
        ("memory", {"time_steps": 0}, "time_steps must be a whole number from 1 to 10000, not 0"),
        ("memory", {"units": 3}, "no option 'units'"),
        ("memory", {"batch_size": 0}, "batch_size must be a whole number from 1"),
        ("parentheses", {"time_steps": 10_001}, "time_steps must be a whole number from 1 to 10000, not 10001"),
        ("parentheses", {"held_out": 0}, "held_out must be a whole number from 1"),
        ("parentheses", {"time_steps": "many"}, "a whole number"),
        ("arithmetic", {"largest": 0}, "largest must be a whole number from 1 to 1000000000, not 0"),
        ("arithmetic", {"largest": 10**10}, "from 1 to 1000000000"),
        ("arithmetic", {"time_steps": 34}, "time_steps must be at least 35 for numbers up to 10000000, not 34"),
        ("arithmetic", {"compute_steps": 3}, "no option 'compute_steps'"),
        ("rcf", {"samples": 0}, "samples must be a whole number from 1 to 100000000, not 0"),
        ("rcf", {"tau": 0}, "tau must be a number from 0.001 to 1e+12, not 0"),
        ("rcf", {"tau": "long"}, "a number"),
        ("rcf", {"input_always": 1}, "true or false"),
        ("rcf", {"dimensions": 0}, "dimensions"),
        ("teacher", {"least_modulus": 1.0}, "least_modulus must be a number at least 0 and below 1, not 1.0"),
        ("teacher", {"largest_phase": 4.0}, "largest_phase must be a number from 0 to 3.14159, not 4.0"),
        ("teacher", {"hidden": 0}, "hidden must be a whole number from 1"),
    ],
)
def test_a_wrong_name_option_or_value_is_refused_in_one_line(name, options, said):
    with pytest.raises(CapaxError) as caught:
        tasks.get(name, **options)
    line = str(caught.value)
    assert said in line and "\n" not in line
