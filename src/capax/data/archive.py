"""Sequences with labels from .ts files, the form of the UEA and UCR archives of time series: a line
a sequence, dimensions parted by colons, their values by commas, the label at the end.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from capax.data.content import content
from capax.data.decoding import decode
from capax.data.labelled import Label
from capax.errors import CapaxError

SUFFIX = ".ts"
MISSING = "?"


def read(path: Path) -> tuple[list[Float[np.ndarray, "_ features"]], list[Label] | None]:
    """The sequences, and their labels where the file says that it has some.

    Raises `CapaxError` for a file that is none, for time stamps within it, and for a line that does
    not fit, by its number.
    """
    lines = decode(content(path), str(path))[0].splitlines()
    begin = next((number for number, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if begin is None:
        raise CapaxError(f"{path} is no .ts file: it has no line @data.")
    said = {words[0].lower(): words[1:] for line in lines[:begin] if (words := line.split()) and words[0][0] == "@"}
    if said.get("@timestamps", ["false"])[0].lower() == "true":
        raise CapaxError(f"{path} has time stamps within its lines, which are not read; write it without them.")
    labelled = said.get("@classlabel", ["false"])[0].lower() == "true"
    steps, labels = [], []
    for number, line in enumerate(lines[begin + 1 :], start=begin + 2):
        if not line.strip() or line.startswith("#"):
            continue
        *dimensions, last = line.strip().split(":")
        if labelled:
            labels.append(last.strip() if last.strip() not in ("", MISSING) else None)
        else:
            dimensions.append(last)
        steps.append(_sequence(dimensions, f"{path}, line {number}"))
    if not steps:
        raise CapaxError(f"{path} holds no sequence.")
    return steps, labels if labelled else None


def _sequence(dimensions: list[str], where: str) -> Float[np.ndarray, "_ features"]:
    columns = [[cell.strip() for cell in dimension.split(",")] if dimension.strip() else [] for dimension in dimensions]
    longest = max(map(len, columns), default=0)
    if not columns or any(len(column) != longest for column in columns):
        raise CapaxError(f"{where}: its dimensions must have equally many values.")
    try:
        values = [["nan" if cell == MISSING else cell for cell in column] for column in columns]
        found = np.array(values, np.float64).reshape(len(columns), longest).T
    except ValueError:
        raise CapaxError(f"{where} has a value that is no number.") from None
    if np.isinf(found).any():
        raise CapaxError(f"{where} has a value that is not finite.")
    return found
