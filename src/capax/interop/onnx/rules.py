"""JAX's operations as ONNX's: one rule for each primitive of a traced program that computes numbers
and holds no program of its own.
"""

from capax.interop.onnx.axes import AXES
from capax.interop.onnx.elementwise import ELEMENTWISE
from capax.interop.onnx.rule import Rule
from capax.interop.onnx.slices import SLICES
from capax.interop.onnx.sums import SUMS

RULES: dict[str, Rule] = {**ELEMENTWISE, **AXES, **SLICES, **SUMS}
"""By the name of the primitive."""
