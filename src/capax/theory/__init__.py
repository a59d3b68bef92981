"""Closed forms that need no training."""

from capax.theory import autocorrelation, bounds, landscape, moments

__all__ = ["autocorrelation", "bounds", "landscape", "moments"]
