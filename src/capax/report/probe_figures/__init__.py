"""The figure of each probe: one file a probe, each with a function `draw(measurement) -> Figure`.

The figure of a user's own probe is drawn by the function `draw` of the probe's module, if there is
one.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from capax import user_code
from capax.probes.measurement import Measurement
from capax.report import formatting
from capax.report.style import GREY, look


def draw(measurement: Measurement) -> Figure | None:
    """The figure of a measurement, in the house style, with what was measured above it; None for a
    user's probe without one.

    Raises `UserCodeError` where a user's `draw` raises.
    """
    drawing = _drawing(measurement.probe)
    if drawing is None:
        return None
    with look(), user_code.explaining(f"drawing the figure of probe {measurement.probe} failed"):
        figure = drawing(measurement)
        figure.suptitle(measured(measurement.subject), fontsize=9, color=GREY, x=0.01, ha="left")
    return figure


def _drawing(probe: str) -> Callable[[Measurement], Figure] | None:
    if user_code.is_path(probe):
        return user_code.beside(user_code.load_function(probe, "probe"), "draw")
    return importlib.import_module(f"capax.report.probe_figures.{probe}").draw


def measured(subject: Mapping[str, Any]) -> str:
    """The cell, its size, what drove it, and the seed, so that a figure can be told from another
    without its file.
    """
    named = [subject["name"]] if subject.get("name") not in (None, subject["cell"]) else []
    task = subject.get("task")
    parts = [
        *named,
        subject["cell"],
        f"{formatting.layers(subject['depth'])} of {formatting.number(subject['units'], 'unit')}",
        f"task {task}" if task else formatting.number(subject["inputs"], "input"),
        f"{formatting.number(subject['batch'], 'sequence')} of {formatting.number(subject['time_steps'], 'step')}",
        f"seed {subject['seed']}",
    ]
    return ", ".join(str(part) for part in parts)
