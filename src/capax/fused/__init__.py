"""Fused kernels: a draw's loss and gradient as one C++ function, written from the traced program, for any cell."""

from capax.fused.arrays import Unsupported
from capax.fused.kernel import fuse
from capax.fused.recurrence import recurrence

__all__ = ["Unsupported", "fuse", "recurrence"]
