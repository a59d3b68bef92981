"""Tasks by name; every wrong name, option, or value is one line that says what is allowed."""

import pytest

from capax import tasks
from capax.errors import CapaxError


def test_tasks_have_their_names_and_options():
    assert list(tasks.BUILT_IN) == ["capacity", "text"]
    task = tasks.get("capacity", bits=12, steps=3)
    assert (task.inputs, task.outputs, task.length, task.first, task.bits) == (12, 1, 3, 2, 12)
    assert task == tasks.get("capacity", bits=12, steps=3) != tasks.get("capacity", bits=12)
    assert hash(task) == hash(tasks.get("capacity", bits=12, steps=3))


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
        ("capacity", {"steps": 0}, "from 1 to 10000"),
        ("text", {"path": 3}, "a text"),
        ("text", {"warm_up": 50}, "window - 1 = 49"),
        ("text", {"warm_up": -1}, "warm_up"),
        ("text", {"window": 0, "warm_up": 0}, "warm_up"),
        ("text", {"batch_size": 0}, "batch_size"),
    ],
)
def test_a_wrong_name_option_or_value_is_refused_in_one_line(name, options, said):
    with pytest.raises(CapaxError) as caught:
        tasks.get(name, **options)
    line = str(caught.value)
    assert said in line and "\n" not in line
