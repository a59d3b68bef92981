"""Do the same seeds give the same trials as another checkout of capax? To the bit, or it says where
not.

    python benchmarks/same_trials.py OTHER [--only capacity,text] [--compiled]

Runs small experiments with this checkout and with the checkout in the folder OTHER, on this
machine, with the same compiler flags, and compares the tables of trials: states, scores,
hyperparameters. The runs of OTHER are kept in OTHER/runs/same_trials and are not run again. Exit
code 1 where a trial differs.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parents[1]
# The flag is set by this checkout (src/capax/training/backend.py); the other one may not know it.
FLAGS = "--xla_cpu_experimental_ynn_fusion_type="
IGNORED = ("seconds", "kernel")

CASES = {
    "capacity": "capacity --set cells=rnn,gru,lstm --set depths=1,2 --set budgets=300 --set trials=4 "
    "--set steps=60,200 --set stopping=none",
    "halving": "capacity --set cells=ugrnn,irnn --set depths=1 --set budgets=250 --set trials=16 --set steps=64,300",
    "text": "text8 --set cells=gru,intersection,transformer --set depths=2 --set budgets=3000 "
    "--set trials=2 --set steps=20,60 --set reruns=1 --set stopping=none",
    "parentheses": "parentheses --set cells=ugrnn,rnn --set depths=1 --set budgets=1500 "
    "--set trials=2 --set steps=20,60 --set reruns=1 --set stopping=none",
    "teacher": "papers/zucchet2024/desk/teacher.toml --set cells=lru,linear,system-lru,heads-4 "
    "--set units=8 --set steps=40 --set trials=2 --set reruns=1 --set task.teacher.time_steps=40",
}


def run(checkout: Path, case: str, out: Path, compiled: bool) -> pd.DataFrame:
    """The trials of a case, as this checkout gives them."""
    table = out / "trials.csv"
    if not table.exists():
        environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "XLA_FLAGS": FLAGS}
        environment |= {"CAPAX_FUSED": "0"} if compiled else {}
        command = [sys.executable, "-c", "from capax.cli.main import main; main()", "run"]
        command += [*CASES[case].split(), "--out", str(out)]
        done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{case} in {checkout} failed:\n{done.stdout}{done.stderr}")
    return pd.read_csv(table)


def compare(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """What differs, one line a column; nothing where the tables hold the same."""
    keys = ["study", "rerun", "number"]
    if set(map(tuple, before[keys].to_numpy())) != set(map(tuple, after[keys].to_numpy())):
        return ["other trials"]
    before, after = (frame.sort_values(keys).reset_index(drop=True) for frame in (before, after))
    columns = [name for name in before if name not in IGNORED and name in after]
    lines = []
    for name in columns:
        one, other = before[name], after[name]
        differs = ~((one == other) | (one.isna() & other.isna()))
        if differs.any():
            row = int(differs.to_numpy().argmax())
            where = f"{before['study'][row]} trial {before['number'][row]}"
            lines.append(f"{name}: {differs.sum()} of {len(one)} differ, such as {where}: {one[row]} and {other[row]}")
    missing = [name for name in before if name not in after]
    return lines + ([f"columns that are gone: {', '.join(missing)}"] if missing else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--compiled", action="store_true", help="without fused kernels")
    chosen = parser.parse_args()
    import tempfile

    other, differs = chosen.other.resolve(), False
    for case in chosen.only.split(","):
        name = f"{case}-compiled" if chosen.compiled else case
        before = run(other, case, other / "runs" / "same_trials" / name, chosen.compiled)
        with tempfile.TemporaryDirectory() as folder:
            lines = compare(before, run(HERE, case, Path(folder) / name, chosen.compiled))
        differs |= bool(lines)
        print(f"{name}: {len(before)} trials, {'the same' if not lines else '; '.join(lines)}", flush=True)
    sys.exit(differs)


if __name__ == "__main__":
    main()
