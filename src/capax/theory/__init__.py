"""Closed forms that need no training."""

from capax.theory import autocorrelation, bounds, costs, landscape, moments, roofline

__all__ = ["autocorrelation", "bounds", "costs", "landscape", "moments", "roofline"]
