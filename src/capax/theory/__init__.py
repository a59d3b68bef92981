"""Closed forms that need no training."""

from capax.theory import moments

__all__ = ["moments"]
