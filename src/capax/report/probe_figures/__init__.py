"""The figure of each probe: one file a probe, each with a function `draw(measurement) -> Figure`."""

import importlib

from matplotlib.figure import Figure

from capax.probes.measurement import Measurement
from capax.report.style import look


def draw(measurement: Measurement) -> Figure:
    """The figure of a measurement, in the house style."""
    with look():
        return importlib.import_module(f"capax.report.probe_figures.{measurement.probe}").draw(measurement)
