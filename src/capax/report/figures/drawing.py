"""What a figure of a run is: when it can be drawn, and what comes of it."""

import dataclasses
import re
from collections.abc import Callable

from matplotlib.figure import Figure

from capax.report.view import TaskView


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure with the name of its files, the caption below it, and its numbers in words.

    `task` is the label of the task that it belongs to; `alt` is for readers who do not see it.
    """

    name: str
    task: str
    figure: Figure
    caption: str
    alt: str


@dataclasses.dataclass(frozen=True)
class FigureKind:
    """A kind of figure: `has_data` says of a task whether there is something to draw."""

    has_data: Callable[[TaskView], bool]
    draw: Callable[[TaskView], list[Drawing]]


def slug(text: str) -> str:
    """Words as a file's name has them."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
