"""Kills a run again and again and looks whether anything is lost.

    python benchmarks/kills.py --kills 100 --engine local
    python benchmarks/kills.py --kills 100 --engine ray

Each time the run is begun or gone on with, and after a random time the driver, or on a Ray cluster
a worker, gets SIGKILL. After each kill: every finished trial is still there, with the same result
to the bit, none stands twice, and no checkpoint has gone back. In the end the run is ended in peace
and compared with one that was never disturbed.

Prints a line a kill, and a JSON object at the end. The exit code is 1 if anything was lost.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from capax.experiments import results
from capax.training.checkpoint import load_arrays

DESIGN = """
name = "kills"
tasks = ["capacity"]
cells = ["rnn", "gru"]
budgets = [{budget}]
trials = {trials}
batch = 8
steps = [{least}, {most}]
seed = 5
sampler = "random"
stopping = "halving"
[task.capacity]
bits = 12
"""
MAIN = "from capax.cli.main import main; main()"
KEYS = ["study", "rerun", "number"]


@dataclasses.dataclass
class Counts:
    """What was seen. `gone_back`: checkpoints that stood further before a kill."""

    kills: int = 0
    of_workers: int = 0
    lost: int = 0
    changed: int = 0
    twice: int = 0
    gone_back: int = 0


def finished(directory: Path) -> pd.DataFrame:
    """The trials that have ended, by their keys."""
    try:
        frame = results.trials(*results.read(directory))
    except Exception:  # nothing has been written yet
        return pd.DataFrame(columns=KEYS).set_index(KEYS)
    ended = frame[frame["state"].isin(["complete", "stopped", "infeasible"])].drop(columns="seconds")
    return ended.set_index(KEYS).sort_index()


def steps(directory: Path) -> dict[str, int]:
    """How far each trial in training has come, by its checkpoint."""
    found = {}
    for path in directory.glob("checkpoints/**/*.safetensors"):
        loaded = load_arrays(path)
        if loaded is not None:
            found[str(path)] = int(loaded[0]["step"])
    return found


def start(design: Path, directory: Path, engine: str) -> subprocess.Popen[bytes]:
    """The run, in a group of processes of its own."""
    command = [sys.executable, "-c", MAIN, "run", str(design), "--out", str(directory), "--engine", engine]
    log = (directory.parent / "log.txt").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def workers(driver: int) -> list[int]:
    """The processes of Ray that train for a driver."""
    found = subprocess.run(["pgrep", "-f", "^ray::Remote"], capture_output=True, text=True, check=False).stdout
    mine = []
    for process in map(int, found.split()):
        try:
            mine += [process] if os.getsid(process) == os.getsid(driver) else []
        except ProcessLookupError:
            continue
    return mine


def look(
    before: pd.DataFrame, reached: dict[str, int], directory: Path, counts: Counts
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Compare what is there with what was."""
    now, at = finished(directory), steps(directory)
    counts.twice += int(now.index.duplicated().sum())
    missing = before.index.difference(now.index)
    counts.lost += len(missing)
    both = before.index.intersection(now.index)
    shared = [name for name in before.columns if name in now.columns]
    counts.changed += sum(not _same(before.loc[key, shared], now.loc[key, shared]) for key in both)
    counts.gone_back += sum(at[path] < step for path, step in reached.items() if path in at)
    return now, at


def _same(one: pd.Series, other: pd.Series) -> bool:
    """Whether two rows hold the same; a number may stand in another kind of column."""
    pairs = zip(one, other, strict=True)
    return all((pd.isna(a) and pd.isna(b)) or a == b for a, b in pairs)


def main() -> int:
    """Kill, look, and go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--steps", type=int, nargs=2, default=(20_000, 40_000))
    parser.add_argument("--seconds", type=float, nargs=2, default=(3.0, 12.0), help="after which a kill comes")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, counts = random.Random(given.seed), Counts()
    with tempfile.TemporaryDirectory(prefix="capax-kills-") as folder:
        design, directory = Path(folder) / "kills.toml", Path(folder) / "run"
        least, most = given.steps
        design.write_text(DESIGN.format(budget=given.budget, trials=given.trials, least=least, most=most))
        before, reached, began = pd.DataFrame(columns=KEYS).set_index(KEYS), {}, time.monotonic()
        process, done = None, False
        while counts.kills < given.kills and not done:
            if process is None:
                process = start(design, directory, given.engine)
            time.sleep(chance.uniform(*given.seconds))
            if process.poll() is not None:
                done = True
                break
            of_workers = workers(process.pid) if given.engine == "ray" else []
            if of_workers and chance.random() < 0.5:
                os.kill(chance.choice(of_workers), signal.SIGKILL)
                counts.of_workers += 1
            else:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                process = None
            counts.kills += 1
            before, reached = look(before, reached, directory, counts)
            wrong = counts.lost + counts.changed + counts.twice + counts.gone_back
            print(f"kill {counts.kills}: {len(before)} finished, {len(reached)} in training; {wrong} wrong", flush=True)
        process = process or start(design, directory, given.engine)
        code = process.wait()
        before, _ = look(before, {}, directory, counts)
        peaceful = Path(folder) / "peaceful"
        start(design, peaceful, "local").wait()
        same = before.equals(finished(peaceful))
    found = {**dataclasses.asdict(counts), "engine": given.engine, "ended": code == 0, "finished": len(before)}
    found |= {"same as undisturbed": same, "seconds": round(time.monotonic() - began)}
    print(json.dumps(found))
    return int(not (same and code == 0) or counts.lost + counts.changed + counts.twice + counts.gone_back > 0)


if __name__ == "__main__":
    sys.exit(main())
