"""Writes RESULTS.md and figures/ of a paper from what was run: python papers/results.py collins2017
runs/collins2017

The paper's discussion.toml says, by hand, what each part stands for in the source, which figures
are shown, and what the numbers mean. A part is a study (`capax run papers/PAPER/desk/NAME.toml
--out RUNS/NAME`), or a measure (a table and a figure that the paper's measures.py leaves in RUNS).
What has not been run is said to be missing.
"""

import argparse
import datetime
import platform
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

from capax.experiments import results
from capax.report import build
from capax.report.tabulation import tables

HERE = Path(__file__).parent
INTRODUCTION = "introduction"
MEASURE = "measure-"
"""How the files of a measure begin."""


def main() -> None:
    """Write RESULTS.md into the paper's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paper", help="a folder beside this file")
    parser.add_argument("runs", type=Path, help="the folder with a run directory for each study")
    given = parser.parse_args()
    paper, runs = HERE / given.paper, given.runs
    discussion = tomllib.loads((paper / "discussion.toml").read_text(encoding="utf-8"))
    lines = [discussion.pop(INTRODUCTION).strip(), "", "| of the source | part | reproduced |", "|---|---|---|"]
    parts = []
    for name, said in discussion.items():
        study, measured = runs / name, runs / f"{MEASURE}{name}.csv"
        done = study.is_dir() or measured.exists()
        reproduced = said["reproduced"] if done else f"not yet: {said['missing']}"
        lines.append(f"| {said['figures']} | [{name}](#{name}) | {reproduced} |")
        parts += ["", f"## {name}", "", f"{_sentence(said['figures'])} {said['text'].strip() if done else ''}".strip()]
        if study.is_dir():
            parts += _study(paper, study, name, said["images"])
        elif done:
            parts += _measure(paper, measured, name, said)
    (paper / "RESULTS.md").write_text("\n".join([*lines, *parts]) + "\n", encoding="utf-8")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _study(paper: Path, directory: Path, name: str, images: list[str]) -> list[str]:
    report = build(directory)
    _, plan = results.read(directory)
    written = datetime.date.today().isoformat()
    seconds = report.frame["seconds"].sum()
    lines = [
        "",
        f"    capax run papers/{paper.name}/desk/{name}.toml --out runs/{paper.name}/{name}",
        "",
        f"Begun {plan.created}, written {written}; {platform.machine()}, 2 shared cores; {len(plan.studies)} studies, "
        f"{int(report.frame['trials'].sum())} trials, {seconds:,.0f} core-seconds of training.",
    ]
    if plan.experiment.smaller:
        lines[-1] += f" Made smaller: {plan.experiment.smaller}."
    for image in images:
        lines += _image(paper, directory / "figures" / f"{image}.png", f"{name}-{image}")
    for table in tables(report.frame, plan):
        lines += ["", f"### {table.title}", "", *_markdown(table.headers, table.rows), "", *table.notes]
    for analysis in report.analyses:
        title = analysis.title if len(plan.tasks) == 1 else f"{analysis.title} ({analysis.task})"
        lines += ["", f"### {title}", "", *_markdown(analysis.headers, analysis.rows), "", *analysis.notes]
    return lines


def _measure(paper: Path, table: Path, name: str, said: dict[str, Any]) -> list[str]:
    """The figure of a measure, and its table unless the discussion says that the figure is
    enough.
    """
    command = f"    python papers/{paper.name}/measures.py desk runs/{paper.name} --only {name}"
    lines = ["", command, *_image(paper, table.with_suffix(".png"), name)]
    frame = pd.read_csv(table)
    if said.get("table", True):
        rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
        lines += ["", *_markdown([str(column) for column in frame.columns], rows)]
    return lines


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _image(paper: Path, source: Path, name: str) -> list[str]:
    if not source.exists():
        return []
    (paper / "figures").mkdir(exist_ok=True)
    shutil.copy2(source, paper / "figures" / f"{name}.png")
    return ["", f"![{name}](figures/{name}.png)"]


def _markdown(headers: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(headers)} |", "|---" * len(headers) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


if __name__ == "__main__":
    main()
