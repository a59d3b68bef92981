"""Figures as files."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from capax.files import write_atomically
from capax.report.style import look

PIXELS_PER_INCH = 200


def save_figure(figure: Figure, path: Path) -> bytes:
    """Write a figure as SVG and PNG, without a date, so that the same figure is the same file;
    returns the SVG.
    """
    vector, pixels = io.BytesIO(), io.BytesIO()
    with look():
        figure.savefig(vector, format="svg", metadata={"Date": None})
        figure.savefig(pixels, format="png", dpi=PIXELS_PER_INCH)
    write_atomically(path.with_name(f"{path.name}.svg"), vector.getvalue())
    write_atomically(path.with_name(f"{path.name}.png"), pixels.getvalue())
    return vector.getvalue()
