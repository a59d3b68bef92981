"""Closed forms that need no training."""

from capax.theory import autocorrelation, bounds, costs, gradients, landscape, moments, roofline

__all__ = ["autocorrelation", "bounds", "costs", "gradients", "landscape", "moments", "roofline"]
