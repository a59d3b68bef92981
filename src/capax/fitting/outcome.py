"""What came of a fit, as its directory keeps it: plain data, for reports and for people."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Literal

import pydantic

from capax.errors import CapaxError
from capax.files import write_atomically
from capax.scoring import Estimate

FILE = "fit.json"
FORMAT = 1
Ends = tuple[float | None, float | None, float | None]
"""A score and the ends of its 95% interval; None: not known."""


@dataclasses.dataclass(frozen=True)
class ScoreColumn:
    """A column of the table; `less_is_better` is None where neither is; `unit`, where the name does
    not say it.
    """

    name: str
    less_is_better: bool | None
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Contender:
    """A network or a method without one: its scores on the evaluation part, and `behind`: the
    paired difference of the first score to the chosen network's.

    `cell`, `depth`, `units`, `parameters`, `study`: of networks; `selection`: the validation score
    that networks are chosen by. `answers`: the file that holds them, in the directory.
    """

    name: str
    kind: Literal["network", "baseline"]
    scores: dict[str, Ends]
    answers: str
    behind: Ends | None = None
    cell: str = ""
    study: str = ""
    depth: int = 0
    units: int = 0
    parameters: int = 0
    selection: float | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """`notes`: what the file was taken for; `verdict`: the result in sentences; `left_out`: which
    methods there are not, and why; `chosen`: the name of the network that `model.safetensors`
    holds; `further`: tables of it for figures, files in `answers/`.
    """

    job: str
    data: str
    notes: tuple[str, ...]
    verdict: tuple[str, ...]
    left_out: tuple[str, ...]
    columns: tuple[ScoreColumn, ...]
    contenders: tuple[Contender, ...]
    chosen: str
    seconds: float
    further: tuple[str, ...] = ()
    format: int = FORMAT

    def contender(self, name: str) -> Contender:
        """The contender of a name."""
        return next(each for each in self.contenders if each.name == name)

    @property
    def baselines(self) -> tuple[Contender, ...]:
        """The methods without a network."""
        return tuple(each for each in self.contenders if each.kind == "baseline")


_OUTCOME = pydantic.TypeAdapter(Outcome)


def ends(estimate: Estimate) -> Ends:
    """An estimate as the file keeps it."""
    known = [None if math.isnan(value) else float(value) for value in dataclasses.astuple(estimate)]
    return known[0], known[1], known[2]


def save(directory: Path, outcome: Outcome) -> None:
    """Write `fit.json`."""
    table = _OUTCOME.dump_python(outcome, mode="json")
    write_atomically(directory / FILE, json.dumps(table, indent=2, ensure_ascii=False))


def read(directory: Path) -> Outcome:
    """What a fit's directory holds. Raises `CapaxError` where there is none, or a damaged one."""
    path = directory / FILE
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return _OUTCOME.validate_python(table, strict=False)
    except FileNotFoundError:
        raise CapaxError(f"{directory} holds no finished fit: there is no {FILE}.") from None
    except (OSError, ValueError) as error:
        raise CapaxError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from None
