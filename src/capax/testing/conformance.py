"""Test classes that an author of a cell or a task subclasses: one test a check. No test runner is
needed here.

from capax.testing import CellConformance, TaskConformance

class TestMyCell(CellConformance):
    cell = MyCell

class TestMyTask(TaskConformance):
    task = MyTask(batch_size=8)
"""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from capax.finding import Finding, ask
from capax.tasks import Task
from capax.testing import cells, tasks


class CellConformance:
    """The checks of a cell, as tests. A subclass names it: `cell`, a class or a name such as
    "my_package.cells:MyCell".
    """

    cell: ClassVar[str | type]

    def subject(self) -> cells.CellUnderTest:
        """The cell under test, made once for all tests."""
        return _cell_under_test(self.cell)


class TaskConformance:
    """The checks of a task, as tests. A subclass names it: `task`, an instance with small sizes
    (which is quick), a class, or a name such as "my_package.tasks:MyTask".
    """

    task: ClassVar["str | type[Task] | Task"]

    def subject(self) -> tasks.TaskUnderTest:
        """The task under test, made once for all tests."""
        return _task_under_test(self.task)


_cell_under_test = functools.lru_cache(maxsize=1)(cells.CellUnderTest)
_task_under_test = functools.lru_cache(maxsize=1)(tasks.TaskUnderTest)


def _test(check: Callable[[Any], Finding]) -> Callable[[Any], None]:
    """A test of what a check finds."""

    def test(self: Any) -> None:
        found = ask(check, self.subject())
        assert found.passed, f"{found.user_traceback}{found.name}: {found.message}"

    test.__doc__ = check.__doc__
    return test


for _conformance, _checks in ((CellConformance, cells.CHECKS), (TaskConformance, tasks.CHECKS)):
    for _check in _checks:
        setattr(_conformance, f"test_{_check.__name__}", _test(_check))
