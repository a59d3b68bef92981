"""Kernels for CPUs, written in C++ from traced programs, for any cell.

One kernel does a whole training step, or two do a loop over time.
"""

from capax.fused.kernel import fuse
from capax.fused.recurrence import recurrence
from capax.fused.refusal import Refusal

__all__ = ["Refusal", "fuse", "recurrence"]
