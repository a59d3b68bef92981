"""All checks of a cell in a row, for `capax check`."""

import dataclasses

from capax.errors import UserCodeError
from capax.finding import Finding, ask, failed
from capax.testing import cells


@dataclasses.dataclass(frozen=True)
class Examination:
    """What was examined, and what each check found; where one that the others need did not pass, it is the last."""

    name: str
    kind: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(finding.passed for finding in self.findings)


def examine(cell: str | type) -> Examination:
    """Run all checks of a cell, by its name or class. Raises `CapaxError` for a name that leads to none."""
    name = cell if isinstance(cell, str) else cell.__name__
    try:
        subject = cells.CellUnderTest(cell)
    except UserCodeError as error:
        return Examination(name, "cell", (failed("loading", str(error), error.user_traceback),))
    findings: list[Finding] = []
    for check in cells.CHECKS:
        findings.append(ask(check, subject))
        if check in cells.CONTRACT and not findings[-1].passed:
            break
    return Examination(name, "cell", tuple(findings))
