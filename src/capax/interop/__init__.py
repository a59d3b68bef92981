"""Networks to and from other programs: one file a format.

PyTorch and Keras are never imported: weights travel as mappings and lists of arrays.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capax.interop import keras as keras
    from capax.interop import onnx as onnx
    from capax.interop import torch as torch

_FORMATS = ("keras", "onnx", "torch")


def __getattr__(name: str) -> Any:
    if name not in _FORMATS:
        raise AttributeError(f"module 'capax.interop' has no attribute '{name}'")
    return importlib.import_module(f"capax.interop.{name}")
