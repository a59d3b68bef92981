"""Sequences from NumPy's own files: .npy with one array, .npz with several."""

import itertools
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from capax.data.content import bomb, most
from capax.data.sequences import Sequences
from capax.errors import CapaxError, counted

SUFFIXES = (".npy", ".npz")


def read(path: Path) -> Sequences:
    """Sequences from an array file.

    A .npy holds (sequences, time, features), or one series (time, features) or (time,). A .npz
    holds one such array; or `values` (steps, features) of all sequences after each other with
    `offsets`, where each begins and the last ends; or `values` (sequences, time, features) with
    `lengths`; or else an array for each series. NaN is a missing value.

    Raises `CapaxError` for anything else: objects, complex numbers, text, shapes that do not fit,
    infinities.
    """
    found, _ = read_beside(path, ())
    return found


def read_beside(path: Path, names: Collection[str]) -> tuple[Sequences, dict[str, np.ndarray]]:
    """As `read`, and the arrays of these names, as they are, which are no part of the sequences.

    Where there are some, an array (sequences, time) that is the only other one holds sequences of
    one feature.
    """
    arrays = loaded(path)
    beside = {name: array for name, array in arrays.items() if name in names}
    given = {name: _numbers(array, name, path) for name, array in arrays.items() if name not in beside}
    if beside and len(given) == 1:
        given = {name: array[..., None] if array.ndim == 2 else array for name, array in given.items()}
    return _sequences(given, path), beside


def loaded(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; the only one of a .npy has none.

    Raises `CapaxError` for a file that is no array file, or unpacks to more than it may.
    """
    try:
        _check_size(path)
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"": found}
        with found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise CapaxError(f"{path} cannot be read as a NumPy array: {reason.rstrip('.')}.") from None


def _check_size(path: Path) -> None:
    """Raise `CapaxError` for a .npz that unpacks to too much."""
    packed = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > most(packed):
                raise bomb(path, packed)


def _numbers(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    what = f"{path}: array '{name}'" if name else f"{path}"
    if array.dtype.kind == "c":
        raise CapaxError(f"{what} has complex numbers; write real and imaginary part as two features.")
    if array.dtype.kind not in "fiub":
        raise CapaxError(f"{what} holds no numbers ({array.dtype}).")
    if array.dtype.kind == "f" and np.isinf(array).any():
        place = tuple(int(index) for index in np.argwhere(np.isinf(array))[0])
        raise CapaxError(f"{what} is not finite at {list(place)}; make it a finite number, or NaN if it is missing.")
    return array.astype(np.float64)


def _sequences(arrays: Mapping[str, np.ndarray], path: Path) -> Sequences:
    if set(arrays) == {"values", "offsets"}:
        return _by_offsets(arrays["values"], arrays["offsets"], path)
    if set(arrays) == {"values", "lengths"}:
        return _by_lengths(arrays["values"], arrays["lengths"], path)
    if len(arrays) == 1:
        (array,) = arrays.values()
        if array.ndim == 3:
            return _made(
                list(array),
                None,
                True,
                f"{path}: {counted(array.shape[0], 'sequence')} of {counted(array.shape[1], 'step')}",
                path,
            )
    series = [_one(array, name, path) for name, array in arrays.items()]
    if not series or len({part.shape[1] for part in series}) > 1:
        raise CapaxError(
            f"{path}: its arrays must have the same number of features." if series else f"{path} is empty."
        )
    steps = ", ".join(f"{len(part):,}" for part in series[:5]) + (", .." if len(series) > 5 else "")
    many = "a series" if len(series) == 1 else f"{len(series):,} series"
    return _made(series, list(arrays), False, f"{path}: {many} of {steps} steps", path)


def _one(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    if array.ndim not in (1, 2):
        raise CapaxError(
            f"{path}: an array must be (sequences, time, features), (time, features), or (time,), not {array.shape}"
            + (f" ('{name}')." if name else ".")
        )
    return (
        array.reshape(len(array), -1)
        if array.size
        else array.reshape(len(array), array.shape[1] if array.ndim == 2 else 1)
    )


def _by_offsets(values: np.ndarray, offsets: np.ndarray, path: Path) -> Sequences:
    whole = offsets.ndim == 1 and len(offsets) > 1 and bool((offsets % 1 == 0).all() and (np.diff(offsets) >= 0).all())
    series = _one(values, "values", path)
    if not whole or offsets[0] != 0 or offsets[-1] != len(series):
        raise CapaxError(
            f"{path}: offsets must be whole numbers from 0 to the {counted(len(series), 'step')} of values, in order: where each "
            "sequence begins, and where the last ends."
        )
    bounds = offsets.astype(int)
    parts = [series[begin:end] for begin, end in itertools.pairwise(bounds)]
    return _made(parts, None, True, f"{path}: {counted(len(parts), 'sequence')} of {_range(parts)} steps", path)


def _by_lengths(values: np.ndarray, lengths: np.ndarray, path: Path) -> Sequences:
    fits = values.ndim == 3 and lengths.shape == values.shape[:1]
    if not fits or not ((lengths % 1 == 0) & (lengths >= 0) & (lengths <= values.shape[1])).all():
        raise CapaxError(
            f"{path}: values must be (sequences, time, features), and lengths a whole number of at most time a sequence, "
            f"not of shapes {values.shape} and {lengths.shape}."
        )
    parts = [row[: int(length)] for row, length in zip(values, lengths, strict=True)]
    return _made(parts, None, True, f"{path}: {counted(len(parts), 'sequence')} of {_range(parts)} steps", path)


def _range(parts: list[np.ndarray]) -> str:
    shortest, longest = min(map(len, parts)), max(map(len, parts))
    return f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"


def _made(parts: list[np.ndarray], names: list[str] | None, samples: bool, said: str, path: Path) -> Sequences:
    features = parts[0].shape[1] if parts else 0
    if not features or not sum(map(len, parts)):
        raise CapaxError(f"{path} holds no numbers.")
    called = names or [str(number + 1) for number in range(len(parts))]
    note = f"{said}, {features} {'number' if features == 1 else 'numbers'} each"
    missing = sum(int(np.isnan(part).sum()) for part in parts)
    notes = [note] if not missing else [note, f"{counted(missing, 'value is', 'values are')} missing (NaN)"]
    return Sequences.of(parts, [f"feature {n + 1}" for n in range(features)], called, samples=samples, notes=notes)
