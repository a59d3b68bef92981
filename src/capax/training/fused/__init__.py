"""Fused kernels: a draw's loss and gradient as one C++ function, written from the traced program, for any cell."""

from capax.training.fused.kernel import Unsupported, fuse

__all__ = ["Unsupported", "fuse"]
