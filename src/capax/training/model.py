"""Trained networks from the files that a run keeps."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from capax import tasks
from capax.errors import CapaxError
from capax.networks.network import Network
from capax.tasks.task import Task
from capax.training.checkpoint import load_arrays
from capax.training.template import Template
from capax.training.trial import NetworkShape


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, the task that it learned, and what is known of its training: `manifest`."""

    network: Network
    task: Task
    manifest: dict[str, Any]


def load(path: Path) -> Model:
    """The network of a file such as `models/STUDY.safetensors` in a run directory. Raises `CapaxError` for one that is none."""
    found = load_arrays(path)
    if found is None or "parameters" not in found[0] or "cell" not in found[1]:
        missing = "does not exist" if not path.exists() else "is not a network that capax has trained"
        raise CapaxError(f"{path} {missing}; a run keeps its best networks in models/.")
    arrays, manifest = found
    task = tasks.get(manifest["task"], **manifest["task_options"])
    shape = NetworkShape(manifest["cell"], manifest["depth"], manifest["units"], len(arrays["parameters"]))
    hyperparameters = manifest["hyperparameters"]
    template = Template(shape, hyperparameters.get("nonlinearity"), task.inputs, task.outputs)
    _, constants = template.initial(hyperparameters, manifest["seed"])
    return Model(template.network(jnp.asarray(arrays["parameters"]), constants), task, manifest)
