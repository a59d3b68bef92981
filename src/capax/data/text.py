"""Texts: a file's characters as they are, and what the text is known by afterwards."""

import dataclasses
import platform
from pathlib import Path

from capax.contents import Content, of_bytes
from capax.data.content import content
from capax.data.decoding import decode
from capax.data.text_repeats import each_paragraph_once
from capax.errors import counted


@dataclasses.dataclass(frozen=True)
class Text:
    """`characters`, as they are; `source`, what the text is known by: the hash is that of its
    characters in UTF-8, however the file had them encoded or packed; `notes`, what the file was
    taken for, one line each."""

    characters: str
    source: Content
    notes: tuple[str, ...] = ()


def read(path: Path | None = None, encoding: str | None = None, *, option: str = "--encoding") -> Text:
    """A text file, plain, gzipped, or the only file in a zip; by default the help texts that come
    with Python, each paragraph of them once.

    **Arguments:** `encoding`, by Python's name, where it is neither UTF-8 nor said by a byte order
    mark; `option`, what the user calls that argument, for the message.

    Raises `CapaxError` for what is no text, naming line and byte.
    """
    if path is None:
        return _made(_help_texts(), f"help texts of Python {platform.python_version()} without repeats", None)
    characters, chosen = decode(content(path), str(path), encoding, option=option)
    size = counted(len(characters), "character")
    return _made(characters, path.name, path, f"{path.name}: a text of {size}, {chosen.upper()}")


def _made(characters: str, name: str, path: Path | None, *notes: str) -> Text:
    return Text(characters, of_bytes(name, characters.encode(), path), notes)


def _help_texts() -> str:
    """Python's own `pydoc_data.topics`: real English on every machine.

    Each paragraph once: a quarter of the topics stand in others, too, and as they are, a sixth of
    the evaluation section would stand in the training section word for word.
    """
    from pydoc_data.topics import topics

    return each_paragraph_once("\n\n".join(topics[name] for name in sorted(topics)))
