"""How wide a table may be, and text that is wrapped where people read it: a pipe gets whole
lines.
"""

import textwrap
from collections.abc import Mapping, Sequence

from rich.console import Console

WIDE = 10_000
"""Columns of a pipe or a file: nothing is cut or left out there."""


def output() -> Console:
    """Standard output, as wide as the terminal; wide where nobody watches."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def say(console: Console, notes: Sequence[str]) -> None:
    """Print notes, wrapped at words on a terminal."""
    for note in notes:
        console.print(note, style="dim", highlight=False, markup=False)


def definitions(found: Mapping[str, str], columns: int) -> list[str]:
    """Names with what they are: one column of names, and texts wrapped beside it."""
    indent = max(map(len, found), default=0) + 2
    lines = []
    for name, text in found.items():
        room = max(columns - indent, 20)
        first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
        lines += [f"{name:<{indent}}{first}".rstrip(), *(" " * indent + line for line in rest)]
    return lines
