"""Tables of the first source that compare runs: python papers/collins2017/measures.py desk
runs/collins2017

The runs are those of the two designs of the capacity study, each with five seeds; `PAIRED` says by
which commands. `pairs` compares the designs, `another-search` asks how often the interval of three
searches covers the best of another.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from capax.experiments import results
from capax.experiments.searches import spread
from capax.files import write_atomically
from capax.report.rows import column, select
from capax.report.statistics import mean_ratio

PAIRED = """
for seed in 1 2 3 4 5; do
  capax run papers/collins2017/search/whole-set.toml --out runs/collins2017/paired-whole-set-$seed ...
  capax run papers/collins2017/search/minibatches.toml --out runs/collins2017/paired-capacity-$seed ...
done
with: --set cells=rnn,gru,lstm --set depths=1 --set budgets=400,1000 --set seed=$seed
and into paired-longer-$seed the second with cells=rnn, budgets=1000, and steps=200000
"""
BEFORE, NOW, LONGER = "paired-whole-set", "paired-capacity", "paired-longer"
SEEDS = range(1, 6)
KNOWN = 3
"""Searches that an interval is made of."""


def _bests(runs: Path, design: str) -> pd.DataFrame:
    """One row a seed, cell, and budget: the best trial's bits, and core-seconds."""
    found = []
    for seed in SEEDS:
        store, record = results.read(runs / f"{design}-{seed}")
        found.append(results.studies(store, record).assign(seed=seed))
    return pd.concat(found)


def pairs(runs: Path) -> pd.DataFrame:
    """The two designs beside each other: means over seeds, and the ratio of the bits of pairs."""
    before, now, longer = (_bests(runs, design) for design in (BEFORE, NOW, LONGER))
    now, longer = now.assign(steps="100,000"), longer.assign(steps="200,000")
    rows = []
    of_study = pd.concat([now, longer]).groupby(["cell", "budget", "steps"], sort=False)
    for (cell, budget, steps), new in of_study:  # pyright: ignore[reportGeneralTypeIssues]
        new, old = new.sort_values("seed"), select(before, cell=cell, budget=budget).sort_values("seed")
        each = column(new, "best") / column(old, "best")
        ratio, low, high = mean_ratio(column(new, "best"), column(old, "best"))
        rows.append(
            {
                "cell": cell,
                "budget": budget,
                "steps, now": steps,
                "bits, whole set": f"{old['best'].mean():,.0f}",
                "bits, now": f"{new['best'].mean():,.0f}",
                "ratio [95%]": f"{ratio:.2f} [{low:.2f}, {high:.2f}]",
                "least, most ratio of a pair": f"{each.min():.2f}, {each.max():.2f}",
                "bits per parameter, whole set; now": f"{old['bits_per_parameter'].mean():.2f}; "
                f"{new['bits_per_parameter'].mean():.2f}",
                "core-seconds, whole set; now": f"{old['seconds'].mean():,.0f}; {new['seconds'].mean():,.0f}",
            }
        )
    return pd.DataFrame(rows)


def another_search(runs: Path) -> pd.DataFrame:
    """How often Student's interval of three searches covers the best of another, over all choices
    of three seeds of five.
    """
    rows = []
    for name, design in (("whole set", BEFORE), ("minibatches", NOW)):
        for (cell, budget), of_study in _bests(runs, design).groupby(["cell", "budget"], sort=False):  # pyright: ignore[reportGeneralTypeIssues]
            bests = column(of_study.sort_values("seed"), "best")
            widths, covered = [], []
            for known in itertools.combinations(range(len(bests)), KNOWN):
                found = spread(bests[list(known)], prediction=True)
                widths.append((found["high"] - found["low"]) / 2 / found["best"])
                others = np.delete(bests, known)
                covered += list((found["low"] <= others) & (others <= found["high"]))
            deviation = bests.std(ddof=1)
            rows.append(
                {
                    "design": name,
                    "cell": cell,
                    "budget": budget,
                    "bests of five searches (bits)": ", ".join(f"{best:,.0f}" for best in bests),
                    "SD / mean": f"{deviation / bests.mean():.3f}",
                    "half-width / mean, median": f"{np.median(widths):.2f}",
                    "covered": f"{sum(covered)} of {len(covered)}",
                }
            )
    return pd.DataFrame(rows)


MEASURES: dict[str, Callable[[Path], pd.DataFrame]] = {"pairs": pairs, "another-search": another_search}


def main() -> None:
    """Write the tables of the measures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=["desk"], help="how large: as the runs are")
    parser.add_argument("runs", type=Path, help="the folder with the runs")
    parser.add_argument("--only", choices=list(MEASURES), nargs="+", default=list(MEASURES))
    given = parser.parse_args()
    for name in given.only:
        write_atomically(given.runs / f"measure-{name}.csv", MEASURES[name](given.runs).to_csv(index=False))


if __name__ == "__main__":
    main()
