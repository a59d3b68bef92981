"""How cells look: one colour, one marker, and one line style each, the same in every figure of
every run.
"""

import colorsys
import contextlib
import dataclasses
import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import matplotlib.colors

LineStyle = Any  # of matplotlib: a word, or an offset and the lengths of dashes and gaps

GREY = "#5a5a5a"
"""Reference lines, and what belongs to no cell."""

RULES: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.7,
    "lines.markersize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 3.4,
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "capax",  # the same figure is the same file
}


@dataclasses.dataclass(frozen=True)
class Style:
    """What one cell is drawn with, and the name it is shown by."""

    label: str
    colour: str
    marker: Any  # of matplotlib: a letter, or the corners, kind, and angle of a polygon
    line: LineStyle


# Colours that stay apart with any colour vision (Okabe and Ito 2008); markers and lines that stay
# apart without colour.
_CLASSIC: dict[str, tuple[str, str, LineStyle]] = {
    "rnn": ("#0072B2", "o", "-"),
    "irnn": ("#56B4E9", "s", (0, (7, 2))),
    "ugrnn": ("#009E73", "^", (0, (5, 1.5, 1, 1.5))),
    "gru": ("#D55E00", "D", (0, (3, 1.3))),
    "lstm": ("#CC79A7", "v", (0, (1, 1.1))),
    "intersection": ("#E69F00", "P", (0, (5, 1.3, 1, 1.3, 1, 1.3))),
}
_OTHERS: tuple[tuple[str, str, LineStyle], ...] = (
    ("#000000", "d", (0, (9, 2))),
    ("#8C510A", "*", (0, (2, 2))),
    ("#5E3C99", "h", (0, (8, 2, 2, 2))),
    ("#01665E", "<", (0, (1, 2))),
    ("#7A7A7A", "p", (0, (12, 1.5))),
    ("#9E1B32", ">", (0, (4, 1, 4, 3))),
)


def labels(cells: Sequence[str]) -> dict[str, str]:
    """The names cells are shown by.

    Of a user's `module.path:Class` only the class, unless two cells share it.
    """
    short = {cell: cell.partition(":")[2] or cell for cell in cells}
    shown = list(short.values())
    return {cell: name if shown.count(name) == 1 else cell for cell, name in short.items()}


def styles(cells: Sequence[str]) -> dict[str, Style]:
    """The style of each cell of a run; no two of a run are alike in colour, marker, or dashes.

    One of the six classic cells has its own. Another takes one from the hash of its name, so that
    it keeps it from run to run, and the next free one where two would be alike.
    """
    names, found, taken = labels(cells), {}, set()
    for cell in sorted(set(cells) - set(_CLASSIC)):
        place = zlib.crc32(cell.encode()) % len(_OTHERS)
        wanted = itertools.chain(range(place, len(_OTHERS)), range(place), itertools.count(len(_OTHERS)))
        place = next(free for free in wanted if free not in taken)
        taken.add(place)
        looks = _OTHERS[place] if place < len(_OTHERS) else _further(place - len(_OTHERS))
        found[cell] = Style(names[cell], *looks)
    return {cell: found.get(cell) or Style(names[cell], *_CLASSIC[cell]) for cell in cells}


def _further(place: int) -> tuple[str, Any, LineStyle]:
    """Looks beyond the twelve that are chosen by hand: hues a golden section apart, polygons and
    stars, longer dashes.
    """
    hue = (0.08 + place * (math.sqrt(5) - 1) / 2) % 1
    colour = colorsys.hls_to_rgb(hue, (0.3, 0.42, 0.55)[place % 3], 0.75)
    marker = (4 + place % 5, (1, 0)[place // 5 % 2], 18 * (place // 10))
    return matplotlib.colors.to_hex(colour), marker, (0, (3 + place, 1.5, 1, 1.5))


_ALL = (*_CLASSIC.values(), *_OTHERS)
COLOURS = tuple(colour for colour, _, _ in _ALL)
LINES = tuple(line for _, _, line in _ALL)
"""For what is no cell: as many as there are, in an order in which neighbours stay apart."""


@contextlib.contextmanager
def look() -> Iterator[None]:
    """The house style, for drawing and for saving; matplotlib's global settings are left as they
    were.
    """
    with matplotlib.rc_context(RULES):
        yield
