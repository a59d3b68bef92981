"""A run as the page sees it: of a directory, or of a database. It is read again only where it
changed, and never so often that looking slows the run down. Nothing is written there.
"""

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd

from capax.errors import CapaxError
from capax.experiments import results, standing
from capax.experiments.record import RunRecord
from capax.search import url as urls
from capax.search.store import Store
from capax.serving import summary, trials
from capax.serving.trials import Curves

SHARE = 0.1
"""Of one core's time: at most so much is spent on reading."""

Signature = tuple[Any, ...]


class UnknownStudy(CapaxError):
    """A study that the run does not have."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What a run held when it was read. `version` tells snapshots apart."""

    version: str
    store: Store
    run: RunRecord
    studies: pd.DataFrame


class View:
    """Reads a run for the page: of a directory, or by the URL of a database. Raises `CapaxError`
    from all its methods where it cannot be read.

    `directory`: None where it is read from a database alone; `place`: what to call it.
    """

    def __init__(self, place: str | Path, run: str | None = None):
        self._given = (place, run)
        in_database = urls.is_url(str(place))
        self.directory = None if in_database else Path(place)
        self.place = urls.shown(urls.parse(urls.split_run(str(place))[0])) if in_database else str(place)
        self._lock = threading.Lock()
        self._curves = Curves()
        self._snapshot: Snapshot | None = None
        self._signature: Signature | None = None
        self._next = 0.0  # when it may be read again

    def run(self) -> dict[str, Any]:
        """How the run stands, and its studies."""
        with self._lock:
            try:
                found = self._read()
                now = standing.read(found.store, found.run)
                return {"version": found.version, **summary.summary(found.store, found.run, found.studies, now)}
            except Exception as error:
                raise _said(self.place, error) from error

    def study(self, name: str) -> dict[str, Any]:
        """A study's trials with their curves. Raises `UnknownStudy` where there is no such
        study.
        """
        with self._lock:
            try:
                found = self._read()
                study = next((study for study in found.run.studies if study.name == name), None)
                if study is None:
                    raise UnknownStudy("the run has no such study.")
                return {"version": found.version, **trials.trials(found.store, found.run, study, self._curves)}
            except Exception as error:
                raise _said(self.place, error) from error

    def _read(self) -> Snapshot:
        signature = None if self._snapshot is None else self._snapshot.store.sign()
        soon = signature is not None and time.monotonic() < self._next
        if self._snapshot is not None and (soon or signature == self._signature):
            return self._snapshot
        began = time.monotonic()
        store, run = results.at(*self._given)
        signature = store.sign()  # before the trials are read
        self._snapshot = Snapshot(str(time.time_ns()), store, run, results.studies(store, run))
        self._signature = signature
        ended = time.monotonic()
        self._next = ended + (ended - began) / SHARE
        return self._snapshot


def _said(place: str, error: Exception) -> CapaxError:
    """The one line for a run that cannot be read: it may be gone, or hold anything."""
    if isinstance(error, CapaxError):
        return error
    return CapaxError(f"{place} cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:300]}.")
