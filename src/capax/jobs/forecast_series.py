"""Series that are to be forecast: read from a file or a DataFrame, and put on a regular grid."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from capax.data import arrays, grid, table
from capax.data.grid import Step
from capax.data.numerals import is_number, signed
from capax.data.roles import existing
from capax.data.table import Table
from capax.errors import CapaxError


@dataclasses.dataclass(frozen=True)
class Panel:
    """Series on one grid of time, one after the other: `values` (steps, columns), NaN for what is
    missing. `offsets` (series + 1,): where each begins and the last ends; `names` of the series;
    `firsts`: the time stamp of each one's first step, None where there are no stamps.
    """

    columns: tuple[str, ...]
    values: Float[np.ndarray, "steps columns"]
    names: tuple[str, ...]
    offsets: Int[np.ndarray, " bounds"]
    step: Step
    firsts: Shaped[np.ndarray, " series"] | None

    @property
    def lengths(self) -> Int[np.ndarray, " series"]:
        """Steps of each series."""
        return np.diff(self.offsets)

    def named(self, columns: Sequence[str]) -> list[int]:
        """The numbers of columns."""
        return [self.columns.index(name) for name in columns]

    def stamps(self, series: int, positions: Int[np.ndarray, " some"]) -> Shaped[np.ndarray, " some"] | None:
        """Time stamps of a series' steps, counted from its first; None where there are none."""
        return None if self.firsts is None else self.step.stamps(self.firsts[series], positions)

    def cut(self, begins: Int[np.ndarray, " series"], ends: Int[np.ndarray, " series"]) -> "Panel":
        """From each series the steps from `begins` to `ends`, counted from its first; of a series
        without any left nothing.
        """
        kept = np.flatnonzero(ends > begins)
        parts = [self.values[self.offsets[s] + begins[s] : self.offsets[s] + ends[s]] for s in kept]
        values = np.concatenate(parts) if parts else np.zeros((0, len(self.columns)))
        firsts = None
        if self.firsts is not None:
            found = [self.stamps(int(s), begins[s : s + 1]) for s in kept]
            firsts = np.array([stamps[0] for stamps in found if stamps is not None], self.firsts.dtype)
        return dataclasses.replace(
            self,
            values=values,
            names=tuple(self.names[s] for s in kept),
            offsets=np.concatenate([[0], np.cumsum((ends - begins)[kept])]),
            firsts=firsts,
        )


@dataclasses.dataclass(frozen=True)
class Rows:
    """A table as it was read: `columns` of numbers by name; `stamps` of the rows, in order within
    each series, None where there are none; `keys`: to which series each row belongs, from 0, in
    blocks; `time` and `series`: the columns of these roles; `words`: why columns of words
    are none of numbers.
    """

    file: str
    columns: dict[str, Float[np.ndarray, " rows"]]
    stamps: Shaped[np.ndarray, " rows"] | None
    keys: Int[np.ndarray, " rows"]
    names: tuple[str, ...]
    time: str | None
    series: str | None
    notes: tuple[str, ...]
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def column(self, name: str, option: str) -> str:
        """A column of numbers by the name that the user gives as `option`. Raises `CapaxError`
        where there is none.
        """
        if any(note.startswith(f"column '{name}' has no value") for note in self.notes):
            raise CapaxError(f"{self.file}: column '{name}' ({option}) has no value at all; name another.")
        if name in self.words:
            raise CapaxError(f"{self.file}: column '{name}' ({option}) {self.words[name]}.")
        return existing(name, list(self.columns), option, self.file)

    def step(self) -> Step:
        """The step that the time stamps have in common."""
        return Step("rows") if self.stamps is None else grid.find(self.stamps, self.keys)

    def panel(self, columns: Sequence[str], step: Step) -> tuple[Panel, list[str]]:
        """These columns on a grid, and what was done, a line each."""
        values = np.stack([self.columns[name] for name in columns], axis=1)
        stamps = None if step.kind == "rows" else self.stamps
        found = grid.put(values, stamps, self.keys, step)
        notes = list(found.notes)
        if self.stamps is not None and step.kind == "rows" and len(self.keys) > len(self.names):
            notes.append("time stamps have no step in common: rows are taken one after the other, a step each")
        return Panel(tuple(columns), found.values, self.names, found.offsets, step, found.firsts), notes


