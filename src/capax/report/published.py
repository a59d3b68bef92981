"""What papers printed, to stand beside what is measured here: papers/PAPER/published.toml."""

import dataclasses
import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any


@dataclasses.dataclass(frozen=True)
class Published:
    """The numbers of one paper; None where it prints none."""

    table: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How the paper is cited in a table's header."""
        return self.table["name"]

    @property
    def bits_per_parameter(self) -> float:
        """What larger networks approach, in one number."""
        return self.table["capacity"]["bits_per_parameter"]

    @property
    def capacity_in_words(self) -> str:
        """Bits per parameter as the paper says it."""
        return self.table["capacity"]["in_words"]

    def infeasible(self, cell: str, depth: int) -> float | None:
        """The fraction of random sets of hyperparameters that diverged."""
        return self.table["infeasible"].get(str(depth), {}).get(cell)

    def reruns(self, cell: str, depth: int) -> Mapping[str, float] | None:
        """Original loss, fraction infeasible, minimum, mean, and maximum of reruns."""
        return self.table["reruns"].get(cell) if depth == 1 else None

    def welch_t(self, first: str, second: str, depth: int) -> float | None:
        """The printed t for a pair in either order; below 0 where the second mean is larger."""
        of_depth = self.table["welch"].get(str(depth), {})
        found = of_depth.get(first, {}).get(second)
        other = of_depth.get(second, {}).get(first)
        return found if found is not None else None if other is None else -other


@functools.cache
def paper(name: str) -> Published:
    """The numbers of a paper, by the name of its folder in papers/."""
    text = (resources.files("capax.report") / "papers" / f"{name}.toml").read_text(encoding="utf-8")
    return Published(tomllib.loads(text))


COLLINS = paper("collins2017")
