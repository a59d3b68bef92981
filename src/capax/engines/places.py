"""Where on a cluster workers have room: as many on a machine as its cores, accelerators, and memory
allow.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from capax.workers import Workers

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Place:
    """Room for one worker: `node`, the id of its machine, whose `name` people know; `number` of the
    worker there, from 0; `gpus` that it gets.
    """

    node: str
    name: str
    number: int
    gpus: float

    def options(self, workers: Workers) -> dict[str, Any]:
        """What Ray is to set aside."""
        memory = {} if workers.memory is None else {"memory": int(workers.memory * GIB)}
        return {"num_cpus": workers.cpus, "num_gpus": self.gpus, **memory}


def places(nodes: Sequence[Mapping[str, Any]], workers: Workers) -> list[Place]:
    """All places for workers on the machines that are alive (`ray.nodes()`): the first of each
    machine before the second of any.
    """
    found = []
    for node in nodes:
        if not node["Alive"]:
            continue
        has = node["Resources"]
        gpus = min(1.0, has.get("GPU", 0.0)) if workers.gpus is None else float(workers.gpus)
        room = [has.get("CPU", 0.0) / workers.cpus]
        room += [has.get("GPU", 0.0) / gpus] if gpus else []
        room += [has.get("memory", 0.0) / (workers.memory * GIB)] if workers.memory else []
        name = node.get("NodeManagerHostname") or node["NodeManagerAddress"]
        found += [Place(node["NodeID"], name, number, gpus) for number in range(int(min(room) + 1e-9))]
    return sorted(found, key=lambda place: place.number)
