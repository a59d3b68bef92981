"""Progress on a terminal (live) or in a file (plain lines): per study trials, infeasible ones, best
so far; speed and time left.
"""

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
    """A live display on a terminal, plain lines elsewhere; on standard error where standard output
    is for JSON.
    """
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
    again = f", search {study.plan.search}" if study.plan.search > 1 else ""
    return f"{study.plan.label} {shape.cell.partition(':')[2] or shape.cell} depth {shape.depth}, {shape.parameters} parameters{again}"


def _first(studies: list[StudyProgress], rows: int) -> list[StudyProgress]:
    """Studies under way, then those to come, then those that are done."""
    return sorted(studies, key=lambda study: (study.finished, not study.running))[:rows]


class Moving:
    """A table that is redrawn in place."""

    def __init__(self, live: Live):
        self._live = live

    def update(self, progress: Progress) -> None:
        """Redraw: as many studies as there is room for, those under way first, and speed and time
        left always.
        """
        studies = list(progress.studies.values())
        rows = max(1, self._live.console.height - 3)
        table = self._table(progress, studies if len(studies) <= rows else _first(studies, rows))
        too_many = len(self._live.console.render_lines(table)) - (self._live.console.height - 1)
        if too_many > 0:  # a header or the last line takes more than one line
            table = self._table(progress, _first(studies, max(1, rows - too_many)))
        self._live.update(table)

    def _table(self, progress: Progress, studies: list[StudyProgress]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("study", no_wrap=True, overflow="ellipsis")
        for header in ("trials", "infeasible", "stopped", "reruns", "best so far"):
            table.add_column(header, justify="right")
        for study in studies:
            style = "dim" if study.finished else "bold" if study.running else ""
            table.add_row(
                _label(study),
                f"{study.done}/{study.plan.trials}",
                str(study.infeasible),
                str(study.stopped) if progress.plan.of(study.plan.label).stopping != "none" else "",
                f"{study.reruns}/{study.plan.reruns}" if study.plan.reruns else "",
                _best(study),
                style=style,
            )
        left_out = len(progress.studies) - len(studies)
        more = f"{left_out} more {'study' if left_out == 1 else 'studies'}; " if left_out else ""
        table.caption = Text(f"{more}{_speed(progress)}", justify="left")
        return table

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
                done = f"{study.done} {'trial' if study.done == 1 else 'trials'}"
                ended = f"{study.infeasible} infeasible, {study.stopped} stopped, best validation score {_best(study)}"
                self.note(f"done: {_label(study)}: {done}, {ended}")
        if time.monotonic() - self._last >= PLAIN_EVERY:
            self._last = time.monotonic()
            done = sum(study.done + study.reruns for study in progress.studies.values())
            total = sum(study.total for study in progress.studies.values())
            infeasible = sum(study.infeasible for study in progress.studies.values())
            self.note(f"{done}/{total} trials, {infeasible} infeasible; {_speed(progress)}")

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr if self._to_stderr else sys.stdout, flush=True)
