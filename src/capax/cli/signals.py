"""Signals that end a command: as Ctrl-C does, with its line, so that what was done is kept."""

import signal
from types import FrameType

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of the signal, as shells count."""
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What `kill` sends, and what a terminal sends that is closed."""

_received: list[int] = []


def handle() -> None:
    """Let these signals interrupt the command, unless whoever started it has them ignored
    (`nohup`)."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def exit_code() -> int:
    """128 and the number of the signal that interrupted the command; Ctrl-C's where none did."""
    return 128 + _received[0] if _received else INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The first one interrupts. A second SIGTERM ends at once; a terminal may send several
    SIGHUP."""
    _received.append(number)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise KeyboardInterrupt
