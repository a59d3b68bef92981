"""Arrays and words of safetensors files, from anyone: how much is read of a header is bounded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

MOST_HEADER = 16 * 2**20
"""Bytes of a header. Those of models and checkpoints have some kB, and reading one takes fifty
times its size."""


class NoArrays(ValueError):
    """A file that cannot be read, with the reason."""


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file by name, and the words in its header. Raises `NoArrays` where it is no
    safetensors file.
    """
    try:
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > MOST_HEADER:
            raise NoArrays(f"its header would have {header:,} bytes, and {MOST_HEADER:,} are read at most")
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (safe_open is no mapping)
            return arrays, file.metadata() or {}
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # the last two: a type NumPy does not have
        raise NoArrays(str(error)) from None


def parsed(text: str) -> Any:
    """What a JSON text from a header says. Raises `NoArrays` where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, nested without end
        raise NoArrays("its words are no JSON") from None
