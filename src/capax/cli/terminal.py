"""How wide a table may be, and text that is wrapped where people read it: a pipe gets whole lines."""

import textwrap
from collections.abc import Mapping, Sequence

import rich.table
from rich.console import Console

WIDE = 10_000
"""Columns of a pipe or a file: nothing is cut or left out there."""


def width(console: Console) -> int:
    """The columns that there are."""
    return console.width if console.is_terminal else WIDE


def show(console: Console, table: rich.table.Table) -> None:
    """Print a table, in full width where nobody watches."""
    console.print(table, width=None if console.is_terminal else WIDE, crop=False)


def say(console: Console, notes: Sequence[str]) -> None:
    """Print notes, wrapped at words on a terminal."""
    for note in notes:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=not console.is_terminal)


def definitions(found: Mapping[str, str], columns: int) -> list[str]:
    """Names with what they are: one column of names, and texts wrapped beside it."""
    indent = max(map(len, found), default=0) + 2
    lines = []
    for name, text in found.items():
        room = max(columns - indent, 20)
        first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
        lines += [f"{name:<{indent}}{first}".rstrip(), *(" " * indent + line for line in rest)]
    return lines
