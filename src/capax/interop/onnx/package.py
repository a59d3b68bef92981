"""The packages `onnx` and `onnxruntime`, which are optional: whatever needs them gets them here, or
one line that says what to install.
"""

import importlib
from types import ModuleType

from capax.errors import CapaxError

OPSET = 18
"""Of ONNX's operators: the first in which all reductions take their axes as an input."""

IR_VERSION = 8
"""Of the file format: what came with that operator set, so that older runtimes read the file."""


def onnx_package(name: str = "onnx") -> ModuleType:
    """A module of the optional packages, such as `onnx.helper` or `onnxruntime`.

    Raises `CapaxError` where its package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise CapaxError(f"ONNX files need the package {package}: pip install 'capax[onnx]'.") from None
