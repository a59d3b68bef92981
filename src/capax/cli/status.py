"""`capax status`: what has been done in a run and what is running there, once or until it is over;
and the runs of a database.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from capax.cli import output
from capax.experiments import results, standing
from capax.experiments.standing import Standing
from capax.report.progress import missing
from capax.search import runs
from capax.search import url as urls

EVERY = 5.0
"""Seconds between two looks."""


def once(place: str | Path, as_json: bool, run: str | None = None) -> bool:
    """Print how a run stands; True where looking again would show nothing new: it is done, or
    nobody runs it. `place`: a directory, or the URL of a database; without a run its runs are
    listed.
    """
    if run is None and urls.is_url(str(place)) and urls.split_run(str(place))[1] is None:
        return _listed(str(place), as_json)
    store, record = results.at(place, run)
    frame = results.studies(store, record)
    left, now = missing(frame), standing.read(store, record)
    if as_json:
        found = output.as_json_of(store.directory, store.place, frame)
        print(json.dumps(_answer(found, left, now, store.fault)), flush=True)
    else:
        output.tables_of(frame, record)
        elsewhere = store.elsewhere()
        if elsewhere is not None:
            print(f"what is in training, curves, and models are in the run's directory, {elsewhere}")
        print(f"{store.place}: {left or 'everything is done'}{_running(now) if left else ''}", flush=True)
        if store.fault is not None:
            print(f"capax: {store.fault}.", file=sys.stderr)
    return not left or now.holder is None


def _listed(url: str, as_json: bool) -> bool:
    """Print the runs of a database; True where nobody runs any."""
    parsed = urls.parse(url)
    found = runs.listed(parsed)
    if as_json:
        listed = [dataclasses.asdict(run) for run in found]
        print(json.dumps({"store": urls.shown(parsed), "runs": listed}), flush=True)
        return not any(run.holder for run in found)
    for run in found:
        state = f"running ({run.holder})" if run.holder else "nobody runs it"
        print(f"{run.id}  {run.name}  begun {run.created}  {run.ended:,} of {run.proposed:,} trials ended; {state}")
        print(f"  {run.directory}")
    word = "run" if len(found) == 1 else "runs"
    print(f"{urls.shown(parsed)}: {len(found)} {word}; one of them: --run NAME or ID", flush=True)
    return not any(run.holder for run in found)


def watch(place: str | Path, as_json: bool, run: str | None = None) -> None:
    """Print how a run stands, one JSON object a line or the tables again and again, until it is
    done or nobody runs it.
    """
    try:
        while not once(place, as_json, run):
            time.sleep(EVERY)
    except KeyboardInterrupt:
        print("capax: no longer watching; this has no effect on the run.", file=sys.stderr)


def _answer(found: dict[str, Any], left: str, now: Standing, fault: str | None) -> dict[str, Any]:
    return {**found, "done": not left, **now.as_json(), "fault": fault}


def _running(now: Standing) -> str:
    """What a run is at, in words."""
    words = {"paused at a rung": now.paused, "waiting": now.waiting}
    waiting = [f"{count:,} {what}" for what, count in words.items() if count]
    joined = ", ".join(waiting)
    if now.holder is None:
        return f"; nobody runs it{f' ({joined})' if joined else ''}: the same capax run goes on with it"
    parts = [f"{len(now.training):,} in training", *waiting]
    if now.workers is not None:
        parts.append("1 worker" if now.workers == 1 else f"{now.workers:,} workers")
    if now.steps_per_second is not None:
        parts.append(f"{now.steps_per_second:,.0f} trial-steps/s")
    if now.seconds_left is not None:
        parts.append(f"about {standing.duration(now.seconds_left)} left")
    steps = "".join(f"\n  {name} at step {step:,}" for name, step in now.training.items())
    return f"; running ({now.holder}): {', '.join(parts)}{steps}"
