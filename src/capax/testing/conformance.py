"""Test classes that an author of a cell subclasses: one test a check. Any test runner that knows plain classes will do.

from capax.testing import CellConformance

class TestMyCell(CellConformance):
    cell = MyCell
"""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from capax.finding import Finding, ask
from capax.testing import cells


class CellConformance:
    """The checks of a cell, as tests. A subclass names it: `cell`, a class or a name such as "my_package.cells:MyCell"."""

    cell: ClassVar[str | type]

    def subject(self) -> cells.CellUnderTest:
        """The cell under test, made once for all tests."""
        return _cell_under_test(self.cell)


_cell_under_test = functools.lru_cache(maxsize=1)(cells.CellUnderTest)


def _test(check: Callable[[Any], Finding]) -> Callable[[Any], None]:
    """A test of what a check finds."""

    def test(self: Any) -> None:
        found = ask(check, self.subject())
        assert found.passed, f"{found.user_traceback}{found.name}: {found.message}"

    test.__doc__ = check.__doc__
    return test


for _check in cells.CHECKS:
    setattr(CellConformance, f"test_{_check.__name__}", _test(_check))
