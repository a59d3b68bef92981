"""Texts: a file's characters as they are, and what the text is known by afterwards."""

import dataclasses
import hashlib
import platform
from pathlib import Path

from capax.data.content import content
from capax.data.decoding import decode


@dataclasses.dataclass(frozen=True)
class Source:
    """What a text is known by: `name`, without the directory; `sha256` of its characters in UTF-8, however the file had
    them encoded or packed; how many `characters` it has."""

    name: str
    sha256: str
    characters: int


@dataclasses.dataclass(frozen=True)
class Text:
    """`characters`, as they are; `source`; `notes`, what the file was taken for, one line each."""

    characters: str
    source: Source
    notes: tuple[str, ...] = ()


def read(path: Path | None = None, encoding: str | None = None, *, option: str = "--encoding") -> Text:
    """A text file, plain, gzipped, or the only file in a zip; by default the help texts that come with Python.

    **Arguments:** `encoding`, by Python's name, where it is neither UTF-8 nor said by a byte order mark; `option`, what
    the user calls that argument, for the message.

    Raises `CapaxError` for what is no text, naming line and byte.
    """
    if path is None:
        return _made(_help_texts(), f"Python's help texts (Python {platform.python_version()})")
    characters, chosen = decode(content(path), str(path), encoding, option=option)
    size = f"{len(characters):,} characters" if len(characters) != 1 else "1 character"
    return _made(characters, path.name, f"{path.name}: a text of {size}, {chosen.upper()}")


def _made(characters: str, name: str, *notes: str) -> Text:
    digest = hashlib.sha256(characters.encode("utf-8", "surrogatepass")).hexdigest()
    return Text(characters, Source(name, digest, len(characters)), notes)


def _help_texts() -> str:
    """Python's own `pydoc_data.topics`: real English on every machine."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))
