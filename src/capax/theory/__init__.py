"""Closed forms that need no training."""

from capax.theory import autocorrelation, landscape, moments

__all__ = ["autocorrelation", "landscape", "moments"]
