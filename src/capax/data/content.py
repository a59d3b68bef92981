"""The bytes of a file, unpacked where it is packed; what kind of file it is otherwise."""

import gzip
import io
import zipfile
import zlib
from pathlib import Path

from capax.errors import CapaxError, counted

RATIO, FREE = 200, 64 * 2**20
"""A packed file may unpack to so many times its size, and to so many bytes in any case: a bomb has
a thousand times its size, data hardly a hundred."""

ZIP, GZIP = b"PK\x03\x04", b"\x1f\x8b"

SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an Office document (.xls, .doc)",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"PAR1": "a Parquet file",
    b"SQLite format 3\0": "an SQLite database",
    b"\x7fELF": "a program",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf\x27\x1c": "a 7z file",
    b"Rar!": "a RAR file",
}
"""How files of other kinds begin."""

OFFICE = "[Content_Types].xml"
"""In every .xlsx and .docx, which are zip files."""


def content(path: Path) -> bytes:
    """The bytes of a file; of a gzip, or of a zip with one file in it, what is packed.

    Raises `CapaxError` for a file that is missing, cannot be read, or is damaged, and for a zip of
    several files.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CapaxError(f"{path} cannot be read: {error.strerror}.") from None
    if raw.startswith(GZIP):
        return _gunzip(raw, path)
    if raw.startswith(ZIP) or zipfile.is_zipfile(io.BytesIO(raw)):
        return _unzip(raw, path)
    return raw


def most(packed: int) -> int:
    """Bytes to which a file of so many may unpack."""
    return max(FREE, RATIO * packed)


def bomb(path: Path, packed: int) -> CapaxError:
    """The refusal of a file that unpacks to more."""
    return CapaxError(
        f"{path} has {counted(packed, 'byte')} and unpacks to more than {most(packed):,}, as a zip bomb does; if you trust it, "
        "unpack it, and name the file that comes out, which has no such limit."
    )


def kind(raw: bytes) -> str | None:
    """What a file is by its first bytes, such as "a PNG image"; None where that is not known."""
    return next((name for signature, name in SIGNATURES.items() if raw.startswith(signature)), None)


def _gunzip(raw: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            unpacked = file.read(most(len(raw)) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CapaxError(f"{path} is a damaged gzip file, not a text file ({_line(error)}).") from None
    if len(unpacked) > most(len(raw)):
        raise bomb(path, len(raw))
    return unpacked


def _unzip(raw: bytes, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if OFFICE in names:
                raise CapaxError(f"{path} is an Office document (.xlsx, .docx); save it as CSV or plain text.")
            if len(names) != 1:
                raise CapaxError(
                    f"the zip file {path} holds {len(names)} files where one is due; unpack it and name one."
                )
            if archive.getinfo(names[0]).file_size > most(len(raw)):  # of which no more is unpacked than it says
                raise bomb(path, len(raw))
            return archive.read(names[0])
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CapaxError(f"{path} is a damaged zip file, not a text file ({_line(error)}).") from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown method
        raise CapaxError(
            f"the zip file {path} cannot be unpacked ({_line(error)}); unpack it and name the file."
        ) from None


def _line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
