"""Fused kernels for CPUs, written in C++ from traced programs, for any cell: a whole training step, or a loop over time."""

from capax.fused.kernel import fuse
from capax.fused.recurrence import recurrence
from capax.fused.refusal import Refusal

__all__ = ["Refusal", "fuse", "recurrence"]
