"""Writes RESULTS.md and figures/ from run directories: python papers/collins2017/results.py runs/collins2017

Each run is `capax run papers/collins2017/desk/NAME.toml --out runs/collins2017/NAME`. A study that has no run there is said to
be missing. What the numbers mean, and where they differ from the source's, is in discussion.toml, written by hand.
"""

import argparse
import datetime
import platform
import shutil
import tomllib
from pathlib import Path

from capax.experiments import results
from capax.report import build
from capax.report.tabulation import tables

HERE = Path(__file__).parent
STUDIES = {
    "capacity": (
        "Figure 1a-i, Figure 2a, appendix Figure 1",
        ["capacity-stored-bits", "capacity-bits-per-parameter", "capacity-relu-only", "capacity-samples"],
    ),
    "unrolling": ("Figure 2b", ["capacity-time-steps"]),
    "inputs": ("the number of input bits, which the source does not give", ["capacity-bits"]),
    "memory": ("Figure 2c", ["memory-squared-error-per-number"]),
    "text8": ("Figure 3a-d", ["text-bits-per-character", "text-bits-per-character-by-units"]),
    "rcf": ("Figure 3e-g", ["rcf-weighted-squared-error"]),
    "parentheses": ("Figure 4a-h", ["parentheses-iterations", "parentheses-expected-best"]),
    "arithmetic": ("Figure 4i-p", ["arithmetic-iterations", "arithmetic-expected-best"]),
    "trainability": ("Figure 5, Table 1, appendix Table 2", ["parentheses-boxes"]),
    "robustness": ("appendix Table 1", []),
}
"""What of the source a study stands for, and which of its figures are shown."""


def main() -> None:
    """Write RESULTS.md beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder with a run directory for each study")
    runs = parser.parse_args().runs
    discussion = tomllib.loads((HERE / "discussion.toml").read_text(encoding="utf-8"))
    lines = [discussion["introduction"].strip(), "", "| of the source | study | reproduced |", "|---|---|---|"]
    parts = []
    for name, (figures, images) in STUDIES.items():
        said = discussion[name]
        done = (runs / name).is_dir()
        lines.append(
            f"| {figures} | [{name}](#{name}) | {said['reproduced'] if done else 'not yet: ' + said['missing']} |"
        )
        parts += ["", f"## {name}", "", f"{figures}. {said.get('text', '').strip()}"]
        if done:
            parts += _study(runs / name, name, images)
    (HERE / "RESULTS.md").write_text("\n".join([*lines, *parts]) + "\n", encoding="utf-8")


def _study(directory: Path, name: str, images: list[str]) -> list[str]:
    report = build(directory)
    store, plan = results.read(directory)
    written = datetime.date.today().isoformat()
    seconds = report.frame["seconds"].sum()
    lines = [
        "",
        f"    capax run papers/collins2017/desk/{name}.toml --out runs/collins2017/{name}",
        "",
        f"Begun {store.frozen['created']}, written {written}; {platform.machine()}, 2 shared cores; {len(plan.studies)} studies, "
        f"{int(report.frame['trials'].sum())} trials, {seconds:,.0f} core-seconds of training.",
    ]
    for image in images:
        source = directory / "figures" / f"{image}.png"
        if source.exists():
            (HERE / "figures").mkdir(exist_ok=True)
            shutil.copy2(source, HERE / "figures" / f"{name}-{image}.png")
            lines += ["", f"![{image}](figures/{name}-{image}.png)"]
    for table in tables(report.frame, plan):
        lines += ["", f"### {table.title}", "", *_markdown(table.headers, table.rows), "", *table.notes]
    for analysis in report.analyses:
        title = analysis.title if len(plan.tasks) == 1 else f"{analysis.title} ({analysis.task})"
        lines += ["", f"### {title}", "", *_markdown(analysis.headers, analysis.rows), "", *analysis.notes]
    return lines


def _markdown(headers: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(headers)} |", "|---" * len(headers) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


if __name__ == "__main__":
    main()
