"""Writes RESULTS.md and figures/ of a paper from what was run: python papers/results.py collins2017
runs/collins2017

The paper's discussion.toml says, by hand, what each part stands for in the source, which figures
are shown, and what the numbers mean. A part is a study (`capax run papers/PAPER/desk/NAME.toml
--out RUNS/NAME`, or another `file` with `settings`), or a measure (a table and a figure that the
paper's measures.py leaves in RUNS).
The tables of a part whose run is not in RUNS stay as RESULTS.md has them; what has never been run
is said to be missing.
"""

import argparse
import datetime
import platform
import re
import shutil
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

from capax.experiments import results
from capax.report import build
from capax.report.tabulation import tables

HERE = Path(__file__).parent
INTRODUCTION = "introduction"
WIDTH = 100
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
    before = _sections(paper / "RESULTS.md")
    lines = [_wrapped(discussion.pop(INTRODUCTION)), "", "| of the source | part | reproduced |", "|---|---|---|"]
    parts = []
    for name, said in discussion.items():
        study, measured = runs / name, runs / f"{MEASURE}{name}.csv"
        done = study.is_dir() or measured.exists() or name in before
        reproduced = said["reproduced"] if done else f"not yet: {said['missing']}"
        lines.append(f"| {said['figures']} | [{name}](#{name}) | {reproduced} |")
        text = f"{_sentence(said['figures'])} {said['text'].strip() if done else ''}"
        parts += ["", f"## {name}", "", _wrapped(text)]
        if study.is_dir():
            parts += _study(paper, study, name, said)
        elif measured.exists():
            parts += _measure(paper, measured, name, said)
        elif done:
            parts += ["", *before[name]]
    (paper / "RESULTS.md").write_text("\n".join([*lines, *parts]) + "\n", encoding="utf-8")


def _sections(path: Path) -> dict[str, list[str]]:
    """What a RESULTS.md shows of each run, by the part's name: from the command on, without the
    text above it.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        command = re.search(r"^    ", body, flags=re.MULTILINE)
        if command:
            found[name] = body[command.start() :].rstrip().splitlines()
    return found


def _wrapped(text: str) -> str:
    """Paragraphs in lines of at most 100 characters; a table stays as it is."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(
        part
        if part.startswith(("|", "#"))
        else textwrap.fill(part, WIDTH, break_long_words=False, break_on_hyphens=False)
        for part in paragraphs
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _study(paper: Path, directory: Path, name: str, said: dict[str, Any]) -> list[str]:
    report = build(directory)
    _, plan = results.read(directory)
    written = datetime.date.today().isoformat()
    seconds = report.frame["seconds"].sum()
    facts = (
        f"Begun {plan.created}, written {written}; {platform.machine()}, 2 shared cores; {len(plan.studies)} studies, "
        f"{int(report.frame['trials'].sum())} trials, {seconds:,.0f} core-seconds of training."
    )
    if plan.experiment.smaller:
        facts += f" Made smaller: {plan.experiment.smaller}."
    lines = [
        "",
        f"    capax run papers/{paper.name}/{said.get('file', f'desk/{name}.toml')} --out runs/{paper.name}/{name}"
        f"{said.get('settings', '')}",
        "",
        _wrapped(facts),
    ]
    for image in said["images"]:
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
