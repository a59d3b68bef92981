"""From bytes to text: the encoding is known by its mark, or is UTF-8, or is named."""

import codecs

from capax.data.content import kind
from capax.data.usual import Usual
from capax.errors import CapaxError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks: how a text may say its encoding."""


def decode(raw: bytes, name: str, encoding: str | None = None, *, option: str = "--encoding") -> tuple[str, str]:
    """The text of a file's bytes without its byte order mark, and the encoding it was read in.

    Everything else is kept as it is: line ends, tabs, composed and decomposed letters.

    **Arguments:** `name` of the file and `option` that names the encoding, for the message; an
    `encoding` that is only `Usual` is taken for what is neither marked nor UTF-8.

    Raises `CapaxError` for an unknown encoding and for what is no text in it, naming line and byte.
    """
    mark, marked = next(((mark, name) for mark, name in MARKS if raw.startswith(mark)), (b"", None))
    if isinstance(encoding, Usual) and (marked is not None or _is_utf_8(raw)):
        encoding = None
    chosen = _known(encoding) if encoding is not None else marked or "utf-8"
    other = kind(raw)
    if other is not None and encoding is None:
        raise CapaxError(f"{name} is {other}, not a text file.")
    body = raw[len(mark) :] if marked is not None and chosen.startswith(marked[:6]) else raw
    try:
        text = body.decode(chosen)
    except UnicodeDecodeError as error:
        raise CapaxError(_where(raw, len(raw) - len(body) + error.start, name, chosen, option)) from None
    if "\0" in text:
        raise CapaxError(f"{name} is not a text file (it has NUL bytes); if it is UTF-16, say so: {option} utf-16-le.")
    return text, chosen


def _is_utf_8(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode()
    except UnicodeDecodeError:
        return False


def _known(encoding: str) -> str:
    """The encoding's own name. Raises `CapaxError` for what is none, or does not make text."""
    try:
        b"a".decode(encoding)
    except UnicodeDecodeError:  # more than a byte a character
        pass
    except LookupError:
        raise CapaxError(
            f"unknown encoding '{encoding}'; Python names them: utf-8, utf-16, cp1252 (Windows), latin-1, cp1251, .."
        ) from None
    return codecs.lookup(encoding).name


def _where(raw: bytes, place: int, name: str, encoding: str, option: str) -> str:
    line_begin = raw.rfind(b"\n", 0, place) + 1
    line = raw.count(b"\n", 0, line_begin) + 1
    return (
        f"{name} is not a text file in {encoding.upper()}: line {line}, byte {place - line_begin + 1} is "
        f"0x{raw[place]:02x}; name its encoding, such as {option} cp1252 (Windows) or latin-1."
    )
