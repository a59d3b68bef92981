"""The progress of a fit in lines, for `verbose=True`."""

import time

from capax.errors import counted
from capax.experiments.progress import Progress
from capax.experiments.standing import duration

EVERY = 10.0
"""Seconds between two lines of progress."""


class Lines:
    """Prints what is noted, and every few seconds how many trials are done."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def update(self, progress: Progress) -> None:
        """Called about once a second."""
        if time.monotonic() - self._last < EVERY:
            return
        self._last = time.monotonic()
        studies = progress.studies.values()
        done = sum(study.done + study.reruns for study in studies)
        total = sum(study.total for study in studies)
        self.note(f"{done} of {counted(total, 'trial')}, about {duration(progress.seconds_left)} left")

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)
