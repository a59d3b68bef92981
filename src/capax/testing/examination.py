"""All checks of a cell or a task in a row, for `capax check`."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal

from capax import cells as known_cells
from capax import tasks as known_tasks
from capax import user_code
from capax.errors import CapaxError, UserCodeError, closest
from capax.finding import Finding, ask, failed
from capax.tasks import Task
from capax.testing import cells, tasks

Kind = Literal["cell", "task"]


@dataclasses.dataclass(frozen=True)
class Examination:
    """What was examined, and what each check found; where one that the others need did not pass, it
    is the last.
    """

    name: str
    kind: Kind
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(finding.passed for finding in self.findings)


@dataclasses.dataclass(frozen=True)
class _Suite:
    """How a kind of thing is examined: what makes its subject, its checks, and those that the
    others need.
    """

    make: Callable[[Any], Any]
    checks: tuple[Callable[[Any], Finding], ...]
    needed: tuple[Callable[[Any], Finding], ...]


_SUITES: dict[Kind, _Suite] = {
    "cell": _Suite(cells.CellUnderTest, cells.CHECKS, cells.CONTRACT),
    "task": _Suite(tasks.TaskUnderTest, tasks.CHECKS, tasks.CONTRACT),
}


def examine(subject: str | type | Task) -> Examination:
    """Run all checks of a cell or a task, by its name, its class, or a task itself.

    Raises `CapaxError` for a name that leads to neither.
    """
    name = subject if isinstance(subject, str) else subject.name if isinstance(subject, Task) else subject.__name__
    kind: Kind = "cell"
    try:
        kind = _kind(subject)
        made = _SUITES[kind].make(subject)
    except UserCodeError as error:
        return Examination(name, kind, (failed("loading", str(error), error.user_traceback),))
    findings: list[Finding] = []
    for check in _SUITES[kind].checks:
        findings.append(ask(check, made))
        if check in _SUITES[kind].needed and not findings[-1].passed:
            break
    return Examination(name, kind, tuple(findings))


def _kind(subject: str | type | Task) -> Kind:
    """Whether it is a task; all else is taken for a cell, which says what is wrong with it."""
    if isinstance(subject, str):
        if not user_code.is_path(subject):
            if subject in known_tasks.BUILT_IN:
                return "task"
            known = [*known_tasks.BUILT_IN, *known_cells.BUILT_IN]
            if "-" not in subject and subject not in known:
                raise CapaxError(
                    f"unknown cell or task '{subject}'{closest(subject, known)}; choose of {', '.join(known)}, "
                    "or name your own as module.path:Class."
                )
            return "cell"
        subject = user_code.load(subject, "cell or task")
    task = issubclass(subject, Task) if inspect.isclass(subject) else isinstance(subject, Task)
    return "task" if task else "cell"
