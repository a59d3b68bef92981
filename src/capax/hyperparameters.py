"""A hyperparameter, declared once: its name, default, range or choices, scale, and meaning.

From the declaration follow the default, the check of a given value, the tuner's distribution
(search/space.py), and what `capax list hyperparameters` prints. Whoever reads a hyperparameter
declares it: a cell, the network's initialisation, the optimiser, a task.
"""

import abc
import dataclasses
import math
import numbers
from collections.abc import Iterable
from typing import Any

from capax.errors import CapaxError


@dataclasses.dataclass(frozen=True)
class Interval:
    """The finite numbers from `low` to `high`.

    `above`, `below`: whether the end itself is left out.
    """

    low: float | int = -math.inf
    high: float | int = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float | int) -> bool:
        if not _finite(value):
            return False
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return over and under

    def __str__(self) -> str:
        """In words that follow "a number", such as "above 0" or "from 0.1 to 10"."""
        ends = []
        if self.low > -math.inf and self.high < math.inf and not (self.above or self.below):
            return f"from {_plain(self.low)} to {_plain(self.high)}"
        if self.low > -math.inf:
            ends.append(f"{'above' if self.above else 'at least'} {_plain(self.low)}")
        if self.high < math.inf:
            ends.append(f"{'below' if self.below else 'at most'} {_plain(self.high)}")
        return " and ".join(ends) or "that is finite"


FINITE = Interval()
POSITIVE = Interval(low=0.0, above=True)
NOT_NEGATIVE = Interval(low=0.0)
FRACTION = Interval(0.0, 1.0)
PROBABILITY = Interval(0.0, 1.0, below=True)


class Hyperparameter(abc.ABC):
    """What both kinds have in common.

    Attributes: `name`; `default`, the value where none is given; `meaning`, one sentence; `tuned`,
    whether the tuner varies it.
    """

    name: str
    default: Any
    meaning: str
    tuned: bool

    @property
    @abc.abstractmethod
    def due(self) -> str:
        """What a value must be, in words that follow "must be"."""

    @abc.abstractmethod
    def allows(self, value: Any) -> bool:
        """Whether it may have this value."""

    @abc.abstractmethod
    def read(self, value: Any) -> Any:
        """A value that it may have, in its own type."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """All that is declared, by name, as JSON can hold it."""

    def checked(self, value: Any, key: str, rest: str = "") -> Any:
        """The value in the hyperparameter's own type.

        **Arguments:** `key`, what the value is called where it was given; `rest`, further words
        for the message, behind what is due.

        Raises `CapaxError` for a value that the hyperparameter may not have.
        """
        if not self.allows(value):
            raise CapaxError(f"{key} must be {self.due}{rest}, not {value!r}.")
        return self.read(value)


@dataclasses.dataclass(frozen=True)
class Number(Hyperparameter):
    """A number, which the tuner draws from `low` to `high`: uniformly, or log-uniformly if `log`.

    `whole`: whole numbers alone. `allowed`: what a given value may be; where it is None, that is
    the tuner's range.
    """

    name: str
    default: float | int
    low: float | int
    high: float | int
    meaning: str = ""
    log: bool = False
    whole: bool = False
    allowed: Interval | None = None
    tuned: bool = True

    def __post_init__(self) -> None:
        problem = None
        if not (all(map(_finite, (self.low, self.high, self.default))) and self.low < self.high):
            problem = "low < high, and finite numbers"
        elif self.log and self.low <= 0:
            problem = "low > 0 for a log scale"
        elif self.low not in self.range or self.high not in self.range:
            problem = f"a tuner's range inside what is allowed, {self.range}"
        elif not self.allows(self.default):
            problem = f"a default that is {self.due}"
        if problem:
            numbers_given = f"low {self.low}, high {self.high}, default {self.default}"
            raise ValueError(f"hyperparameter {self.name or '()'} needs {problem}; it has {numbers_given}.")

    @property
    def range(self) -> Interval:
        """What a given value may be."""
        return Interval(self.low, self.high) if self.allowed is None else self.allowed

    @property
    def due(self) -> str:
        return f"a {'whole ' if self.whole else ''}number {self.range}"

    def allows(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not _finite(value):
            return False
        return float(value) in self.range and (not self.whole or float(value).is_integer())

    def read(self, value: Any) -> float | int:
        return int(value) if self.whole else float(value)

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "default": self.default,
            "range": [self.low, self.high],
            "scale": "log" if self.log else "linear",
            "whole": self.whole,
            "allowed": str(self.range),
            "tuned": self.tuned,
            "meaning": self.meaning,
        }


@dataclasses.dataclass(frozen=True)
class Choice(Hyperparameter):
    """One of a few values, between which there is no order."""

    name: str
    default: Any
    choices: tuple[Any, ...]
    meaning: str = ""
    tuned: bool = True

    def __post_init__(self) -> None:
        if not self.allows(self.default):
            raise ValueError(f"hyperparameter {self.name}: the default {self.default!r} is not {self.due}.")

    @property
    def due(self) -> str:
        return f"one of {', '.join(str(c).lower() if isinstance(c, bool) else str(c) for c in self.choices)}"

    def allows(self, value: Any) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def read(self, value: Any) -> Any:
        return value

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "default": self.default,
            "range": list(self.choices),
            "scale": "choice",
            "whole": False,
            "allowed": self.due,
            "tuned": self.tuned,
            "meaning": self.meaning,
        }


Owned = tuple[str, Iterable[Hyperparameter]]
"""Whose hyperparameters they are, in words, and the hyperparameters."""


def joined(*groups: Owned) -> dict[str, Hyperparameter]:
    """The hyperparameters of several owners by name, in order.

    Raises `CapaxError` where two owners declare one name: they would get one value.
    """
    found: dict[str, Hyperparameter] = {}
    owners: dict[str, str] = {}
    for owner, declared in groups:
        for hyperparameter in declared:
            name = hyperparameter.name
            if name in found:
                raise CapaxError(
                    f"the hyperparameter {name} belongs to {owners[name]} and to {owner}; "
                    "give the one in the cell or the task another name."
                )
            found[name], owners[name] = hyperparameter, owner
    return found


def defaults(declared: Iterable[Hyperparameter]) -> dict[str, Any]:
    """The defaults by name."""
    return {hyperparameter.name: hyperparameter.default for hyperparameter in declared}


def _plain(number: float | int) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e12 else f"{number:g}"


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
