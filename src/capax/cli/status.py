"""`capax status`: what has been done in a run directory and what is running there, once or until it
is over.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from capax.cli import output
from capax.experiments import results, standing
from capax.experiments.standing import Standing
from capax.report.progress import missing

EVERY = 5.0
"""Seconds between two looks."""


def once(directory: Path, as_json: bool) -> bool:
    """Print how a run stands; True where looking again would show nothing new: it is done, or
    nobody runs it.
    """
    store, run = results.read(directory)
    frame = results.studies(store, run)
    left, now = missing(frame), standing.read(store, run)
    if as_json:
        print(json.dumps(_answer(directory, output.as_json_of(directory, frame), left, now, store.fault)), flush=True)
    else:
        output.tables_of(frame, run)
        print(f"{directory}: {left or 'everything is done'}{_running(now) if left else ''}", flush=True)
        if store.fault is not None:
            print(f"capax: {store.fault}.", file=sys.stderr)
    return not left or now.holder is None


def watch(directory: Path, as_json: bool) -> None:
    """Print how a run stands, one JSON object a line or the tables again and again, until it is
    done or nobody runs it.
    """
    try:
        while not once(directory, as_json):
            time.sleep(EVERY)
    except KeyboardInterrupt:
        print("capax: no longer watching; this has no effect on the run.", file=sys.stderr)


def _answer(directory: Path, found: dict[str, Any], left: str, now: Standing, fault: str | None) -> dict[str, Any]:
    return {**found, "done": not left, **now.as_json(), "fault": fault}


def _running(now: Standing) -> str:
    """What a run is at, in words."""
    words = {"paused at a rung": now.paused, "waiting": now.waiting}
    waiting = [f"{count:,} {what}" for what, count in words.items() if count]
    joined = ", ".join(waiting)
    if now.holder is None:
        return f"; nobody runs it{f' ({joined})' if joined else ''}: the same capax run goes on with it"
    parts = [f"{len(now.training):,} in training", *waiting]
    if now.steps_per_second is not None:
        parts.append(f"{now.steps_per_second:,.0f} trial-steps/s")
    if now.seconds_left is not None:
        parts.append(f"about {standing.duration(now.seconds_left)} left")
    steps = "".join(f"\n  {name} at step {step:,}" for name, step in now.training.items())
    return f"; running ({now.holder}): {', '.join(parts)}{steps}"
