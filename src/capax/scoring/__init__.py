"""Scores of predictions, each with an interval: forecasts, labels, and sequences of symbols. NumPy
alone.
"""

from capax.scoring.resampling import Estimate as Estimate
