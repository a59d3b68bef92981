"""Checkpoints of running trials and files of trained parameters: safetensors, with a JSON manifest
in the header.
"""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save

from capax.files import write_atomically
from capax.training import arrays as reading
from capax.training.program import State

FIELDS = ("parameters", "m", "v", "bases", "step", "fault", "curve")


def save_arrays(path: Path, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
    """Write arrays and a manifest as one file, at once or not at all."""
    write_atomically(path, save(arrays, metadata={"manifest": json.dumps(manifest)}))


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Arrays and manifest of a file, None if there is none or it is not one of ours."""
    if not path.exists():
        return None
    try:
        arrays, words = reading.read(path)
        manifest = reading.parsed(words.get("manifest", "null"))
    except reading.NoArrays:
        return None
    return (arrays, manifest) if isinstance(manifest, dict) else None


def save_state(path: Path, state: State, manifest: dict[str, Any]) -> None:
    """Keep a trial's state."""
    save_arrays(path, {name: np.asarray(getattr(state, name)) for name in FIELDS}, manifest)


def load_state(path: Path, manifest: dict[str, Any], fresh: State) -> tuple[State, float] | None:
    """A trial's state and how many seconds it was trained, None where there is no checkpoint of
    this very trial: `manifest`'s entries must be the same, and all arrays like those of a `fresh`
    state.
    """
    loaded = load_arrays(path)
    if loaded is None:
        return None
    arrays, found = loaded
    seconds = found.get("seconds")
    if any(found.get(name) != value for name, value in manifest.items()) or not isinstance(seconds, int | float):
        return None
    expected = {name: getattr(fresh, name) for name in FIELDS}
    if arrays.keys() != expected.keys() or any(_kind(arrays[name]) != _kind(like) for name, like in expected.items()):
        return None
    return State(**{name: jnp.asarray(array) for name, array in arrays.items()}), float(seconds)


def _kind(array: Any) -> tuple[Any, ...]:
    return tuple(array.shape), np.dtype(array.dtype)
