"""How a run stands at this moment: whether a process works on it, what is in training, how fast,
and how much time is left.

The process that runs keeps `progress.json` up to date; who only looks reads that and the journal,
and needs no JAX.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from capax.experiments import results
from capax.experiments.record import RunRecord
from capax.files import write_atomically
from capax.search.store import Store

PROGRESS = "progress.json"


@dataclasses.dataclass(frozen=True)
class Standing:
    """A run at one moment.

    `holder`: who runs it, such as "process 71 on host atlas", None where nobody does. `training`:
    the trials in training with the step that each has reached; `paused`: how many wait at a rung to
    be compared; `waiting`: how many are proposed and neither. How many workers train, the speed,
    and the time left are None where the run does not say them (yet).
    """

    holder: str | None
    training: dict[str, int]
    paused: int
    waiting: int
    workers: int | None = None
    steps_per_second: float | None = None
    seconds_left: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {"running": self.holder is not None, **dataclasses.asdict(self)}


def keep(directory: Path, running: dict[str, int], workers: int, steps_per_second: float, seconds_left: float) -> None:
    """Write down how a run stands, for those who watch it."""
    numbers = {"steps_per_second": steps_per_second, "seconds_left": seconds_left}
    said = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    write_atomically(directory / PROGRESS, json.dumps({"running": running, "workers": workers, **said}))


def read(store: Store, run: RunRecord) -> Standing:
    """How a run stands."""
    open_trials = results.open_trials(store, run)
    holder = store.holder()
    told = _progress(store.directory) if holder is not None and store.directory is not None else {}
    running: dict[str, int] = told.get("running", {})
    paused = {name: step for name, step in open_trials.items() if step is not None}
    training = {name: running[name] for name in open_trials if name in running and running[name] != paused.get(name)}
    left = [name for name in open_trials if name not in training]
    return Standing(
        holder,
        training,
        paused=sum(name in paused for name in left),
        waiting=sum(name not in paused for name in left),
        workers=told.get("workers"),
        steps_per_second=told.get("steps_per_second"),
        seconds_left=told.get("seconds_left"),
    )


def _progress(directory: Path) -> dict[str, Any]:
    try:
        found = json.loads((directory / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def duration(seconds: float) -> str:
    """Seconds as people say them: 3 h 05 min; 12 min 30 s; 8 s."""
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
