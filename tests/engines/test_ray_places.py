"""Where workers have room on a cluster."""

import pytest

from capax.engines.places import places
from capax.workers import Workers


def node(name, alive=True, **resources):
    return {
        "NodeID": f"id {name}",
        "NodeManagerHostname": name,
        "NodeManagerAddress": "",
        "Alive": alive,
        "Resources": resources,
    }


@pytest.mark.parametrize(
    ("workers", "nodes", "due"),
    [
        ({}, [node("a", CPU=2.0), node("b", CPU=1.0)], ["a 0", "b 0", "a 1"]),
        ({"cpus": 2}, [node("a", CPU=5.0), node("b", CPU=1.0)], ["a 0", "a 1"]),
        ({}, [node("a", alive=False, CPU=2.0), node("b", CPU=1.0)], ["b 0"]),
        ({}, [node("a", CPU=8.0, GPU=2.0), node("b", CPU=2.0)], ["a 0", "b 0", "a 1", "b 1"]),  # one with a GPU each
        ({"gpus": 0}, [node("a", CPU=3.0, GPU=2.0)], ["a 0", "a 1", "a 2"]),
        ({"gpus": 1}, [node("a", CPU=3.0, GPU=2.0), node("b", CPU=9.0)], ["a 0", "a 1"]),
        ({"gpus": 0.5}, [node("a", CPU=9.0, GPU=1.0)], ["a 0", "a 1"]),
        ({"memory": 4}, [node("a", CPU=4.0, memory=9.0 * 2**30)], ["a 0", "a 1"]),
        ({"cpus": 4}, [node("a", CPU=2.0)], []),
    ],
)
def test_a_machine_takes_as_many_workers_as_it_has_room_for(workers, nodes, due):
    assert [f"{place.name} {place.number}" for place in places(nodes, Workers(**workers))] == due


def test_what_is_set_aside_for_a_worker_is_what_it_was_said_to_need():
    (place,) = places([node("a", CPU=2.0, GPU=1.0, memory=8.0 * 2**30)], Workers(cpus=2, memory=3))
    assert place.options(Workers(cpus=2, memory=3)) == {"num_cpus": 2, "num_gpus": 1.0, "memory": 3 * 2**30}
    (place,) = places([node("a", CPU=1.0)], Workers())
    assert place.options(Workers()) == {"num_cpus": 1.0, "num_gpus": 0.0}


@pytest.mark.parametrize("wrong", [{"cpus": 0}, {"most": 0}, {"lease": 0.5}, {"gpus": -1}, {"memory": -1.0}])
def test_what_no_worker_can_have_is_refused(wrong):
    with pytest.raises(ValueError, match="workers: "):
        Workers(**wrong)
