"""Writes the tables of examples/README.md from what the examples left in runs/: python
examples/tables.py

A section whose example has not been run keeps what it has. What is said below a table is written by
hand.
"""

import re
import sys
from pathlib import Path

from capax.fitting import outcome
from capax.report.fit_section import FitSection

README = Path(__file__).with_name("README.md")
RUNS = Path("runs")
PLACE = re.compile(r"Not measured yet\.\n|> [^\n]*\n\n(?:\|[^\n]*\n)+")


def block(directory: Path) -> str:
    """The verdict and the table of a fit, in Markdown."""
    section = FitSection(outcome.read(directory), directory, [])
    rows = [section.headers, ["---"] * len(section.headers), *(cells for _, cells in section.rows)]
    return "\n".join([f"> {section.outcome.verdict[0]}", "", *(f"| {' | '.join(row)} |" for row in rows), ""])


def main() -> None:
    """Fill the README."""
    runs = Path(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    sections = re.split(r"(?m)^(?=## )", README.read_text(encoding="utf-8"))
    for number, section in enumerate(sections):
        name = section.splitlines()[0].removeprefix("## ")
        found = next((place for place in (runs / name, runs / name / "fit") if (place / outcome.FILE).exists()), None)
        if found:
            sections[number] = PLACE.sub(lambda _, found=found: block(found), section, count=1)
            print(f"{name}: from {found}")
    README.write_text("".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