def read(
    source: Path | pd.DataFrame,
    *,
    time: str | None = None,
    series: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    taken: Collection[str] = (),
) -> Rows:
    """The rows of a table, of a DataFrame, or of a NumPy file (`data.arrays`; its series have no
    time stamps). Options as of `data.table.read`. Raises `CapaxError` as that does.
    """
    if isinstance(source, Path) and source.suffix.lower() in arrays.SUFFIXES:
        return _of_arrays(source)
    if isinstance(source, Path):
        found = table.read(
            source, time=time, series=series, encoding=encoding, decimal=decimal, taken=taken, gridded=True
        )
    else:
        found = table.of_frame(source, time=time, series=series, taken=taken, gridded=True)
    frame = found.frame
    names, keys = ("",), np.zeros(len(frame), int)
    if found.series is not None:
        keys, unique = pd.factorize(frame[found.series])
        names = tuple(str(name) for name in unique)
    return Rows(
        str(source) if isinstance(source, Path) else "the table",
        {name: frame[name].to_numpy(np.float64) for name in found.numbers},
        None if found.time is None else frame[found.time].to_numpy(),
        keys.astype(np.int64),
        names,
        found.time,
        found.series,
        found.notes,
        _no_numbers(found),
    )


def _no_numbers(found: Table) -> dict[str, str]:
    """Why columns are none of numbers."""
    why = {}
    for name in found.words:
        cell = signed(found.frame[name])
        text = f"holds text, not numbers (such as '{found.frame[name].iloc[0]}')"
        why[name] = text if cell is None else f"holds '{cell}', which is no number; take the sign away"
    if found.series is not None:
        example = found.frame[found.series].iloc[0]
        text = "" if is_number(str(example)) else f"holds text, not numbers (such as '{example}'), and "
        why[found.series] = f"{text}tells series apart"
    return why


def _of_arrays(path: Path) -> Rows:
    found = arrays.read(path)
    values = found.values[found.real]
    columns = {name: values[:, number] for number, name in enumerate(found.features)}
    keys = np.repeat(np.arange(len(found.names)), found.lengths)
    kept = np.unique(keys)
    names = tuple(found.names[number] for number in kept)
    return Rows(str(path), columns, None, np.searchsorted(kept, keys), names, None, None, found.notes)


def known_steps(panel: Panel, targets: Sequence[str]) -> tuple[Int[np.ndarray, " series"], Int[np.ndarray, " series"]]:
    """The first step of each series at which any target is known, and the one behind the last;
    equal where none is.
    """
    known = np.asarray(~np.isnan(panel.values[:, panel.named(targets)]).all(axis=1))
    begins, ends = np.zeros(len(panel.names), int), np.zeros(len(panel.names), int)
    for number in range(len(panel.names)):
        found = np.flatnonzero(known[panel.offsets[number] : panel.offsets[number + 1]])
        if len(found):
            begins[number], ends[number] = found[0], found[-1] + 1
    return begins, ends


def filled(values: Float[np.ndarray, "steps columns"], panel: Panel) -> Float[np.ndarray, "steps columns"]:
    """Each missing value becomes the last known one before it in its series; 0 before the first."""
    begins = np.repeat(panel.offsets[:-1], panel.lengths)
    found = np.empty_like(values)
    for number, column in enumerate(values.T):
        last = np.maximum.accumulate(np.where(np.isnan(column), -1, np.arange(len(column))))
        found[:, number] = np.where(last >= begins, column[last], 0.0)
    return found
