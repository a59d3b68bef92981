"""Progress on a terminal (live) or in a file (plain lines): per study trials, infeasible ones, best so far; speed and time left."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from capax.experiments.progress import Display, Progress, StudyProgress
from capax.experiments.standing import duration

PLAIN_EVERY = 10.0
"""Seconds between plain lines."""


@contextlib.contextmanager
def choose(quiet: bool) -> Iterator[Display]:
    """A live display on a terminal, plain lines elsewhere; on standard error where standard output is for JSON."""
    console = Console(stderr=True) if quiet else Console()
    if not console.is_terminal:
        yield Plain(to_stderr=quiet)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield Moving(live)


def _speed(progress: Progress) -> str:
    """How fast it goes, what is being compiled, and the time left."""
    now = []
    if not math.isnan(progress.steps_per_second):
        now.append(f"{progress.steps_per_second:,.0f} trial-steps/s")
    if progress.compiling:
        now.append(f"compiling {', '.join(progress.compiling)}")
    now.append(f"{duration(progress.seconds)} so far" if progress.seconds >= 1 else "starting")
    return f"{', '.join(now)}, about {duration(progress.seconds_left)} left"


def _best(study: StudyProgress) -> str:
    return "-" if math.isnan(study.best) else f"{study.best:.4g}"


def _label(study: StudyProgress) -> str:
    shape = study.plan.shape
    return f"{study.plan.label} {shape.cell.partition(':')[2] or shape.cell} depth {shape.depth}, {shape.parameters} parameters"


class Moving:
    """A table that is redrawn in place."""

    def __init__(self, live: Live):
        self._live = live

    def update(self, progress: Progress) -> None:
        """Redraw. Studies under way come first when the terminal is too short for all."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("study")
        for header in ("trials", "infeasible", "stopped", "reruns", "best so far"):
            table.add_column(header, justify="right")
        studies = list(progress.studies.values())
        rows = max(3, self._live.console.height - 5)
        if len(studies) > rows:
            studies = sorted(studies, key=lambda study: (study.finished, not study.running))[:rows]
        for study in studies:
            style = "dim" if study.finished else "bold" if study.running else ""
            table.add_row(
                _label(study),
                f"{study.done}/{study.plan.trials}",
                str(study.infeasible),
                str(study.stopped) if progress.plan.experiment.stopping != "none" else "",
                f"{study.reruns}/{study.plan.reruns}" if study.plan.reruns else "",
                _best(study),
                style=style,
            )
        table.caption = Text(_speed(progress), justify="left")
        self._live.update(table)

    def note(self, text: str) -> None:
        """A line above the table."""
        self._live.console.print(text, highlight=False)


class Plain:
    """A line every few seconds, and one for every study that is done."""

    def __init__(self, to_stderr: bool):
        self._to_stderr = to_stderr
        self._last = 0.0
        self._finished: set[str] = set()

    def update(self, progress: Progress) -> None:
        """Print what is new."""
        for name, study in progress.studies.items():
            if study.finished and name not in self._finished:
                self._finished.add(name)
                self.note(
                    f"done: {_label(study)}: {study.done} trials, {study.infeasible} infeasible, {study.stopped} stopped, "
                    f"best {_best(study)}"
                )
        if time.monotonic() - self._last >= PLAIN_EVERY:
            self._last = time.monotonic()
            done = sum(study.done + study.reruns for study in progress.studies.values())
            total = sum(study.total for study in progress.studies.values())
            infeasible = sum(study.infeasible for study in progress.studies.values())
            self.note(f"{done}/{total} trials, {infeasible} infeasible; {_speed(progress)}")

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr if self._to_stderr else sys.stdout, flush=True)
