"""What a rule is: how one operation of a traced program is said in ONNX.

A rule is given the graph, the primitive's parameters, its operands, and shape and type of each
result; it gives the results.
"""

from collections.abc import Callable, Sequence
from typing import Any

from capax.errors import CapaxError
from capax.interop.onnx.graph import Graph

Parameters = dict[str, Any]
Results = Sequence[Any]
"""Shapes and types of what a primitive makes, as JAX says them."""
Rule = Callable[[Graph, Parameters, Sequence[Any], Results], Sequence[Any]]

SIZE = "dim_as_value"
"""The primitive of a symbolic size as a number: it reads nothing, and yet is not known."""


class Refused(CapaxError):
    """An operation is known, but not in this form: the reason, without the operation's name."""
