"""Runs what RESULTS.md of a paper is made of: python papers/run.py collins2017 runs/collins2017

The parts of the paper's discussion.toml that are studies, one after the other, or those that are
named. What is done is not done again, so the same command goes on after an interruption. All of
them take many hours.
"""

import argparse
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paper", help="a folder beside this file")
    parser.add_argument("runs", type=Path, help="the folder for a run directory of each study")
    parser.add_argument("parts", nargs="*", help="names of parts; by default all that are studies")
    given = parser.parse_args()
    discussion = tomllib.loads((HERE / given.paper / "discussion.toml").read_text(encoding="utf-8"))
    for name, said in discussion.items():
        if isinstance(said, str) or (given.parts and name not in given.parts):
            continue
        design = HERE / given.paper / said.get("file", f"desk/{name}.toml")
        if not design.exists():
            continue  # a measure
        settings = shlex.split(said.get("settings", ""))
        command = ["capax", "run", str(design), "--out", str(given.runs / name), *settings]
        print(shlex.join(command), flush=True)
        done = subprocess.run([str(Path(sys.executable).parent / "capax"), *command[1:]])
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
